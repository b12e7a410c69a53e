// backfill.metric: what rows in scope add up to in live and in the new version, bucket by bucket, so that people can
// see where the two part.  It records and judges nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "audit/check.hpp"

namespace backfill {

// Of the subject's side, all buckets together; and the rows of live.
struct MetricTotals {
  std::int64_t rows = 0, live_rows = 0;
  std::map<std::string, std::int64_t> nulls;  // column -> how many
};

// The columns that the transform sets; of a query those that are neither key nor chunk column, the first dozen of them.
std::vector<std::string> metric_columns(const Job &job, const TableShape &shape);

// Measures rows, nulls, sums and averages of these columns in the scene, one pass a side, and stores them for the job's
// newest audit, in place of what was there; before the run (scene.pre) those of live alone, as audit 0.
// In a trial it only explains the statement.
MetricTotals store_metrics(const Scene &scene, const std::vector<std::string> &columns);

}  // namespace backfill
