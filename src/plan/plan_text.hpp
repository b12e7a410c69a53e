// The plan as a person reads it: EXPLAIN-like, at most 100 columns, the next command last.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "plan/choice.hpp"
#include "plan/chunks.hpp"
#include "plan/dependents.hpp"
#include "plan/target.hpp"

namespace backfill {

// What the work is expected to take.  Seconds are a range from stated rates, a guess until the run measures.
struct Estimate {
  std::int64_t rows = 0, disk_bytes = 0, wal_bytes = 0;
  double fast_seconds = 0, slow_seconds = 0;
};
// share: of the table that is built.
Estimate estimate_work(const Target &target, const Spec &spec, double share);

// Everything the text tells; lives within the planning call.
struct PlanFacts {
  const Job &job;
  const Choice &choice;
  const Target &target;
  const FrozenScope &scope;
  const ChunkPlan &chunks;
  const Estimate &estimate;
  const std::vector<Dependent> &dependents;
  const std::vector<std::string> &reads;  // where chunks are read, if not here
  const std::vector<Step> &pre_checks, &checks, &publishing;
  const std::vector<std::string> &warnings;  // sentences
  std::string planned_by;
};
std::vector<std::string> plan_text(const PlanFacts &facts);

}  // namespace backfill
