// What each kind of step does.  Workers only: every step runs in transactions of its own.
#pragma once

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// Runs a claimed step to its end.  A failure is written to the ledger (to be retried, or final) and not raised.
// Returns false when the step was given back because the job is to stop.
bool run_step(const Job &job, const Step &step);

// Brings the shadow up to the log by one batch, or runs one chunk that is to be replaced.  Returns the log rows taken
// (or 1 for a chunk): 0 means there was nothing to do.  Raises what the drain raises.
std::int64_t catch_up(const Job &job);
// After publish: the archive, likewise.
std::int64_t catch_up_archive(const Job &job);

// Of a published job whose changes cannot be carried: they wait, once each, until somebody has put it right.
void keep_log_small(const Job &job);

// After publish: the keys written since then, once each.  Returns how many there are.
std::int64_t compact_carried(const Job &job);

}  // namespace backfill
