// freshness: the newest value of a column is no older than max_age.  Every row counts, also those that wait in the log
// as far as they have been drained before.
#include <cmath>

#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

double most_seconds(const Check &check) {
  const Node &age = *check.find("max_age");
  std::optional<std::int64_t> const most = parse_duration(age.text());
  if (!most || *most < 0) throw invalid_value(age, "a duration such as 2 days or 6 h");
  return static_cast<double>(*most) / 1000;
}

std::string failing(const Check &check) { return "> " + std::to_string(most_seconds(check)); }

std::string expected(const Check &check, const Job &) {
  return "the newest " + check.text("column") + " is no older than " + check.text("max_age");
}

Measurement measure(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("column"), {check.text("column")});
  std::string const &type = find_column(scene.shape, check.text("column"))->base_type;
  if (type != "date" && type.rfind("timestamp", 0) != 0)
    throw meaningless(check, "Column \"" + check.text("column") + "\" is of type " + type + ", which has no age.",
                      "Name a date or a timestamp.");
  if (check.limits.percent())
    throw meaningless(check, "An age in seconds is a share of nothing.", "State thresholds in seconds.");
  pg::Result const found = scene.query("SELECT extract(epoch FROM clock_timestamp() - max(" + scene.table + "." +
                                       quote_ident(check.text("column")) +
                                       ")::timestamptz)::float8 AS measured, NULL::bigint AS population\nFROM " +
                                       scene.drained() + " WHERE " + scene.rows);
  Measurement out;
  if (scene.trial) return out;
  pg::Row const row = found.only();
  bool const none = row.null("measured");
  out.measured = none ? std::nan("") : row.number("measured");
  out.actual = none               ? "no value"
               : out.measured < 0 ? "in the future by " + format_duration(-out.measured)
                                  : format_duration(out.measured) + " old";
  return out;
}

}  // namespace

extern const CheckKind freshness_check;
const CheckKind freshness_check = {
    .word = "freshness", .failing = failing, .expected = expected, .measure = measure, .whole_table = true};

}  // namespace backfill
