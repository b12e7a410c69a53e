// Tries: each a subtransaction with its own account of time waited and held; between them traffic flows.
#include "publish/attempt.hpp"

#include <algorithm>
#include <optional>

#include "core/units.hpp"
#include "pg/random.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"

namespace backfill {

namespace {

constexpr Milliseconds first_pause = 50, longest_pause = 2000;
constexpr Milliseconds job_patience = 2000;  // for a job's lock
constexpr Milliseconds piece = 40;           // of a wait
constexpr Milliseconds between_looks = 200;  // in a pause, who waits for us
constexpr Milliseconds between_rounds = 4;
constexpr int quick_rounds = 10;      // without waiting, before a try waits
constexpr int quiet_tries = 3;        // that nobody is told of where nobody can be named
constexpr int long_open_factor = 10;  // a transaction open for so many lock_timeouts will not end within the next
constexpr int named_at_most = 5;      // blockers in a report
constexpr char deadlock_detected[] = "40P01";

bool worth_another_try(const Error &failure) {
  return failure.sqlstate == sqlstate::lock_not_available || failure.sqlstate == deadlock_detected;
}

// Between half of the pause and all of it, so that two publishers do not meet again and again.
Milliseconds jittered(Milliseconds pause) { return pg::random_between(pause / 2, pause); }

std::string milliseconds(std::int64_t count) { return std::to_string(count) + " ms"; }
std::string tries_text(int count) { return std::to_string(count) + (count == 1 ? " try" : " tries"); }

// Whoever was met before is remembered as he was last seen.
void remember(std::vector<Blocker> &met, const std::vector<Blocker> &blockers) {
  for (const Blocker &blocker : blockers) {
    auto const known =
        std::find_if(met.begin(), met.end(), [&](const Blocker &other) { return other.who == blocker.who; });
    if (known == met.end())
      met.push_back(blocker);
    else
      *known = blocker;
  }
}

std::string first_of(const std::vector<Blocker> &blockers) {
  std::size_t const named = std::min<std::size_t>(blockers.size(), named_at_most);
  std::string text = describe(std::vector<Blocker>(blockers.begin(), blockers.begin() + static_cast<long>(named)));
  if (named < blockers.size()) text += " and " + std::to_string(blockers.size() - named) + " more";
  return text;
}

std::string cause(const std::vector<Blocker> &blockers, const std::string &why) {
  return blockers.empty() ? "It ended with: " + why + "." : "In the way: " + first_of(blockers) + ".";
}

Error gave_up(const std::string &purpose, const Limits &limits, const Tries &tries, const std::vector<Blocker> &last,
              const std::string &why) {
  return Error(sqlstate::lock_not_available, "could not " + purpose + ": gave up after " + tries_text(tries.count),
               last.empty() ? "The last try ended with: " + why + "." : cause(last, why),
               "Nothing was changed.  Try again when they are done, or raise publish.give_up_after (" +
                   milliseconds(limits.give_up_after) + ").");
}

// The first time, and then with growing distance; but only from the fourth on when there is nobody to be named.
bool worth_telling(int count, bool named) { return (count & (count - 1)) == 0 && (named || count > quiet_tries); }

void tell(const std::string &purpose, const Tries &tries, const std::vector<Blocker> &last, const std::string &why,
          std::int64_t pause) {
  if (!worth_telling(tries.count, !last.empty())) return;
  pg::notice("could not " + purpose + " yet: try " + std::to_string(tries.count) +
                 " gave way, the next one begins in " + milliseconds(pause),
             cause(last, why) + "  Waited " + milliseconds(tries.waited_ms) + " for locks so far.");
}

std::int64_t milliseconds_of(const char *setting) {
  return pg::as_extension([&] {
    return pg::query_integer("SELECT (1000 * extract(epoch FROM current_setting($1)::interval))::bigint", {setting});
  });
}

// Never as long as anybody else waits before he looks for a deadlock: he would be its victim.
Limits below_deadlock_timeout(Limits limits) {
  std::int64_t const theirs = milliseconds_of("deadlock_timeout");
  limits.lock_timeout = std::max<Milliseconds>(1, std::min<Milliseconds>(limits.lock_timeout, theirs / 2));
  return limits;
}

// The caller may take his time to commit; others wait for him meanwhile.
void limit_the_caller(const std::string &purpose) {
  if (!pg::in_transaction_block()) return;
  std::int64_t const own = milliseconds_of("idle_in_transaction_session_timeout");
  std::int64_t const limit = own > 0 && own < idle_with_locks ? own : idle_with_locks;
  pg::set_local("idle_in_transaction_session_timeout", std::to_string(limit));
  pg::notice(purpose + ": the locks are held until this transaction ends",
             "Whoever reads or writes the tables waits for it.",
             "Commit at once.  If the session idles for " + format_duration(static_cast<double>(limit) / 1000) +
                 " before (idle_in_transaction_session_timeout), the server ends it and nothing is changed.");
}

// It waits for what the caller's transaction has locked, and comes again.  False: it is a user's session, which is let be.
bool interrupt_holder(int job, pg::JobLock purpose) {
  return pg::as_extension([&] {
    return !pg::execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE pid = $1 AND backend_type = 'backfill'",
                {pg::job_lock_holder(job, purpose)})
                .empty();
  });
}

bool queues_others(pg::LockMode mode) { return mode > pg::LockMode::share_update_exclusive; }

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

void with_patience(Milliseconds lock_timeout, const std::function<void()> &work) {
  pg::as_extension([&] {
    pg::set_local("deadlock_timeout", "10ms");
    pg::set_local("lock_timeout", std::to_string(lock_timeout));
    work();
  });
}

void lock_job_in_time(int job, pg::JobLock purpose) {
  for (bool interrupted = false;; interrupted = true) {
    try {
      pg::subtransaction([&] { with_patience(job_patience, [&] { pg::lock_job(job, purpose); }); });
      return;
    } catch (const Error &failure) {
      if (!worth_another_try(failure)) throw;
      if (interrupted || failure.sqlstate != deadlock_detected || !interrupt_holder(job, purpose))
        throw Busy(job_lock_holders(job, purpose), "another session of the backfill is moving rows");
    }
  }
}

Try::Try(const Limits &limits, const Tries &before) : limits_(limits), before_(before), locked_at_(pg::now_ms()) {}

std::int64_t Try::patience() const { return std::max<std::int64_t>(1, limits_.lock_timeout - spent_); }

std::int64_t Try::held_ms() const { return pg::now_ms() - locked_at_; }

Tries Try::so_far() const {
  Tries tries = before_;
  tries.count++;
  tries.waited_ms += waited_;
  tries.held_ms = held_ms();
  if (in_the_way_since_ != 0) tries.longest_ms = std::max(tries.longest_ms, pg::now_ms() - in_the_way_since_);
  return tries;
}

void Try::lock_job(int job, pg::JobLock purpose) {
  std::int64_t const began = pg::now_ms();
  lock_job_in_time(job, purpose);
  locked_at_ = pg::now_ms();
  waited_ += locked_at_ - began;
}

Try::Waited Try::wait_up_to(std::int64_t milliseconds, const std::function<void()> &take) {
  std::int64_t const began = pg::now_ms();
  Waited result = Waited::had;
  pg::set_local("lock_timeout", std::to_string(milliseconds));
  try {
    take();
  } catch (const Error &failure) {
    if (!worth_another_try(failure)) throw;
    result = failure.sqlstate == deadlock_detected ? Waited::in_a_circle : Waited::in_vain;
  }
  locked_at_ = pg::now_ms();
  waited_ += locked_at_ - began;
  return result;
}

// In pieces: the server looks for a deadlock once a wait, and one may begin any time.
Try::Waited Try::wait_in_pieces(const std::function<void()> &take) {
  Waited result = Waited::in_vain;
  while (result == Waited::in_vain && spent_ < limits_.lock_timeout) {
    std::int64_t const before = waited_;
    result = wait_up_to(std::min<std::int64_t>(piece, patience()), [&] { pg::subtransaction(take); });
    spent_ += std::max<std::int64_t>(1, waited_ - before);
  }
  return result;
}

void Try::lock(const LockRequest &request, bool wait) {
  bool const mild = !queues_others(request.mode);
  if (!mild && in_the_way_since_ == 0) in_the_way_since_ = pg::now_ms();
  bool there = pg::try_lock_relation(request.relation, request.mode);
  if (!there) {
    if (!wait) throw Busy(request, "a table is in use");
    auto const take = [&] { there = pg::lock_relation(request.relation, request.mode); };
    Waited const result = mild ? wait_up_to(limits_.lock_timeout, take) : wait_in_pieces(take);
    if (result != Waited::had) throw Busy(request, "a table is in use");
    if (!there) throw Busy("a table was dropped meanwhile");
  }
  locked_at_ = pg::now_ms();
}

// False: one but the last was not free.
bool Try::lock_at_once(const std::vector<LockRequest> &requests) {
  std::int64_t const spent = spent_;
  try {
    pg::subtransaction([&] {
      for (const LockRequest &request : requests) lock(request, &request == &requests.back());
    });
    return true;
  } catch (const Busy &) {
    if (spent_ != spent) throw;
    in_the_way_since_ = 0;
    return false;
  }
}

void Try::lock_in_order(const std::vector<LockRequest> &requests) {
  for (int round = 0; round < quick_rounds; round++) {
    if (lock_at_once(requests)) return;
    pg::sleep_interruptibly(static_cast<long>(jittered(between_rounds)));
  }
  for (const LockRequest &request : requests) lock(request, true);
}

void Try::lock_all(const std::vector<LockRequest> &requests) {
  look_ahead(requests);
  lock_in_order(requests);
}

void Try::look_ahead(const std::vector<LockRequest> &requests) {
  for (const LockRequest &request : requests)
    lock({request.relation, std::min(request.mode, pg::LockMode::share_update_exclusive)}, true);
  std::vector<Blocker> found = lock_holders(requests, long_open_factor * limits_.lock_timeout);
  std::erase_if(found, [](const Blocker &blocker) { return !blocker.lasting; });
  if (!found.empty()) throw Busy(std::move(found), "a table is in use for long");
}

void Try::require_time(const std::string &doing) {
  std::int64_t const left = limits_.max_lock - held_ms();
  if (left <= 0) throw Busy("there was no time left to " + doing + " within max_lock");
  pg::set_local("lock_timeout", std::to_string(left));
}

std::string describe(const Tries &tries) {
  std::string text = "in " + tries_text(tries.count) + ": waited " + milliseconds(tries.waited_ms) +
                     " for locks, held them " + milliseconds(tries.held_ms);
  if (tries.count == 1) return text;
  text += "; " + milliseconds(tries.paused_ms) + " between tries, nobody kept waiting longer than " +
          milliseconds(tries.longest_ms);
  if (!tries.met.empty()) text += "; in the way: " + first_of(tries.met);
  return text;
}

namespace {

// Somebody waits for the ground.
struct LetGo {};

// Try after try.
class Series {
 public:
  Series(const Limits &wish, const std::string &purpose)
      : limits_(below_deadlock_timeout(wish)), purpose_(purpose), deadline_(pg::now_ms() + limits_.give_up_after) {}

