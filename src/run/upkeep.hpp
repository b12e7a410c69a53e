// Keeping jobs going: which of them should have a coordinator and have none, starting one, and what is done about
// coordinators that keep dying.
//
// One mechanism for backfill_maintain() and the launcher.  Jobs that are planned, paused, failed or at home in another
// database are nobody's to start but backfill_run's.
#pragma once

#include <string>
#include <vector>

namespace backfill {

struct Upkeep {
  int restarted = 0;     // coordinators started
  int out_of_slots = 0;  // that could not be, for want of a worker slot: the job says so in waiting_for
};

// Jobs at work in this database (running, ready, published), for each of which restart_if_abandoned may be called.
std::vector<int> jobs_at_work();

// Starts the job's coordinator unless it lives, was ordered a moment ago, or somebody is changing the job just now
// (neither is waited for).  `by` ends the sentence of the event.  Takes the job's row.
void restart_if_abandoned(int job, const std::string &by, Upkeep &done);

// DROP EXTENSION took the ledger away: a worker has nothing left to do, or to tell.  Outside of a transaction.
bool extension_is_gone();

// A coordinator that begins, and one that has worked for a while or leaves in order.  begin_start returns how many in a row
// have begun and not got as far, this one included.
int begin_start(int job);
void start_was_good(int job);

// What the coordinator does then: waits before its work, the longer the more have died before it, and gives up in the end.
constexpr int starts_until_failure = 10;
constexpr long start_is_good_after = 60000;  // ms
// ms; with jitter
long pause_before_start(int starts);

}  // namespace backfill
