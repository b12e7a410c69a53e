// Tries: each a subtransaction with its own account of time waited and held; between them traffic flows.
#include "publish/attempt.hpp"

#include <algorithm>
#include <random>

#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/blockers.hpp"

namespace backfill {

namespace {

constexpr Milliseconds first_pause = 50, longest_pause = 2000;
constexpr int patient_after = 3;  // tries
constexpr char deadlock_detected[] = "40P01";

bool worth_another_try(const Error &failure) {
  return failure.sqlstate == sqlstate::lock_not_available || failure.sqlstate == deadlock_detected;
}

// Between half of the pause and all of it, so that two publishers do not meet again and again.
Milliseconds jittered(Milliseconds pause) {
  static std::minstd_rand random(static_cast<unsigned>(pg::my_pid()));
  return std::uniform_int_distribution<Milliseconds>(pause / 2, pause)(random);
}

Error gave_up(const std::string &purpose, const Limits &limits, const Tries &tries, const std::string &why) {
  return Error(sqlstate::lock_not_available,
               "could not " + purpose + ": gave up after " + std::to_string(tries.count) +
                   (tries.count == 1 ? " try" : " tries"),
               tries.blockers.empty() ? "The last try ended with: " + why + "." : "In the way: " + tries.blockers + ".",
               "Nothing was changed.  Try again when they are done, or raise publish.give_up_after (" +
                   std::to_string(limits.give_up_after) + " ms).");
}

}  // namespace

Limits limits_of(const std::vector<Job> &jobs) {
  Limits limits;
  bool first = true;
  for (const Job &job : jobs) {
    const Publish &wish = job.spec.publish;
    limits.lock_timeout = first ? wish.lock_timeout : std::min(limits.lock_timeout, wish.lock_timeout);
    limits.max_lock = first ? wish.max_lock : std::min(limits.max_lock, wish.max_lock);
    limits.give_up_after = first ? wish.give_up_after : std::min(limits.give_up_after, wish.give_up_after);
    first = false;
  }
  return limits;
}

Try::Try(const Limits &limits, const Tries &before)
    : limits_(limits), before_(before), patient_(before.count >= patient_after), locked_at_(pg::now_ms()) {}

std::int64_t Try::patience() const { return std::max<std::int64_t>(1, limits_.lock_timeout - waited_); }

std::int64_t Try::held_ms() const { return pg::now_ms() - locked_at_; }

Tries Try::so_far() const { return {before_.count + 1, before_.waited_ms + waited_, held_ms(), before_.blockers}; }

void Try::lock_job(int job, pg::JobLock purpose) {
  std::int64_t const began = pg::now_ms();
  pg::set_local("lock_timeout", std::to_string(patience()));
  try {
    pg::lock_job(job, purpose);
  } catch (const Error &failure) {
    if (!worth_another_try(failure)) throw;
    throw Busy(0, "another session of the backfill is moving rows");
  }
  locked_at_ = pg::now_ms();
  waited_ += locked_at_ - began;
}

void Try::lock(const LockRequest &request, bool wait) {
  if (!pg::try_lock_relation(request.relation, request.mode)) {
    if (!wait) throw Busy(request.relation, "a table is in use");
    std::int64_t const began = pg::now_ms();
    pg::set_local("lock_timeout", std::to_string(patience()));
    try {
      if (!pg::lock_relation(request.relation, request.mode)) throw Busy(0, "a table was dropped meanwhile");
    } catch (const Busy &) {
      throw;
    } catch (const Error &failure) {
      if (!worth_another_try(failure)) throw;
      throw Busy(request.relation, failure.what());
    }
    waited_ += pg::now_ms() - began;
  }
  locked_at_ = pg::now_ms();
}

void Try::require_time(const std::string &doing) {
  std::int64_t const left = limits_.max_lock - held_ms();
  if (left <= 0) throw Busy(0, "there was no time left to " + doing + " within max_lock");
  pg::set_local("lock_timeout", std::to_string(left));
}

std::string describe(const Tries &tries) {
  return "in " + std::to_string(tries.count) + (tries.count == 1 ? " try" : " tries") + ": waited " +
         std::to_string(tries.waited_ms) + " ms for locks, held them " + std::to_string(tries.held_ms) + " ms";
}

Tries with_tries(const Limits &limits, const std::string &purpose, const std::function<void(Try &)> &work) {
  Tries tries;
  std::int64_t const deadline = pg::now_ms() + limits.give_up_after;
  for (Milliseconds pause = first_pause;; pause = std::min(pause * 2, longest_pause)) {
    Try attempt(limits, tries);
    std::int64_t const began = pg::now_ms();
    std::string why;
    Oid wanted = 0;
    try {
      pg::subtransaction([&] {
        pg::as_extension([&] {
          pg::set_local("deadlock_timeout", "10ms");
          work(attempt);
        });
      });
      return attempt.so_far();
    } catch (const Busy &busy) {
      why = busy.what();
      wanted = busy.relation;
    } catch (const Error &failure) {
      if (!worth_another_try(failure)) throw;
      why = failure.what();
    }
    tries.count++;
    tries.waited_ms += pg::now_ms() - began;
    tries.blockers = wanted != 0 ? lock_holders(wanted) : "";
    std::int64_t const left = deadline - pg::now_ms();
    if (left <= 0) throw gave_up(purpose, limits, tries, why);
    pg::sleep_interruptibly(static_cast<long>(std::min<std::int64_t>(left, jittered(pause))));
  }
}

}  // namespace backfill
