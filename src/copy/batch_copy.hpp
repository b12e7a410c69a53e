// One batch: rows of a sub-range of a chunk, from live into the shadow, in the current transaction.
#pragma once

#include <cstdint>
#include <string>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/transform.hpp"

namespace backfill {

// Runs `select` (from transform.hpp) into the shadow as the owner; returns the rows written.  This is the seam where a
// faster copier goes.
std::int64_t copy_rows(const Job &job, const TableShape &shape, const std::string &select);

// Replaces what the shadow holds of a chunk by what the transform yields now, in the current transaction.  Only after
// the key's index exists, and never at the same time as a drain (hold JobLock::drain).
std::int64_t replace_chunk(const Job &job, const TableShape &shape, const Step &chunk);

}  // namespace backfill
