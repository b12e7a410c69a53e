// What the spec declares to be downstream, asked of the server at plan time.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// Each refresh is one statement that the owner could run; nothing is run.  Errors, the path in front: 42601, and what the
// server says of the statement.
// Adds to `warnings` procedures that seem to want what a refresh may not do.
void check_refreshes(const Job &job, std::vector<std::string> *warnings);

// A step `suspend` for each pg_cron job named, which the caller must be allowed to manage (catalog/suspension.hpp tells the
// errors).  Adds to `warnings` those that are switched off now.
std::vector<Step> plan_suspensions(const Job &job, std::vector<std::string> *warnings);

}  // namespace backfill
