// unique: no two rows have the same values in these columns (default: the key).  Rows with a null in one of them are
// not compared.  Where a unique index proves it, nothing is read.
#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

std::vector<std::string> columns_of(const Check &check, const Job &job) {
  return check.columns().empty() ? job.key : check.columns();
}

std::string more_than_none(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &job) {
  return "no duplicates in " + listed_columns(columns_of(check, job));
}

// A valid, immediate, unpartial unique index on some of the columns, with their own collations; "" where there is none.
std::string proving_index(const Scene &scene, const std::vector<std::string> &columns) {
  return pg::query_value(
             "SELECT max(i.indexrelid::regclass::text) FROM pg_catalog.pg_index i"
             " WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indimmediate AND i.indisvalid"
             " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS ("
             "   SELECT FROM generate_series(0, i.indnkeyatts - 1) AS n"
             "   JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]"
             "   WHERE a.attname <> ALL ($2) OR a.attcollation <> i.indcollation[n])",
             {scene.shadow, columns})
      .value_or("");
}

Measurement measure(const Check &check, const Scene &scene) {
  std::vector<std::string> const columns = columns_of(check, scene.job);
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), columns);
  if (!scene.trial) {
    std::string const index = proving_index(scene, columns);
    if (!index.empty()) {
      Measurement proven;
      proven.population = 0;
      proven.actual = "0 duplicate keys";
      proven.detail = "proven by unique index " + index;
      return proven;
    }
  }
  return count_rows(scene,
                    "SELECT count(*) FILTER (WHERE occurrences > 1) AS measured,\n"
                    "       coalesce(sum(occurrences), 0) AS population\n"
                    "FROM (SELECT count(*) AS occurrences FROM " +
                        scene.table + " WHERE " + scene.rows + " AND " + quoted_columns(columns, " IS NOT NULL AND ") +
                        " IS NOT NULL\n      GROUP BY " + quoted_columns(columns) + ") AS keys",
                    "duplicate key|duplicate keys");
}

// Every row whose values another row has too.
std::string rows_at_fault(const Check &check, const Scene &scene) {
  std::string const columns = quoted_columns(columns_of(check, scene.job));
  std::string const filled =
      scene.rows + " AND " + quoted_columns(columns_of(check, scene.job), " IS NOT NULL AND ") + " IS NOT NULL";
  return "SELECT " + scene.table + ".* FROM " + scene.table + " WHERE " + filled + "\n  AND (" + columns +
         ") IN (SELECT " + columns + " FROM " + scene.table + " WHERE " + filled + " GROUP BY " + columns +
         " HAVING count(*) > 1)\nORDER BY " + columns;
}

}  // namespace

extern const CheckKind unique_check;
const CheckKind unique_check = {.word = "unique",
                                .failing = more_than_none,
                                .expected = expected,
                                .measure = measure,
                                .whole_table = true,
                                .rows_at_fault = rows_at_fault};

}  // namespace backfill
