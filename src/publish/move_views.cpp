// Plain views: replaced in place by the definition they had, now meaning the table that entered service.  OID, owner,
// privileges, column defaults, comments, triggers and whatever is built on the view stay as they are.
#include <algorithm>
#include <map>
#include <set>

#include "core/sql_text.hpp"
#include "publish/mentions.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

// Views whose query mentions the table itself; views on those views need nothing.
pg::Result views_on(const std::vector<Oid> &rules) {
  return pg::execute(
      "SELECT v.oid, r.oid AS rule, n.nspname, v.relname, v.relpersistence, v.reloptions::text AS options"
      " FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'"
      " JOIN pg_namespace n ON n.oid = v.relnamespace WHERE r.oid = ANY ($1) AND r.rulename = '_RETURN' ORDER BY v.oid",
      {oid_array(rules)});
}

// Which views read which, from the given ones on outwards.
std::map<Oid, std::vector<Oid>> readers_of(const std::vector<Oid> &views) {
  std::map<Oid, std::vector<Oid>> readers;
  for (const pg::Row &row :
       pg::execute("WITH RECURSIVE up AS (SELECT v AS oid, NULL::oid AS reader FROM unnest($1) AS v UNION"
                   " SELECT coalesce(u.reader, u.oid), r.ev_class FROM up u JOIN pg_depend d ON d.classid = "
                   "'pg_rewrite'::regclass"
                   " AND d.refclassid = 'pg_class'::regclass AND d.refobjid = coalesce(u.reader, u.oid)"
                   " JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN' AND r.ev_class <> d.refobjid)"
                   " SELECT oid, reader FROM up WHERE reader IS NOT NULL ORDER BY oid, reader",
                   {oid_array(views)}))
    readers[row.oid("oid")].push_back(row.oid("reader"));
  return readers;
}

void append_outwards(Oid view, const std::map<Oid, std::vector<Oid>> &readers, std::set<Oid> &seen,
                     std::vector<Oid> &order) {
  if (!seen.insert(view).second) return;
  auto const found = readers.find(view);
  if (found != readers.end())
    for (Oid const reader : found->second) append_outwards(reader, readers, seen, order);
  order.push_back(view);
}

// The outermost first, as those who read lock them.  OIDs do not tell: a view may be replaced so that it reads a younger.
std::vector<Oid> outermost_first(const std::vector<Oid> &views) {
  std::map<Oid, std::vector<Oid>> const readers = readers_of(views);
  std::set<Oid> seen;
  std::vector<Oid> order;
  for (Oid const view : views) append_outwards(view, readers, seen, order);
  std::erase_if(order, [&](Oid view) { return std::find(views.begin(), views.end(), view) == views.end(); });
  return order;
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
  return list.empty() ? list : list + ")";
}

}  // namespace

std::vector<LockRequest> view_locks(const Swap &swap) {
  std::vector<Oid> views, rules;
  for (const pg::Row &view : views_on(mentioning("pg_rewrite", swap.out))) {
    views.push_back(view.oid("oid"));
    rules.push_back(view.oid("rule"));
  }
  std::vector<LockRequest> locks;
  for (Oid const view : outermost_first(views)) locks.push_back({view, pg::LockMode::access_exclusive});
  for (const LockRequest &request : parse_locks(swap, "pg_rewrite", rules)) locks.push_back(request);
  return locks;
}

std::vector<std::string> move_views(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &view : views_on(mentioning("pg_rewrite", swap.out))) {
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
