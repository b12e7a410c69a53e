// failed_rows: the query returns bad rows; none is good.  It is written for the target: the table's unqualified name
// means the new version, the schema-qualified one means live, so that both can be compared.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &, const Job &) { return "the query returns no row"; }

Measurement measure(const Check &check, const Scene &scene) {
  if (check.find("where") != nullptr || check.scope() == "chunk")
    throw Error(sqlstate::feature_not_supported,
                "\"" + check.args.path + "\" of failed_rows takes neither where nor scope: chunk",
                "The query itself says which rows it looks at.", "Put the condition into the query.");
  std::string const population = check.limits.percent() ? "(SELECT count(*) FROM " + scene.table + ")" : "NULL::bigint";
  return count_rows(scene,
                    "SELECT count(*) AS measured, " + population + " AS population\nFROM (" +
                        fragment(scene.job, *check.find("query")) + "\n) AS failed",
                    "failed row|failed rows");
}

std::string rows_at_fault(const Check &check, const Scene &scene) {
  return "SELECT to_jsonb(failed) AS \"row\" FROM (" + fragment(scene.job, *check.find("query")) + "\n) AS failed";
}

}  // namespace

extern const CheckKind failed_rows_check;
const CheckKind failed_rows_check = {.word = "failed_rows",
                                     .failing = failing,
                                     .expected = expected,
                                     .measure = measure,
                                     .whole_table = true,
                                     .rows_at_fault = rows_at_fault,
                                     .failure_columns = "\"row\" jsonb"};

}  // namespace backfill
