// expression: the SQL expression is true for every row.  False and null are both not true, so that a forgotten
// coalesce shows; write "x IS NULL OR ..." where null is fine.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) { return check.text("sql"); }

std::string at_fault(const Check &check, const Scene &scene) {
  return "(" + fragment(scene.job, *check.find("sql")) + "\n) IS NOT TRUE";
}

}  // namespace

extern const CheckKind expression_check;
const CheckKind expression_check = {.word = "expression",
                                    .failing = failing,
                                    .expected = expected,
                                    .measure = measure_alone,
                                    .at_fault = at_fault,
                                    .counted = "row for which it is not true|rows for which it is not true",
                                    .samples = true};

}  // namespace backfill
