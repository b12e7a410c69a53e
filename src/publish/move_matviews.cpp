// Materialized views.  One that reads the table gets the query it had, now meaning the table that entered service: the
// same OID, and its contents stay until they are computed anew after the swap.  Whoever reads it notices nothing, since
// only REFRESH looks at the query; so readers need not be kept out, only a REFRESH and DDL.
//
// Those that read through views or other materialized views keep their query; their contents are old all the same.  All
// are refreshed by a step each (refresh.hpp), in order (downstream.hpp).
#include "core/sql_text.hpp"
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

}  // namespace backfill
