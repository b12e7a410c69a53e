// row_count: how many rows there are, between min and max (either may be left out), ends included.
#include "audit/check.hpp"
#include "core/sql_text.hpp"

namespace backfill {

namespace {

std::string failing(const Check &check) {
  const Node *const min = check.find("min"), *const max = check.find("max");
  if (min != nullptr && max != nullptr) {
    if (min->integer() > max->integer())
      throw invalid_value(*max, "at least " + min->text() + ", which is the minimum");
    return "not between " + min->value() + " and " + max->value();
  }
  if (min != nullptr) return "< " + min->value();
  return max != nullptr ? "> " + max->value() : "< 0";
}

std::string expected(const Check &check, const Job &) {
  const Node *const min = check.find("min"), *const max = check.find("max");
  if (min != nullptr && max != nullptr)
    return min->value() == max->value() ? min->text() + " rows" : min->text() + " to " + max->text() + " rows";
  if (min != nullptr) return "at least " + min->text() + " rows";
  return max != nullptr ? "at most " + max->text() + " rows" : "a row count";
}

Measurement measure(const Check &check, const Scene &scene) {
  if (check.limits.percent())
    throw Error(sqlstate::invalid_parameter_value, "a threshold at \"" + check.args.path + "\" is a percentage",
                "row_count measures a number of rows, which is a share of nothing.",
                "Use row_count_delta for a share of live.");
  // Rows that wait in the log will be there: they are counted where they are.
  std::string count = "(SELECT count(*) FROM " + scene.table + " WHERE " + scene.rows + ")";
  if (scene.pending > 0 && check.find("where") == nullptr)
    count += "\n       + (SELECT count(*) FROM " + qualified(scene.shape.schema, scene.shape.table) + " AS " +
             scene.table + " WHERE " + scene.rows + " AND NOT " + scene.settled(scene.shape.table) + ")";
  Measurement out = count_rows(scene, "SELECT " + count + " AS measured, NULL::bigint AS population", "row|rows");
  return out;
}

}  // namespace

extern const CheckKind row_count_check;
const CheckKind row_count_check = {"row_count", failing, expected, measure};

}  // namespace backfill
