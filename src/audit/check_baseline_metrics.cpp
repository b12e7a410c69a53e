// baseline_metrics: what the rows in scope looked like before: how many, and how many nulls in the columns that the
// transform sets (or those named).  It records and never fails, unless a threshold on the row count says so.
#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "< 0"; }

std::string expected(const Check &, const Job &) { return "recorded"; }

// Those that exist before the backfill.
std::vector<std::string> columns_of(const Check &check, const Scene &scene) {
  std::vector<std::string> wanted = check.columns(), columns;
  if (wanted.empty())
    for (const auto &[column, expression] : scene.job.spec.transform.set) wanted.push_back(column);
  for (const std::string &name : wanted)
    for (const TableShape::Column &column : scene.shape.columns)
      if (column.name == name && !column.added) columns.push_back(name);
  return columns;
}

Measurement measure(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), check.columns());
  std::vector<std::string> const columns = columns_of(check, scene);
  std::string nulls = "ARRAY[]::bigint[]";
  if (!columns.empty()) {
    nulls.clear();
    for (const std::string &column : columns)
      nulls += (nulls.empty() ? "" : ", ") + ("count(*) FILTER (WHERE num_nulls(" + quote_ident(column)) + ") > 0)";
    nulls = "ARRAY[" + nulls + "]";
  }
  pg::Result const found = scene.query("SELECT count(*) AS measured, NULL::bigint AS population, (" + nulls +
                                       ")::text[] AS nulls\nFROM " + scene.table + " WHERE " + scene.rows);
  Measurement out;
  out.measured = found.only().number("measured");
  out.actual = worded(out.measured, std::nullopt, "row in scope|rows in scope");
  if (scene.trial) return out;
  std::vector<std::string> const counts = found.only().texts("nulls");
  for (std::size_t i = 0; i < counts.size(); i++)
    out.detail += (i > 0 ? ", " : "") + columns[i] + ": " + worded(std::stod(counts[i]), out.measured, "null|nulls");
  return out;
}

}  // namespace

extern const CheckKind baseline_metrics_check;
const CheckKind baseline_metrics_check = {"baseline_metrics", failing, expected, measure};

}  // namespace backfill
