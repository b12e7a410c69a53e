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

void require_a_number(const Check &check) {
  if (check.limits.percent())
    throw Error(sqlstate::invalid_parameter_value, "a threshold at \"" + check.args.path + "\" is a percentage",
                "row_count measures a number of rows, which is a share of nothing.",
                "Use row_count_delta for a share of live.");
}

bool counts_waiting_rows(const Check &check, const Scene &scene) {
  return scene.pending > 0 && check.find("where") == nullptr;
}

std::optional<Aggregates> aggregates(const Check &check, const Scene &scene) {
  require_a_number(check);
  if (counts_waiting_rows(check, scene)) return std::nullopt;
  return Aggregates{{"count(*)"}, {}, [](const std::vector<double> &fresh, const std::vector<double> &) {
                      Measurement out;
                      out.measured = fresh[0];
                      out.actual = worded(out.measured, std::nullopt, "row|rows");
                      return out;
                    }};
}

// Rows that wait in the log will be there: they are counted where they are.
Measurement measure(const Check &check, const Scene &scene) {
  require_a_number(check);
  if (!counts_waiting_rows(check, scene)) return measure_alone(check, scene);
  std::string const count = "(SELECT count(*) FROM " + scene.table + " WHERE " + scene.rows +
                            ")\n       + (SELECT count(*) FROM " + qualified(scene.shape.schema, scene.shape.table) +
                            " AS " + scene.table + " WHERE " + scene.rows + " AND NOT " +
                            scene.settled(scene.shape.table) + ")";
  return count_rows(scene, "SELECT " + count + " AS measured, NULL::bigint AS population", "row|rows");
}

}  // namespace

extern const CheckKind row_count_check;
const CheckKind row_count_check = {
    .word = "row_count", .failing = failing, .expected = expected, .measure = measure, .aggregates = aggregates};

}  // namespace backfill
