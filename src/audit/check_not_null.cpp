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

}  // namespace

extern const CheckKind not_null_check;
const CheckKind not_null_check = {.word = "not_null",
                                  .failing = failing,
                                  .expected = expected,
                                  .measure = measure_alone,
                                  .at_fault = at_fault,
                                  .counted = "row with a null|rows with a null",
                                  .samples = true};

}  // namespace backfill
