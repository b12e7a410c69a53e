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

Measurement measure(const Check &check, const Scene &scene) {
  std::string const against = check.text("against", "live");
  if (against != "live")
    throw Error(sqlstate::feature_not_supported,
                "\"" + check.args.path + ".against\" cannot be \"" + against + "\" in this version",
                "Row counts are compared with live.", "Leave it out.");
  std::string const way = direction(check);
  pg::Result const found = scene.query("SELECT (SELECT count(*) FROM " + scene.table + " WHERE " + scene.rows +
                                       ") AS measured,\n       (SELECT count(*) FROM " + scene.live + " WHERE " +
                                       scene.rows + ") AS population");
  double const fresh = found.only().number("measured"), live = found.only().number("population");
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

}  // namespace

extern const CheckKind row_count_delta_check;
const CheckKind row_count_delta_check = {"row_count_delta", failing, expected, measure, nullptr, false, true};

}  // namespace backfill
