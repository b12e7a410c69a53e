// target_column_exists: what the transform sets is a column of the table, or one that it adds.
#include <algorithm>

#include "audit/check.hpp"

namespace backfill {

namespace {

std::vector<std::string> columns_of(const Check &check, const Job &job) {
  std::vector<std::string> columns = check.columns();
  if (columns.empty())
    for (const auto &[column, expression] : job.spec.transform.set) columns.push_back(column);
  return columns;
}

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &job) {
  std::vector<std::string> const columns = columns_of(check, job);
  if (columns.empty()) return "every column that is set exists";
  return listed_columns(columns) + (columns.size() == 1 ? " exists" : " exist");
}

Measurement measure(const Check &check, const Scene &scene) {
  std::vector<std::string> const columns = columns_of(check, scene.job);
  Measurement out;
  std::vector<std::string> missing;
  for (const std::string &column : columns) {
    bool const known = std::any_of(scene.shape.columns.begin(), scene.shape.columns.end(),
                                   [&](const TableShape::Column &known) { return known.name == column; });
    if (!known) missing.push_back(column);
  }
  if (scene.trial)
    require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), missing);
  out.measured = static_cast<double>(missing.size());
  out.population = static_cast<double>(columns.size());
  out.actual = worded(out.measured, out.population, "missing column|missing columns");
  if (!missing.empty()) out.detail = "missing: " + listed_columns(missing);
  return out;
}

}  // namespace

extern const CheckKind target_column_exists_check;
const CheckKind target_column_exists_check = {"target_column_exists", failing, expected, measure, nullptr, true};

}  // namespace backfill
