// Materialized views.  One that reads the table gets the query it had, now meaning the table that entered service: the
// same OID, and its contents stay until they are computed anew after the swap.  Whoever reads it notices nothing, since
// only REFRESH looks at the query; so readers need not be kept out, only a REFRESH and DDL.
//
// Those that read through views or other materialized views keep their query; their contents are old all the same.  All
// are refreshed by a step each (refresh.hpp), one stage for each materialized view that lies between.
#include <map>

#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result matviews_on(Oid table) {
  return pg::execute(
      "SELECT DISTINCT m.oid, pg_get_viewdef(m.oid) AS definition"
      " FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
      " JOIN pg_class m ON m.oid = r.ev_class AND m.relkind = 'm'"
      " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
      " ORDER BY m.oid",
      {pg::Param::oid(table)});
}

// Populated ones whose contents come from the table, through whatever views; `depth` counts the materialized views on the
// longest way, itself among them.  It is bounded because a view may have been replaced by one that reads what reads it.
pg::Result matviews_from(Oid table) {
  return pg::execute(
      "WITH RECURSIVE known AS (SELECT count(*) AS matviews FROM pg_class WHERE relkind = 'm'),"
      " reads (oid, depth) AS (SELECT $1::oid, 0 UNION"
      "   SELECT c.oid, depth + (c.relkind = 'm')::integer FROM reads"
      "   JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reads.oid"
      "     AND d.classid = 'pg_rewrite'::regclass"
      "   JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN'"
      "   JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm') AND c.oid <> reads.oid, known"
      "   WHERE depth < matviews)"
      " SELECT c.oid, n.nspname, c.relname, max(depth) AS depth FROM reads JOIN pg_class c USING (oid)"
      " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated"
      " GROUP BY c.oid, n.nspname, c.relname ORDER BY max(depth), n.nspname COLLATE \"C\", c.relname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

// Where several tables leave service together, one refresh will do.
bool refreshed_by_another(const Swap &swap, Oid matview) {
  for (Oid const peer : swap.peers) {
    if (peer >= swap.out) break;
    for (const pg::Row &row : matviews_from(peer))
      if (row.oid("oid") == matview) return true;
  }
  return false;
}

}  // namespace

std::vector<LockRequest> matview_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (const pg::Row &row : matviews_on(swap.out))
    locks.push_back({row.oid("oid"), pg::LockMode::share_update_exclusive});
  return locks;
}

std::vector<std::string> move_matviews(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &row : matviews_on(swap.out))
    sql.push_back("SELECT backfill.replace_query(" + row.text("oid") + ", " + quote_literal(row.text("definition")) +
                  ")");
  return sql;
}

std::vector<Step> after_matviews(const Swap &swap) {
  std::vector<Step> steps;
  for (const pg::Row &row : matviews_from(swap.out)) {
    if (refreshed_by_another(swap, row.oid("oid"))) continue;
    steps.push_back(after_step(swap, stage::after + static_cast<int>(row.integer("depth")), "refresh",
                               "refresh materialized view " + display_name(row.text("nspname"), row.text("relname")),
                               "{\"matview\": " + row.text("oid") + "}"));
  }
  return steps;
}

}  // namespace backfill
