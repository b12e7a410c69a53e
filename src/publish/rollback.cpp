// Rolling back: the swap with the roles exchanged.  What was written since publish is carried into the old version
// first (capture/drain.hpp, drain_reverse), so that only the backfill is undone.
//
// The rejected version becomes the shadow again and is kept in step by the forward capture, which is installed on the
// restored table in the same transaction: it can be audited, published again, or cancelled.
#include <utility>

#include "capture/capture.hpp"
#include "capture/carried.hpp"
#include "capture/drain.hpp"
#include "capture/log.hpp"
#include "catalog/cutover.hpp"
#include "catalog/suspension.hpp"
#include "copy/shadow.hpp"
#include "copy/shape.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "plan/dependents.hpp"
#include "plan/plan.hpp"
#include "publish/cutover.hpp"
#include "publish/preconditions.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"
#include "publish/service.hpp"
#include "publish/way_back.hpp"

namespace backfill {

namespace {

// Under the locks, what has been carried is counted again where that takes no time; else it is told as before them.
constexpr std::int64_t worth_counting_again = 20000;

// Everything that can be seen now, so that what is told and asked before the swap is true, and the swap itself is short.
void drain_what_is_there(const Job &job, const TableShape &shape) {
  drain_backlog(job, false);
  if (carry_again(job) > 0) drain_backlog(job, false);
  drain_reverse(job, shape, final_drain_limit);
}

Versions old_version(const Job &job) { return {job.live, job.archive, archive_index_name}; }

// The old version becomes what it would be had it stayed in service: it gives up demands that the table no longer makes
// before the rows come that may violate them, and takes over new ones when they are there.
class Alignment {
 public:
  explicit Alignment(const Job &job) : job_(job) {}

  // At leisure: nobody writes to the old version but us, who reads it is kept waiting only where its shape differs, and no
  // other session drains any more until the end of the transaction.  Raises Busy while it is in use.
  void make(const TableShape &shape) {
    with_patience(limits_of({job_}).lock_timeout, [&] {
      lock_job_in_time(job_.id, pg::JobLock::drain);
      on_archive([&] {
        (void)pg::lock_relation(job_.archive, pg::LockMode::share_update_exclusive);
        loosen(job_, old_version(job_));
      });
      drain_what_is_there(job_, shape);
      on_archive([&] { left_ = tighten(job_, old_version(job_)); });
      seen_ = table_fingerprint(job_);
    });
  }

  void warn() const {
    if (!left_.empty())
      pg::warning("the old version does not allow all that the table demands now", joined(left_, "\n"),
                  "It goes without; run these statements when its rows allow it.");
  }

  // The table was locked against DDL since; what came in between is rare.
  void complete() {
    if (table_fingerprint(job_) != seen_) {
      loosen(job_, old_version(job_));
      (void)tighten(job_, old_version(job_));
    }
    align_settings(job_, old_version(job_), true);
  }

 private:
  template <typename Fn>
  void on_archive(Fn fn) const {
    try {
      fn();
    } catch (const Error &failure) {
      if (failure.sqlstate != sqlstate::lock_not_available) throw;
      throw Busy(LockRequest{job_.archive}, "the old version is in use");
    }
  }

