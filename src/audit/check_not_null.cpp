// not_null: each of these columns is filled in every row.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) { return "no nulls in " + listed_columns(check.columns()); }

std::string at_fault(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), check.columns());
  return "num_nulls(" + quoted_columns(check.columns()) + ") > 0";
}

std::optional<Aggregates> aggregates(const Check &check, const Scene &scene) {
  return count_those(at_fault(check, scene), "row with a null|rows with a null");
}

std::string rows_at_fault(const Check &check, const Scene &scene) {
  return select_those(scene, at_fault(check, scene));
}

}  // namespace

extern const CheckKind not_null_check;
const CheckKind not_null_check = {.word = "not_null",
                                  .failing = failing,
                                  .expected = expected,
                                  .measure = measure_alone,
                                  .aggregates = aggregates,
                                  .rows_at_fault = rows_at_fault,
                                  .samples = true};

}  // namespace backfill
