// The heart of publish and rollback: one try at swapping tables.
#pragma once

#include <vector>

#include "publish/attempt.hpp"
#include "publish/swap.hpp"

namespace backfill {

// How many log rows may be left for the try itself: what is drained well within max_lock.
inline constexpr std::int64_t final_drain_limit = 5000;

// Locks what the swaps need, dependents first and the tables in service last, in one order for everybody.  Raises Busy,
// or 55000 when one of the jobs is no longer in the state `required`.
void lock_for_swaps(const std::vector<Swap> &swaps, const std::string &required, Try &attempt);

// The renames and the dependents.  REQUIRES: lock_for_swaps.
void exchange(const Swap &swap);

// Brings the log down to final_drain_limit, before any table is locked; holds JobLock::drain from then on.  Returns the
// number of keys drained.
std::int64_t drain_backlog(const Job &job, bool forward);
// What is left, under the locks.  Raises Busy when it is too much after all.
std::int64_t drain_rest(const Swap &swap, Try &attempt);

// A TRUNCATE was met in the final drain: every row has to be computed again.
class Truncated : public Error {
 public:
  explicit Truncated(int job)
      : Error(sqlstate::object_not_in_prerequisite_state, "the table was truncated since the copy"), job(job) {}
  int job;
};

}  // namespace backfill