  const Job &job_;
  std::string seen_;
  std::vector<std::string> left_;
};

// The restored table is what the next publish starts from, with what has come to it since the last one; unless a type
// differs, when only a new plan is right.  Functions of the transform stay as they were planned.
void remember_shape(const Swap &swap) {
  Job now = swap.job;
  now.live = swap.in;
  bool const same_types = pg::query_boolean(
      "SELECT NOT EXISTS (SELECT FROM pg_attribute i JOIN pg_attribute o ON o.attrelid = $2 AND o.attname = i.attname"
      "  WHERE i.attrelid = $1 AND i.attnum > 0 AND NOT i.attisdropped AND NOT o.attisdropped"
      "    AND (i.atttypid, i.atttypmod) <> (o.atttypid, o.atttypmod))",
      {pg::Param::oid(swap.in), pg::Param::oid(swap.out)});
  if (!same_types) return;
  std::string const fresh = table_fingerprint(now), &planned = now.fingerprint;
  std::size_t const end = planned.find(' ');
  update_job(now.id, {{"fingerprint",
                       fresh.substr(0, fresh.find(' ')) + (end == std::string::npos ? "" : planned.substr(end))}});
  store_dependents_anew(now.id, inventory(now.live, now.spec));
}

// The columns somebody added since publish, which he agreed to lose.  The others of the rejected version are derived
// again.
void drop_discarded(const Swap &swap) {
  std::string drops;
  for (const UnplacedColumn &column : unplaced_columns(swap.job))
    if (!column.by_backfill) drops += (drops.empty() ? "" : ", ") + ("DROP COLUMN " + quote_ident(column.name));
  if (!drops.empty()) pg::execute("ALTER TABLE " + swap.retired_sql() + " " + drops);
}

void turn_capture_back(const Swap &swap) {
  remove_capture(swap.job, swap.out);
  remove_guard(swap.job);
  pg::execute_quietly("DROP TABLE IF EXISTS " + reverse_log_name(swap.job));
  Job now = swap.job;
  now.state = "ready";
  now.live = swap.in;
  now.shadow = swap.out;
  now.archive = 0;
  install_capture(now);
}

// What the old version refuses of the rows is told with the way out.
void align(const Job &job, const TableShape &shape, Alignment &alignment) {
  try {
    pg::subtransaction([&] { alignment.make(shape); });
  } catch (const Busy &) {
    throw;
  } catch (const Error &failure) {
    throw explain_refusal(job, shape, failure);
  }
}

std::string sum_up(const Carried &carried, const std::vector<Unplaced> &given_up) {
  std::string text = "carried over from since publish: " + describe(carried);
  if (!given_up.empty()) text += "; given up: " + describe(given_up);
  return text;
}

}  // namespace

std::string roll_back_by_swap(const Job &job, const std::vector<std::string> &discard) {
  require_archive(job);
  require_placeable(job, discard);
  require_undoable(job);
  suspend_cron_jobs(job);
  await_old_snapshots({job});

  TableShape const shape = read_shape(job);
  Alignment alignment(job);
  bool told = false;
  auto const ground = [&](bool anew) {
    if (!anew) {
      drain_backlog(job, false);
      return;
    }
    align(job, shape, alignment);
    fault("rollback", "aligned");
    if (std::exchange(told, true)) return;
    alignment.warn();
    require_placed(job, shape, discard);
    pg::notice("rolling back " + job.name + " carries over: " + describe(count_carried(job, shape)),
               "So much has changed since publish; what is written from now on until the swap is carried over too.");
  };

  Swap const swap = rolling_back(job);
  std::string story;
  Tries const tries = with_tries(
      limits_of({job}), "roll back " + job.name,
      [&](Try &attempt) {
        std::vector<Cutover> cutovers = prepare_swaps({swap}, "published", attempt, [&](const Swap &seen) {
          require_unchanged(seen);
          alignment.complete();
        });
        // Before anybody waits: it reads the whole log.
        require_placeable(job, discard);
        std::vector<Unplaced> given_up = require_placed(job, shape, discard);
        Carried carried = count_carried(job, shape);
        lock_for_swaps(cutovers, attempt);
        DrainResult const rest = drain_rest(cutovers.front(), attempt);
        if (rest.unplaced > 0) given_up = require_placed(job, shape, discard);
        if (rest.keys > 0 && carried.rows() < worth_counting_again) carried = count_carried(job, shape);
        attempt.require_time("swap the tables");
        exchange_tables(cutovers, attempt);
        drop_discarded(swap);
        turn_capture_back(swap);
        fault("rollback", "captured");
        story = sum_up(carried, given_up);
        remember_shape(swap);
        record_rolled_back(job, {swap.in, swap.out, 0}, describe(attempt.so_far()) + "; " + story);
        drop_twins(job, set_after_steps(job.id, cutovers.front().after));
        fault("rollback", "recorded");
      },
      ground);
  return describe(tries) + "; " + story;
}

}  // namespace backfill
