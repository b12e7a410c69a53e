// Chunk workers: claim a step of the open stage, run it, claim the next; leave when there is none.
#pragma once

#include <optional>

#include "catalog/job.hpp"
#include "pg/worker.hpp"

namespace backfill {

// nullopt: no worker slot is free.
std::optional<pg::Worker> launch_chunk_worker(const Job &job, int slot);

}  // namespace backfill
