#include "publish/mentions.hpp"

#include "core/error.hpp"

namespace backfill {

namespace {

// The stored trees of an object's expressions and queries.
std::string trees_of(const std::string &catalog) {
  if (catalog == "pg_proc") return "o.prosqlbody::text";
  if (catalog == "pg_policy") return "o.polqual::text, o.polwithcheck::text";
  if (catalog == "pg_rewrite") return "o.ev_qual::text, o.ev_action::text";
  throw Error(sqlstate::internal_error, "there are no definitions in " + catalog);
}

}  // namespace

pg::Param oid_array(const std::vector<Oid> &oids) {
  constexpr Oid oid_array_type = 1028;
  std::string text;
  for (Oid const oid : oids) text += (text.empty() ? "" : ",") + std::to_string(oid);
  return pg::Param::of_type(oid_array_type, "{" + text + "}");
}

std::vector<Oid> mentioning(const std::string &catalog, Oid table) {
  std::vector<Oid> objects;
  for (const pg::Row &row : pg::execute(
           "SELECT DISTINCT d.objid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype"
           " CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, c.oid), ('pg_type', t.oid), ('pg_type', t.typarray)"
           " UNION ALL SELECT 'pg_class', s.objid FROM pg_depend s WHERE s.classid = 'pg_class'::regclass"
           " AND s.refclassid = 'pg_class'::regclass AND s.refobjid = c.oid AND s.deptype = 'i' AND s.refobjsubid > 0)"
           " AS x (class, object) JOIN pg_depend d ON d.refclassid = x.class AND d.refobjid = x.object"
           " WHERE c.oid = $1 AND d.classid = $2::regclass ORDER BY d.objid",
           {pg::Param::oid(table), catalog}))
    objects.push_back(row.oid("objid"));
  return objects;
}

// A tree says of each relation in it which lock the parser took.
std::vector<LockRequest> parse_locks(const Swap &swap, const std::string &catalog, const std::vector<Oid> &objects) {
  std::vector<LockRequest> locks;
  if (objects.empty()) return locks;
  for (const pg::Row &row :
       pg::execute("SELECT (found.parts[1])::oid AS relation, max((found.parts[2])::int) AS mode"
                   " FROM " +
                       catalog + " o, unnest(ARRAY[" + trees_of(catalog) +
                       "]) AS t (tree), regexp_matches(t.tree, ':relid (\\d+) [^{}()]*?:rellockmode (\\d+)', 'g')"
                       " AS found (parts) JOIN pg_class c ON c.oid = (found.parts[1])::oid"
                       " WHERE o.oid = ANY ($1) AND (found.parts[1])::oid <> $2"
                       " GROUP BY 1 ORDER BY 1",
                   {oid_array(objects), pg::Param::oid(swap.in)}))
    if (!swap.leaves(row.oid("relation")))
      locks.push_back({row.oid("relation"), static_cast<pg::LockMode>(row.integer("mode"))});
  return locks;
}

}  // namespace backfill
