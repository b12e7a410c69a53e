// Drain: bring the shadow up to what the live rows look like now (or, after publish, the archive).
//
// State-based.  In one snapshot: take the log rows it sees and delete exactly those; for their distinct keys delete from
// the shadow and insert the live rows through the transform.  Whoever drains holds JobLock::drain to the end of its
// transaction.
#pragma once

#include <cstdint>

#include "catalog/job.hpp"
#include "copy/transform.hpp"

namespace backfill {

struct DrainResult {
  std::int64_t taken = 0;     // log rows
  std::int64_t keys = 0;      // distinct keys
  std::int64_t dropped = 0;   // live rows that the transform yielded no row for
  std::int64_t unplaced = 0;  // reverse: keys with values for which the archive has no column
  bool truncated = false;     // a TRUNCATE marker was met: the shadow is empty now, every chunk is to be replaced
  bool altered = false;       // of truncated: it was no TRUNCATE, but DDL that may have changed any value
};

// One batch of at most `limit` log rows, in the current transaction.  A unique violation between a key of this batch
// and one still in the log is answered by taking all log rows at once.
DrainResult drain_batch(const Job &job, const TableShape &shape, std::int64_t limit);

// All log rows that the caller's pg::with_snapshot() sees, in the current transaction: what the caller does next in that
// snapshot meets a shadow of the same moment.
DrainResult drain_all(const Job &job, const TableShape &shape);

// Before the key's index is built: deletes from the shadow every key in the log.  A TRUNCATE marker instead empties
// shadow and log (truncated = true: every chunk must be copied again); so does another file of the table than the copy
// began with.
DrainResult purge_logged_keys(const Job &job, const TableShape &shape);

// After publish: applies to the archive what writers changed in the new live: whole row for INSERT, the changed
// columns for UPDATE, the delete for DELETE, in the order of their LSN where keys moved.  Keys taken are put into the
// capture log (carried.hpp).  Errors: what the archive refuses (classes 22 and 23, 42804), with detail and hint.
DrainResult drain_reverse(const Job &job, const TableShape &shape, std::int64_t limit);

// For a log that cannot be drained just now: makes one row a key of it, so that it does not grow with every write.  In the
// current transaction; hold JobLock::drain.
void compact_reverse_log(const Job &job);

}  // namespace backfill
