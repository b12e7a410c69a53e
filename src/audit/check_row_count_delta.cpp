// row_count_delta: rows of the new version less rows of live, as a number and as a share of live.
//
// direction: increase looks at growth only, decrease at loss only (both then count upwards); any is the difference.
#include "audit/check.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "!= 0"; }

std::string direction(const Check &check) {
  std::string const direction = check.text("direction", "any");
  if (direction != "any" && direction != "increase" && direction != "decrease")
    throw invalid_value(*check.find("direction"), "any, increase or decrease");
  return direction;
}

std::string expected(const Check &check, const Job &) {
  if (check.limits.given) return "row count near live's";
  std::string const way = direction(check);
  return way == "increase"   ? "no more rows than live"
         : way == "decrease" ? "no fewer rows than live"
                             : "as many rows as live";
}

std::string signed_number(double value) {
  return (value > 0 ? "+" : "") + format_count(static_cast<std::int64_t>(value)) +
         (value == 1 || value == -1 ? " row" : " rows");
}

Measurement compared(const std::string &way, double fresh, double live) {
  double const delta = fresh - live;
  Measurement out;
  out.population = live;
  out.measured = way == "increase" ? (delta > 0 ? delta : 0) : way == "decrease" ? (delta < 0 ? -delta : 0) : delta;
  out.actual = delta == 0 ? "no difference" : signed_number(delta);
  if (delta != 0 && live > 0) out.actual += " (" + format_percent(percent_of(delta, live)) + ")";
  out.detail = format_count(static_cast<std::int64_t>(fresh)) + " rows, live has " +
               format_count(static_cast<std::int64_t>(live));
  return out;
}

std::optional<Aggregates> aggregates(const Check &check, const Scene &) {
  return Aggregates{{"count(*)"},
                    {"count(*)"},
                    [way = direction(check)](const std::vector<double> &fresh, const std::vector<double> &live) {
                      return compared(way, fresh[0], live[0]);
                    }};
}

}  // namespace

extern const CheckKind row_count_delta_check;
const CheckKind row_count_delta_check = {.word = "row_count_delta",
                                         .failing = failing,
                                         .expected = expected,
                                         .measure = measure_alone,
                                         .compares = true,
                                         .aggregates = aggregates,
                                         .against = ""};

}  // namespace backfill