  Tries run(const std::function<void(Try &)> &work, const Ground &ground) {
    while (!run_on_one_ground(work, ground)) rest(false);
    limit_the_caller(purpose_);
    return tries_;
  }

 private:
  // False: the ground was let go.
  bool run_on_one_ground(const std::function<void(Try &)> &work, const Ground &ground) {
    try {
      pg::subtransaction([&] {
        for (bool anew = true; !try_once(work, ground, anew);) rest(true);
      });
      return true;
    } catch (const LetGo &) {
      return false;
    }
  }

  // False: it gave way.
  bool try_once(const std::function<void(Try &)> &work, const Ground &ground, bool &anew) {
    std::optional<Try> attempt;
    try {
      if (ground) pg::subtransaction([&] { ground(anew); });
      anew = false;
      attempt.emplace(limits_, tries_);
      pg::subtransaction([&] { with_patience(limits_.lock_timeout, [&] { work(*attempt); }); });
      tries_ = attempt->so_far();
      return true;
    } catch (const Busy &busy) {
      count(attempt);
      give_way(busy.wanted.empty() ? busy.blockers : holders(busy.wanted), busy.what());
    } catch (const Error &failure) {
      if (!worth_another_try(failure)) throw;
      count(attempt);
      give_way({}, failure.what());
    }
    return false;
  }

