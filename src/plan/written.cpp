#include "plan/written.hpp"

#include <algorithm>

#include "pg/role.hpp"

namespace backfill {

namespace {

// A row found by its key, updated and logged, and an entry of each index; on a slow server.
constexpr double row_seconds = 25e-6, index_seconds = 10e-6;

// $1: the table, $2: the columns written.  What follows from them is written too.  One row for each thing in the way.
constexpr char obstacles_sql[] = R"(
WITH written AS (SELECT attnum FROM pg_attribute WHERE attrelid = $1 AND attname = ANY ($2::name[])),
touched AS (
  SELECT attnum FROM written
  UNION
  SELECT a.attnum FROM pg_attribute a JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    JOIN pg_depend d ON (d.classid, d.objid) = ('pg_attrdef'::regclass::oid, f.oid)
      OR (d.classid, d.objid, d.objsubid) = ('pg_class'::regclass::oid, $1, a.attnum::int)
    JOIN written w ON d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = w.attnum
   WHERE a.attrelid = $1 AND a.attgenerated <> ''
),
named AS (SELECT a.attnum, a.attname, a.attidentity FROM pg_attribute a JOIN touched t USING (attnum) WHERE a.attrelid = $1)
SELECT 'column "' || n.attname || '" is part of unique index "' || c.relname || '"' AS why
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN named n ON n.attnum = ANY (i.indkey::int2[])
    OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = n.attnum)
 WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
UNION ALL
SELECT 'column "' || n.attname || '" is part of foreign key "' || k.conname || '"'
  FROM pg_constraint k JOIN named n ON (k.conrelid = $1 AND n.attnum = ANY (k.conkey)) OR (k.confrelid = $1 AND n.attnum = ANY (k.confkey))
 WHERE k.contype = 'f' AND $1 IN (k.conrelid, k.confrelid) AND NOT backfill.is_retired_key(k.oid)
UNION ALL
SELECT 'identity column "' || n.attname || '" is GENERATED ALWAYS' FROM named n WHERE n.attidentity = 'a'
UNION ALL
SELECT 'trigger "' || t.tgname || '" would fire' FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND t.tgtype & 16 <> 0
   AND p.pronamespace <> 'backfill'::regnamespace
UNION ALL
SELECT 'rule "' || r.rulename || '" would be applied' FROM pg_rewrite r
 WHERE r.ev_class = $1 AND r.ev_type = '2' AND r.ev_enabled IN ('A', 'R')
ORDER BY 1)";

}  // namespace

std::vector<std::string> written_columns(Oid live, const Spec &spec, const std::vector<std::string> &key) {
  std::vector<std::string> columns;
  for (const pg::Row &row : pg::as_extension([&] {
         return pg::execute(
             "SELECT attname FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
             " AND attgenerated = '' AND attname <> ALL ($2::name[]) ORDER BY attnum",
             {pg::Param::oid(live), key});
       }))
    columns.push_back(row.text("attname"));
  if (spec.transform.is_query()) return columns;
  std::erase_if(columns, [&](const std::string &column) {
    return std::none_of(spec.transform.set.begin(), spec.transform.set.end(),
                        [&](const auto &set) { return set.first == column; });
  });
  return columns;
}

std::optional<Unwritable> why_not_written(Oid live, const Spec &spec, const std::vector<std::string> &key) {
  if (!spec.transform.add_columns.empty())
    return Unwritable{"it cannot add a column", "Rows are written to the table as it is."};
  if (!spec.scope.start || !spec.scope.stop || spec.strategy.chunk_by == "blocks")
    return Unwritable{"it needs a scope with start and stop, in chunks of ranges",
                      "Only the rows in scope are built and written."};
  std::vector<std::string> const columns = written_columns(live, spec, key);
  if (columns.empty())
    return Unwritable{"there is no column to be written", "All columns of the table belong to its key."};
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(obstacles_sql, {pg::Param::oid(live), columns});
  });
  if (found.empty()) return std::nullopt;
  return Unwritable{found[0].text("why"),
                    "Rows are written one after the other, past triggers and foreign keys: what these would have to "
                    "judge is not for strategy merge."};
}

double seconds_to_write(Oid live, double rows) {
  double const indexes = static_cast<double>(pg::as_extension(
      [&] { return pg::query_integer("SELECT count(*) FROM pg_index WHERE indrelid = $1", {pg::Param::oid(live)}); }));
  return rows * (row_seconds + indexes * index_seconds);
}

std::int64_t rows_written_within(Oid live, Milliseconds milliseconds) {
  return static_cast<std::int64_t>(static_cast<double>(milliseconds) / 1000 / seconds_to_write(live, 1));
}

}  // namespace backfill
