// The heart of publish and rollback: one try at swapping tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "capture/drain.hpp"
#include "copy/transform.hpp"
#include "publish/attempt.hpp"
#include "publish/definitions.hpp"
#include "publish/swap.hpp"

namespace backfill {

// How many log rows may be left for the try itself: what is drained well within max_lock.
inline constexpr std::int64_t final_drain_limit = 5000;

// A swap about to be made: what it will run, worked out before anybody has to wait.
struct Cutover {
  Swap swap;
  TableShape shape;
  std::vector<std::string> statements;  // moving_statements
  std::vector<Step> after;              // after_steps
  Definitions before;                   // of a publish: definitions_before
  std::string dependents;               // everything bound to the table in service when the statements were made
  bool little_left = false;             // to be drained when the last lock was asked for
};

// First part of a try: the job's own locks and SHARE UPDATE EXCLUSIVE on the tables, which stops their DDL and vacuum but
// no reader and no writer; then, at leisure, what is expensive to look at: check(swap), and what depends on them now.
// Raises Busy, or 55000 when one of the jobs is no longer in the state `required`.
std::vector<Cutover> prepare_swaps(const std::vector<Swap> &swaps, const std::string &required, Try &attempt,
                                   const std::function<void(const Swap &)> &check);

// Second part.  SHARE UPDATE EXCLUSIVE on all that depends on the tables, so that the statements can be made while nobody
// has to wait for it, and a last drain.  Then what readers and writers wait for: the dependents first, the tables in
// service last, in one order for everybody; not begun while one is held by somebody who will not be gone in time.  What
// may have come meanwhile without DDL on the table itself, a new dependent, ends the try.
void lock_for_swaps(std::vector<Cutover> &cutovers, Try &attempt);

// The renames of all, then the dependents of all: whatever names two of the tables meets both new.
// REQUIRES: lock_for_swaps.  Raises Busy when max_lock is used up before it is done.
void exchange_tables(const std::vector<Cutover> &cutovers, Try &attempt);

// Brings the log down to final_drain_limit, before any table is locked; holds JobLock::drain from then on.  Returns the
// number of keys drained.
std::int64_t drain_backlog(const Job &job, bool forward);
// What is left, under the locks: keys and unplaced.  Raises Busy when it is too much after all.
DrainResult drain_rest(const Cutover &cutover, Try &attempt);

// What the final drain met makes the shadow or its audit outdated: nothing is swapped, and the job runs on.
class Overtaken : public Error {
 public:
  // Every row has to be computed again.
  static Overtaken by_start_over(int job, bool altered) {
    return {job, true, altered ? "rewritten" : "truncated",
            std::string(altered ? "ALTER TABLE may have changed any of its values" : "it was truncated") +
                " since the copy; every chunk is run again"};
  }
  // The audit counted as many rows as live had; rows written since would be lost.
  static Overtaken by_lost_rows(int job, std::int64_t rows) {
    return {job, false, "audit outdated",
            "rows written since the audit have no row in the new version (" + std::to_string(rows) +
                "); it is audited again"};
  }
  int job;
  bool starts_over;  // else it is only to be audited again
  const char *event;

 private:
  Overtaken(int job, bool starts_over, const char *event, const std::string &why)
      : Error(sqlstate::object_not_in_prerequisite_state, why), job(job), starts_over(starts_over), event(event) {}
};

// 55000 unless the job is still in that state.  Holds its row until the end of the transaction.
void require_state(const Job &job, const std::string &required);
// Raises Overtaken for what a drain into the shadow met.
void require_not_overtaken(const Job &job, const DrainResult &drained);

}  // namespace backfill
