// What is computed from the table: brought up to date after a swap, in order, and told of beforehand.
//
// Two sorts of parts make one order: what the spec declares (`downstream`, a statement each), and the materialized views
// that read the table or what a declared part fills.  A part waits for the parts it is computed from.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "publish/swap.hpp"

namespace backfill {

// At plan time: names in depends_on are known (42704, with the nearest), and no part depends on itself, however far
// round (22023, naming the circle).
void require_order(const Job &job);

// The steps `refresh` and `downstream` that follow a swap, a stage for each part that lies between; a step's params name
// the steps it needs.
std::vector<Step> after_downstream(const Swap &swap);

// Why the step cannot be run although its turn has come: one that it needs has failed.  nullopt: nothing is in the way.
std::optional<Error> held_back(const Step &step);

// Step `downstream`: runs the declared statement in the caller's transaction, as the job's owner; returns the rows it
// returned or changed.  Errors: whatever the statement raises; 2D000 where it commits.
std::int64_t run_refresh(const Job &job, const Step &step);

// "declared: daily_revenue, board; found: materialized view public.by_day": who is affected.  "" where nobody is.
std::string affected(const Job &job);

// Event downstream_notice, which is notified: "before start: 2 affected: …".  Nothing where nobody is affected.
void give_notice(const Job &job, const std::string &moment);

// Once nothing is left to be done after a swap: pg_cron jobs are switched on again, and those affected are told.
void settle_downstream(const Job &job);

}  // namespace backfill
