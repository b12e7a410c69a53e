// One chunk, batch by batch.
//
//   while the chunk has rows left:
//     one transaction: bounds of the batch; rows from live through the transform into the shadow; the checkpoint
//     the next batch is as wide as its predecessor scaled by target / actual time
//
// A batch that dies leaves no trace; one that committed is never redone.
#pragma once

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// Runs a claimed step of kind range or blocks to its end, in transactions of its own (workers only).  Returns false
// when it stopped between batches because the job was asked to pause or is no longer run (the step is given back).
// Raises what the batch raised; 57014 when chunk_timeout is over.
bool run_chunk(const Job &job, const Step &step);

// Marks it done, in the transaction of its last rows, and tells the webhook where the spec asks for that.
void finish_chunk(const Job &job, const Step &chunk, std::optional<std::int64_t> rows = std::nullopt);

// False when the worker should leave: paused, cancelled, failed, or without a living coordinator.
bool may_go_on(int job);

}  // namespace backfill
