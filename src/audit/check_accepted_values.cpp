// accepted_values: the column holds one of these values.  Nulls are not looked at: not_null does that.
#include "audit/check.hpp"
#include "core/sql_text.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) {
  return check.text("column") + " one of " + listed_columns(check.find("values")->values());
}

// The literals take the column's type.
std::string value_list(const Check &check) {
  std::string list;
  for (const std::string &value : check.find("values")->values())
    list += (list.empty() ? "" : ", ") + quote_literal(value);
  if (list.empty()) throw invalid_value(*check.find("values"), "a list of at least one value");
  return list;
}

std::string at_fault(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("column"), {check.text("column")});
  return quote_ident(check.text("column")) + " NOT IN (" + value_list(check) + ")";
}

}  // namespace

extern const CheckKind accepted_values_check;
const CheckKind accepted_values_check = {.word = "accepted_values",
                                         .failing = failing,
                                         .expected = expected,
                                         .measure = measure_alone,
                                         .at_fault = at_fault,
                                         .counted = "row with another value|rows with another value",
                                         .samples = true};

}  // namespace backfill