  void count(const std::optional<Try> &attempt) {
    if (attempt)
      tries_ = attempt->so_far();
    else
      tries_.count++;
  }

  std::vector<Blocker> holders(const std::vector<LockRequest> &wanted) const {
    return lock_holders(wanted, long_open_factor * limits_.lock_timeout);
  }

  void give_way(const std::vector<Blocker> &last, const std::string &why) {
    remember(tries_.met, last);
    std::int64_t const left = deadline_ - pg::now_ms();
    if (left <= 0) throw gave_up(purpose_, limits_, tries_, last, why);
    rest_ = std::min<std::int64_t>(left, jittered(pause_));
    pause_ = std::min(pause_ * 2, longest_pause);
    tell(purpose_, tries_, last, why, rest_);
  }

  // Until the next try begins, with a look now and then who waits for us.
  void rest(bool on_ground) {
    std::int64_t const began = pg::now_ms(), end = began + rest_;
    for (std::int64_t now = began; now < end; now = pg::now_ms()) {
      Waiting const waiting = waiting_for_us(tries_.met);
      tries_.longest_ms = std::max(tries_.longest_ms, waiting.longest);
      if (!waiting.who.empty() && on_ground) throw LetGo();
      if (waiting.longest > limits_.lock_timeout + limits_.max_lock) throw keeps_waiting(waiting);
      pg::sleep_interruptibly(static_cast<long>(std::min<std::int64_t>(end - now, between_looks)));
    }
    tries_.paused_ms += pg::now_ms() - began;
  }

  KeepsWaiting keeps_waiting(const Waiting &waiting) const {
    return {sqlstate::lock_not_available, "could not " + purpose_ + ": others wait for this transaction to end",
            "After " + tries_text(tries_.count) + ": " + first_of(waiting.who) + ".",
            "Nothing was changed.  Try again when they are done, in a transaction of its own."};
  }

  Limits const limits_;
  std::string const &purpose_;
  std::int64_t const deadline_;
  Tries tries_;
  Milliseconds pause_ = first_pause;
  std::int64_t rest_ = 0;  // ms, until the next try
};

}  // namespace

Tries with_tries(const Limits &limits, const std::string &purpose, const std::function<void(Try &)> &work,
                 const Ground &ground) {
  return Series(limits, purpose).run(work, ground);
}

}  // namespace backfill
