// Chunks read on a standby.
//
// What a standby shows is live as it was some time ago.  That is good enough for a chunk as soon as the standby has replayed
// all that the capture log does not tell of: docs/design.md, "Reading from a replica".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/job.hpp"
#include "catalog/replica.hpp"
#include "catalog/step.hpp"
#include "copy/transform.hpp"

namespace backfill {

// Connects where need be, and looks: is it a standby of this very server, has it replayed the mark, is it near enough?
// nullopt: it can be read now; else why not.  Workers only, outside of a transaction.
std::optional<std::string> replica_problem(const Job &job, const ReplicaState &state);

// As copy_batch, with the rows of the replica.  REQUIRES: replica_problem() found none; the step is not a replacing one,
// whose rows must be of the moment in which it is drained.
// Errors: pg::ReplicaError when the replica failed, or may not have been one all the while; others as copy_batch.
std::int64_t copy_batch_from_replica(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                                     const std::optional<std::string> &hi);

}  // namespace backfill
