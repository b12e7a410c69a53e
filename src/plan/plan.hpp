// Plan: spec + facts of the table -> a job with all its steps, and a text that tells a person what will happen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"

namespace backfill {

// Validates, computes chunks, estimates, inventories dependents, stores the job as `planned`; returns the lines of the
// plan.  Every refusal is an Error with detail and hint, and leaves nothing behind.
// Locks: ACCESS SHARE on the target.
std::vector<std::string> plan_backfill(const Node &document);

// The inventory, taken again under lock at publish: same objects as recorded?  Returns differences as sentences.
std::vector<std::string> changed_dependents(const Job &job);
// What the target looked like when planned: columns, types, constraints, indexes, function bodies of the transform.
std::string table_fingerprint(Oid live, const Spec &spec);

}  // namespace backfill
