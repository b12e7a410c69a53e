// Plan: spec + facts of the table -> a job with all its steps, and a text that tells a person what will happen.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "core/node.hpp"

namespace backfill {

// The steps that higher floors know how to plan; each is asked with the job as it is about to be stored.
struct PlanParts {
  using Steps = std::function<std::vector<Step>(const Job &)>;
  Steps pre_checks;  // phase prepare, stage 1
  Steps checks;      // phase audit, stage 11
  Steps publishing;  // phases publish and after, stages 12 and on
};

// Validates, computes chunks, estimates, inventories dependents, stores the job as `planned`; returns the lines of the
// plan.  Every refusal is an Error with detail and hint, and leaves nothing behind.
// Locks: ACCESS SHARE on the target.
std::vector<std::string> plan_backfill(const Node &document, const PlanParts &parts);

// What the target (job.live) looks like: columns, types, constraints, indexes, the spec, and the bodies of the functions
// that the transform was found to call when it was planned (job.fingerprint names them).  Equal to job.fingerprint as
// long as nothing of that has changed.  Takes no lock.
std::string table_fingerprint(const Job &job);
void require_unchanged(const Job &job);  // 55000 where they are not equal

}  // namespace backfill
