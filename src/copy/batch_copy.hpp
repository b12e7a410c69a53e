// One batch: rows of a sub-range of a chunk, from live into the shadow, in the current transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/transform.hpp"

namespace backfill {

// Copies [lo, hi) of a chunk: typed values for kind range, block numbers for kind blocks (hi null: to the end of the
// table).  Returns the rows written.  Errors: the transform's and the table's own (NOT NULL, CHECK, too long a value …)
// with their SQLSTATE; 21000 when a query with placeholders returns rows outside of its chunk.
std::int64_t copy_batch(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                        const std::optional<std::string> &hi);

// Replaces what the shadow holds of a chunk by what the transform yields now, in the current transaction; returns the
// rows written.  Of blocks nobody knows what they held before, so there rows are only put in or replaced: those gone
// since are in the capture log.  Only after the key's index exists, and never at the same time as a drain (hold
// JobLock::drain).  Errors: as copy_batch.
std::int64_t replace_chunk(const Job &job, const TableShape &shape, const Step &chunk);

// For another reader of the same rows (copy/replica_copy.hpp): the SELECT of a batch, and the refusal of rows that are not
// within their chunk (21000).
std::string chunk_select(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                         const std::optional<std::string> &hi);
[[noreturn]] void refuse_strays(const Step &chunk, std::int64_t rows, std::int64_t strays);

}  // namespace backfill
