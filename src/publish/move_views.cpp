// Plain views: replaced in place by the definition they had, now meaning the table that entered service.  OID, owner,
// privileges, column defaults, comments, triggers and whatever is built on the view stay as they are.
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

// Views whose query mentions the table itself; views on those views need nothing.
pg::Result views_on(Oid table) {
  return pg::execute(
      "SELECT DISTINCT v.oid, n.nspname, v.relname, v.relpersistence, v.reloptions::text AS options"
      " FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
      " JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v' JOIN pg_namespace n ON n.oid = v.relnamespace"
      " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
      " ORDER BY v.oid DESC",
      {pg::Param::oid(table)});
}

std::string column_list(Oid view) {
  std::string list;
  for (const pg::Row &row :
       pg::execute("SELECT attname FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 ORDER BY attnum",
                   {pg::Param::oid(view)}))
    list += (list.empty() ? "" : ", ") + quote_ident(row.text("attname"));
  return list;
}

std::string option_list(const pg::Row &view) {
  std::string list;
  if (view.null("options")) return list;
  for (const std::string &option : pg::parse_text_array(view.text("options"))) {
    std::size_t const equals = option.find('=');
    list += (list.empty() ? " WITH (" : ", ") + quote_ident(option.substr(0, equals)) + " = " +
            quote_literal(option.substr(equals + 1));
  }
  return list + ")";
}

}  // namespace

std::vector<LockRequest> view_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (const pg::Row &view : views_on(swap.out)) locks.push_back({view.oid("oid"), pg::LockMode::access_exclusive});
  return locks;
}

std::vector<std::string> move_views(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &view : views_on(swap.out)) {
    std::string const name = qualified(view.text("nspname"), view.text("relname"));
    if (view.text("relpersistence") == "t")
      throw Error(sqlstate::object_not_in_prerequisite_state,
                  "temporary view " + display_name(view.text("nspname"), view.text("relname")) + " selects from " +
                      display_name(swap.schema, swap.name),
                  "Another session's temporary objects cannot be changed.", "Drop it or end that session.");
    std::string const definition =
        pg::query_value("SELECT pg_get_viewdef($1::oid)", {pg::Param::oid(view.oid("oid"))}).value_or("");
    sql.push_back("CREATE OR REPLACE VIEW " + name + " (" + column_list(view.oid("oid")) + ")" + option_list(view) +
                  " AS " + definition);
  }
  return sql;
}

}  // namespace backfill
