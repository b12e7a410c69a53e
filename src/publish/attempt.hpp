// Bounded tries: how backfill takes strong locks on tables that others use.
//
// A try is a subtransaction.  It first looks who holds the locks it was told to take, and does not even begin where
// somebody will not be gone in time.  Then it takes them, without waiting for any but the last (the table everybody
// uses), so that nobody queues behind a lock that waits for another one.  Where one is never free at that moment, which
// is so of a view that is read all the time, it waits after all; what it waits for in total never exceeds lock_timeout.
// While it works it must stay within max_lock.  When it cannot, it is rolled back, and after a pause that grows, with
// jitter, the next one begins, until give_up_after.
//
// A user is never the deadlock victim: during a try our deadlock_timeout is 10 ms, far below anybody else's, and nothing
// is waited for longer than half of what theirs is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "core/error.hpp"
#include "pg/lock.hpp"
#include "publish/blockers.hpp"

namespace backfill {

struct Limits {
  Milliseconds lock_timeout = 200, max_lock = 500, give_up_after = 600000;
};
// The strictest of the jobs' publish settings.
Limits limits_of(const std::vector<Job> &jobs);

// Raised inside a try when it must be given up and tried again.
class Busy : public Error {
 public:
  explicit Busy(const std::string &message) : Error(sqlstate::lock_not_available, message) {}
  Busy(const LockRequest &wanted, const std::string &message) : Busy(message) { this->wanted = {wanted}; }
  Busy(std::vector<Blocker> blockers, const std::string &message) : Busy(message) {
    this->blockers = std::move(blockers);
  }
  std::vector<LockRequest> wanted;  // whose holders are in the way; empty when it is not a matter of locks
  std::vector<Blocker> blockers;    // where they are known already
};

struct Tries {
  int count = 0;
  std::int64_t waited_ms = 0;   // for locks, in all tries
  std::int64_t paused_ms = 0;   // between them
  std::int64_t held_ms = 0;     // in the one that succeeded, up to now
  std::int64_t longest_ms = 0;  // for which a try asked for or held locks that others queue behind
  std::vector<Blocker> met;     // who was in the way, each once
};
// "in 2 tries: waited 210 ms for locks, held them 4 ms"; and of more than one try what was between them.
std::string describe(const Tries &tries);

// Runs work as the extension, so that no lock is waited for longer than that, and where two wait for each other it is us
// whom the server ends.
void with_patience(Milliseconds lock_timeout, const std::function<void()> &work);

// A lock of a job, until the transaction ends, for which nobody but backfill's own processes waits.  Raises Busy naming
// its holder when it is not free in time; one of backfill's own processes that waits for us is interrupted.
void lock_job_in_time(int job, pg::JobLock purpose);

// The locks and the clock of one try.  Lives for that try only.
class Try {
 public:
  Try(const Limits &limits, const Tries &before);

  // Each raises Busy when the lock cannot be had in time.  What no reader or writer queues behind, the lock of a
  // job and modes up to SHARE UPDATE EXCLUSIVE, does not count towards lock_timeout.
  void lock_job(int job, pg::JobLock purpose);
  void lock(const LockRequest &request, bool wait);
  // All of them, a few times without waiting for any but the last, then with.
  void lock_in_order(const std::vector<LockRequest> &requests);
  void lock_all(const std::vector<LockRequest> &requests);  // after a look ahead

  // To be called before the first of the locks is asked for.  Takes SHARE UPDATE EXCLUSIVE on each, which makes nobody wait
  // who reads or writes, keeps DDL away and has an autovacuum cancelled.  Then raises Busy when one of them is held by
  // somebody who will not be gone in time, so that nobody has to queue behind a try without hope.
  void look_ahead(const std::vector<LockRequest> &requests);

  // Raises Busy when max_lock is used up; `doing` completes "there was no time left to ...".
  void require_time(const std::string &doing);
  Tries so_far() const;  // this one counted

 private:
  std::int64_t patience() const;  // ms left to wait for locks
  std::int64_t held_ms() const;   // since the last lock was had
  bool lock_at_once(const std::vector<LockRequest> &requests);
  enum class Waited { had, in_vain, in_a_circle };
  Waited wait_up_to(std::int64_t milliseconds, const std::function<void()> &take);
  Waited wait_in_pieces(const std::function<void()> &take);
  Limits limits_;
  Tries before_;
  std::int64_t waited_ = 0, locked_at_ = 0;
  std::int64_t spent_ = 0;             // of lock_timeout
  std::int64_t in_the_way_since_ = 0;  // of the first lock that others queue behind; 0: none yet
};

// Raised by with_tries where others have waited for longer than one try may keep them, for locks that the transaction had
// before the first, or for its snapshot while they are in the way: by trying again nobody would ever be done.
class KeepsWaiting : public Error {
 public:
  using Error::Error;
};

// Done before each try, and kept where that is rolled back.  anew: nothing that it did before stands.
using Ground = std::function<void(bool anew)>;

// Runs work in tries, as the extension, until one succeeds.  Tells the caller by NOTICE who is in the way, now and then.
// Raises 55P03 naming them when give_up_after has passed; any error that is not about locks ends it at once.  `purpose`
// completes "could not ...".
//
// Whoever waits for us between two tries waits for what is kept over them, and may be the one who is in the way: no try
// would ever succeed, and no server would call that a deadlock.  So the ground is rolled back where somebody does, and
// laid anew; where it is not the ground, KeepsWaiting is raised (55P03).
//
// In a transaction block of the caller the locks of the try that succeeded are held until he ends it.  He is told so, and
// his session is not left to idle with them for longer than idle_with_locks.
Tries with_tries(const Limits &limits, const std::string &purpose, const std::function<void(Try &)> &work,
                 const Ground &ground = {});

inline constexpr Milliseconds idle_with_locks = 30000;

}  // namespace backfill
