// baseline_metrics: what the rows in scope looked like before: how many, and how many nulls in the columns that the
// transform sets (or those named); bucket by bucket in backfill.metrics, as audit 0.  It records and never fails, unless
// a threshold on the row count says so.
#include "audit/check.hpp"
#include "audit/metrics.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "< 0"; }

std::string expected(const Check &, const Job &) { return "recorded"; }

// Those that exist before the backfill.
std::vector<std::string> columns_of(const Check &check, const Scene &scene) {
  std::vector<std::string> wanted = check.columns(), columns;
  if (wanted.empty()) wanted = metric_columns(scene.job, scene.shape);
  for (const std::string &name : wanted)
    for (const TableShape::Column &column : scene.shape.columns)
      if (column.name == name && !column.added) columns.push_back(name);
  return columns;
}

Measurement measure(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), check.columns());
  std::vector<std::string> const columns = columns_of(check, scene);
  MetricTotals const totals = store_metrics(scene, columns);
  Measurement out;
  out.measured = static_cast<double>(totals.rows);
  out.actual = worded(out.measured, std::nullopt, "row in scope|rows in scope");
  for (const std::string &column : columns) {
    auto const nulls = totals.nulls.find(column);
    double const count = nulls == totals.nulls.end() ? 0 : static_cast<double>(nulls->second);
    out.detail += (out.detail.empty() ? "" : ", ") + column + ": " + worded(count, out.measured, "null|nulls");
  }
  return out;
}

}  // namespace

extern const CheckKind baseline_metrics_check;
const CheckKind baseline_metrics_check = {"baseline_metrics", failing, expected, measure};

}  // namespace backfill
