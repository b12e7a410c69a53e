// accepted_range: the column lies between min and max (either may be left out), the ends included unless told
// otherwise.  Nulls are not looked at.
#include "audit/check.hpp"
#include "core/sql_text.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) {
  bool const inclusive = check.boolean("inclusive", true);
  std::string const column = check.text("column");
  const Node *const min = check.find("min"), *const max = check.find("max");
  if (min != nullptr && max != nullptr)
    return column + " between " + min->text() + " and " + max->text() + (inclusive ? "" : ", ends excluded");
  if (min != nullptr) return column + (inclusive ? " at least " : " above ") + min->text();
  return column + (inclusive ? " at most " : " below ") + max->text();
}

// The literals take the column's type.
std::string out_of_range(const Check &check) {
  bool const inclusive = check.boolean("inclusive", true);
  std::string const column = quote_ident(check.text("column"));
  std::string condition;
  if (const Node *const min = check.find("min"))
    condition = column + (inclusive ? " < " : " <= ") + quote_literal(min->value());
  if (const Node *const max = check.find("max"))
    condition +=
        (condition.empty() ? "" : " OR ") + column + (inclusive ? " > " : " >= ") + quote_literal(max->value());
  return condition;
}

std::string at_fault(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("column"), {check.text("column")});
  return "(" + out_of_range(check) + ")";
}

}  // namespace

extern const CheckKind accepted_range_check;
const CheckKind accepted_range_check = {.word = "accepted_range",
                                        .failing = failing,
                                        .expected = expected,
                                        .measure = measure_alone,
                                        .at_fault = at_fault,
                                        .counted = "row outside|rows outside",
                                        .samples = true};

}  // namespace backfill
