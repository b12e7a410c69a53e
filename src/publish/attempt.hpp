// Bounded tries: how backfill takes strong locks on tables that others use.
//
// A try is a subtransaction.  It takes the locks it was told to, at first without waiting for any but the last (the
// table everybody uses), so that nobody ever queues behind a lock that waits for another one.  Should a dependent be
// busy three times in a row, later tries wait for it too; what a try waits for in total never exceeds lock_timeout.
// While it works it must stay within max_lock.  When it cannot, it is rolled back, and after a pause that grows, with
// jitter, the next one begins, until give_up_after.
//
// A user is never the deadlock victim: during a try our deadlock_timeout is 10 ms, far below anybody else's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "core/error.hpp"
#include "pg/lock.hpp"

namespace backfill {

struct Limits {
  Milliseconds lock_timeout = 200, max_lock = 500, give_up_after = 600000;
};
// The strictest of the jobs' publish settings.
Limits limits_of(const std::vector<Job> &jobs);

// A relation to be locked, and what to call it.
struct LockRequest {
  Oid relation = 0;
  pg::LockMode mode = pg::LockMode::access_exclusive;
};

// Raised inside a try when it must be given up and tried again.
class Busy : public Error {
 public:
  Busy(Oid relation, const std::string &message) : Error(sqlstate::lock_not_available, message), relation(relation) {}
  Oid relation;  // whose lock holders are in the way; 0 when it is not a matter of locks
};

struct Tries {
  int count = 0;
  std::int64_t waited_ms = 0;  // for locks, in all tries
  std::int64_t held_ms = 0;    // in the one that succeeded, up to now
  std::string blockers;        // who was in the way last, "" if nobody was
};
std::string describe(const Tries &tries);  // "in 2 tries: waited 210 ms for locks, held them 4 ms"

// The locks and the clock of one try.  Lives for that try only.
class Try {
 public:
  Try(const Limits &limits, const Tries &before);

  // Each raises Busy when the lock cannot be had in time.
  void lock_job(int job, pg::JobLock purpose);
  void lock(const LockRequest &request, bool wait);
  // As `wait` in the third try in a row and later.
  void lock_dependent(const LockRequest &request) { lock(request, patient_); }

  // Raises Busy when max_lock is used up; `doing` completes "there was no time left to ...".
  void require_time(const std::string &doing);
  Tries so_far() const;  // this one counted as successful

 private:
  std::int64_t patience() const;  // ms left to wait for locks
  std::int64_t held_ms() const;   // since the last lock was had
  Limits limits_;
  Tries before_;
  bool patient_;
  std::int64_t waited_ = 0, locked_at_ = 0;
};

// Runs work in tries, as the extension, until one succeeds.  Raises 55P03 naming who was in the way when give_up_after
// has passed; any error that is not about locks ends it at once.  `purpose` completes "could not ...".
Tries with_tries(const Limits &limits, const std::string &purpose, const std::function<void(Try &)> &work);

}  // namespace backfill
