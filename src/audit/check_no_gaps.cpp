// no_gaps: every stretch of the scope, one `interval` long, has a row.  Stretches of time begin where the scope begins
// and follow the job's time zone, so that a day of 23 hours is one day; of an integer column they are that many keys.
//
// The chunk column is looked at within the scope, what is excluded left out; any other between its own least and greatest
// value.  One pass: rows are dealt to the stretches by width_bucket, those without any are counted.
#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

constexpr long long most_stretches = 100000;
constexpr int listed = 5;

std::string failing(const Check &) { return "> 0"; }

std::string interval_of(const Check &check, bool integer) { return check.text("interval", integer ? "1" : "1 day"); }

std::string expected(const Check &check, const Job &) {
  return "a row in every " + check.text("interval", "stretch") + " of " + check.text("column");
}

struct Series {
  std::string column, type, step;
  std::string from, until;  // SQL: the begin, and where no stretch begins any more
  std::string condition;    // on g, the begin of a stretch
  bool scoped = false, integer = false;
};

std::string begins_in_scope(const Job &job, const std::string &type) {
  std::string condition;
  for (std::size_t i = 0; i + 1 < job.exclude.size(); i += 2)
    condition += (condition.empty() ? "" : " AND ") + ("NOT (g >= " + quote_literal(job.exclude[i]) + "::" + type) +
                 " AND g < " + quote_literal(job.exclude[i + 1]) + "::" + type + ")";
  return condition.empty() ? "true" : condition;
}

Series series_of(const Check &check, const Scene &scene) {
  const TableShape::Column &column = *find_column(scene.shape, check.text("column"));
  Series series;
  series.type = column.base_type;
  series.integer = series.type == "integer" || series.type == "bigint" || series.type == "smallint";
  if (!series.integer && series.type != "date" && series.type.rfind("timestamp", 0) != 0)
    throw meaningless(check, "Column \"" + column.name + "\" is of type " + column.type + ", which has no stretches.",
                      "Name a date, a timestamp or an integer.");
  series.column = scene.table + "." + quote_ident(column.name);
  std::string const step = interval_of(check, series.integer);
  series.step = series.integer ? quote_literal(step) + "::bigint" : quote_literal(step) + "::interval";
  series.scoped = column.name == scene.shape.chunk_column && scene.job.start && !scene.chunk && check.scope() == "run";
  std::string const wide = series.integer ? "bigint" : series.type == "date" ? "timestamp" : series.type;
  std::string const range = " FROM " + scene.drained() + " WHERE " + scene.rows + ")";
  series.from = series.scoped ? quote_literal(*scene.job.start) + "::" + wide
                              : "(SELECT min(" + series.column + ")::" + wide + range;
  series.until = series.scoped ? quote_literal(*scene.job.stop) + "::" + wide
                               : "(SELECT max(" + series.column + ")::" + wide + range;
  series.condition = series.scoped ? "g < " + series.until + " AND " + begins_in_scope(scene.job, wide) : "true";
  series.type = wide;
  return series;
}

Measurement measure(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("column"), {check.text("column")});
  Series const series = series_of(check, scene);
  std::string const begins = "SELECT g FROM generate_series(" + series.from + ", " + series.until + ", " + series.step +
                             ") AS g WHERE " + series.condition;
  pg::Result const counted = scene.query("SELECT count(*) AS measured, NULL::bigint AS population\nFROM (" + begins +
                                         " LIMIT " + std::to_string(most_stretches + 1) + ") AS series");
  if (!scene.trial && counted.only().integer("measured") > most_stretches)
    throw meaningless(check, "There are more than " + format_count(most_stretches) + " stretches.",
                      "Take a longer interval.");
  // A gap's begin is a point of the series, not a value of a row.
  std::string const shown = !series.scoped   ? "NULL::text"
                            : series.integer ? "s.g::text"
                                             : "to_char(s.g, CASE WHEN s.g = date_trunc('day', s.g) THEN 'YYYY-MM-DD' "
                                               "ELSE 'YYYY-MM-DD HH24:MI:SS' END)";
  pg::Result const found = scene.query(
      "SELECT count(*) FILTER (WHERE seen.n IS NULL) AS measured, count(*) AS population,\n"
      "       array_to_string((array_agg(" +
      shown + " ORDER BY s.n) FILTER (WHERE seen.n IS NULL))[1:" + std::to_string(listed) +
      "], ', ') AS first\nFROM (SELECT g, row_number() OVER (ORDER BY g) AS n FROM (" + begins +
      ") AS series) AS s\nLEFT JOIN (SELECT DISTINCT width_bucket(" + series.column + "::" + series.type +
      ", (SELECT array_agg(g ORDER BY g) FROM (" + begins + ") AS series)) AS n\n      FROM " + scene.drained() +
      " WHERE " + scene.rows + ") AS seen ON seen.n = s.n");
  Measurement out;
  if (scene.trial) return out;
  pg::Row const row = found.only();
  out.measured = row.number("measured");
  out.population = row.number("population");
  out.actual = worded(out.measured, out.population, "gap|gaps");
  if (out.measured == 0) out.detail = format_count(row.integer("population")) + " stretches checked";
  if (out.measured > 0 && series.scoped)
    out.detail = "from " + row.text("first") + (out.measured > listed ? " ..." : "");
  return out;
}

}  // namespace

extern const CheckKind no_gaps_check;
const CheckKind no_gaps_check = {.word = "no_gaps", .failing = failing, .expected = expected, .measure = measure};

}  // namespace backfill
