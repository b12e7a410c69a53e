// Facts of pg_depend about objects that are made anew from their definitions.
#include "publish/definition.hpp"

#include "core/sql_text.hpp"

namespace backfill {

namespace {

std::vector<std::string> as_text(const std::vector<Oid> &objects) {
  std::vector<std::string> texts;
  for (Oid const object : objects) texts.push_back(std::to_string(object));
  return texts;
}

}  // namespace

void require_columns(const Swap &swap, const std::string &catalog, const std::vector<Oid> &objects) {
  if (objects.empty()) return;
  pg::Result const found = pg::execute(
      "SELECT i.type, i.identity, string_agg(DISTINCT a.attname, ', ') AS columns FROM pg_depend d"
      " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
      " CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i"
      " WHERE d.classid = $1::regclass AND d.objid = ANY ($2::oid[]) AND d.refclassid = 'pg_class'::regclass"
      " AND d.refobjid = $3 AND a.attnum > 0 AND NOT EXISTS (SELECT FROM pg_attribute twin WHERE twin.attrelid = $4"
      " AND twin.attname = a.attname AND NOT twin.attisdropped)"
      " GROUP BY i.type, i.identity ORDER BY i.identity LIMIT 1",
      {catalog, as_text(objects), pg::Param::oid(swap.out), pg::Param::oid(swap.in)});
  if (found.empty()) return;
  pg::Row const row = found[0];
  throw Error(sqlstate::object_not_in_prerequisite_state,
              row.text("type") + " " + row.text("identity") + " uses a column that table " +
                  display_name(swap.schema, swap.in_name) + " does not have",
              "It uses: " + row.text("columns") + ".", "Drop it, or change it so that it does without.");
}

std::vector<LockRequest> mentioned_relations(const Swap &swap, const std::string &catalog,
                                             const std::vector<Oid> &objects, pg::LockMode mode) {
  std::vector<LockRequest> locks;
  if (objects.empty()) return locks;
  for (const pg::Row &row : pg::execute(
           "SELECT DISTINCT d.refobjid FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid"
           " WHERE d.classid = $1::regclass AND d.objid = ANY ($2::oid[]) AND d.refclassid = 'pg_class'::regclass"
           " AND c.oid NOT IN ($3, $4) AND c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY d.refobjid",
           {catalog, as_text(objects), pg::Param::oid(swap.out), pg::Param::oid(swap.in)}))
    if (!swap.leaves(row.oid("refobjid"))) locks.push_back({row.oid("refobjid"), mode});
  return locks;
}

void append_comment(std::vector<std::string> &sql, const std::string &what, const std::optional<std::string> &comment) {
  if (comment) sql.push_back("COMMENT ON " + what + " IS " + quote_literal(*comment));
}

}  // namespace backfill
