// Publishing: the cutover, in the caller's transaction.
//
//   1  preconditions, without locks: a refusal costs nobody anything
//   2  wait for snapshots to which the new version would look empty
//   3  drain the log down to what one try can take
//   4  tries, each a subtransaction (attempt.hpp):
//        while readers and writers go on: lock the job and stop DDL on the table in service; check again what may have
//          changed; shape the shadow as the table is now; make the log of the way back; drain
//        lock   dependents, the shadow; the table in service last
//        drain  the rest: now the shadow equals transform(live)
//        swap   privileges; names of tables, indexes, sequences, statistics; dependents (movers.hpp)
//        guard  the archive; capture for the way back; the record
//
// All the jobs of one call are swapped, or none.  Rolling back is the same with the roles exchanged (rollback.cpp).
#include "publish/publish.hpp"

#include <algorithm>

#include "capture/capture.hpp"
#include "catalog/cutover.hpp"
#include "catalog/step.hpp"
#include "catalog/suspension.hpp"
#include "copy/shadow.hpp"
#include "core/sql_text.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/cutover.hpp"
#include "publish/movers.hpp"
#include "publish/preconditions.hpp"
#include "publish/refresh.hpp"
#include "publish/service.hpp"

namespace backfill {

namespace {

std::string names(const std::vector<Job> &jobs) {
  std::string text;
  for (const Job &job : jobs) text += (text.empty() ? "" : ", ") + job.name;
  return text;
}

// What the job is once its tables are swapped.
Job as_published(const Swap &swap) {
  Job now = swap.job;
  now.state = "published";
  now.live = swap.in;
  now.archive = swap.out;
  return now;
}

// While readers and writers go on: is all as it was, is the shadow shaped, is the log of the way back there?
void make_ready(const Swap &swap) {
  require_unchanged(swap);
  finish_shape(swap.job);
  restore_autovacuum(swap.job);
  create_reverse_log(as_published(swap));
}

// From now on the archive is read-only to users, and writes to the table in service are remembered.
void turn_capture_around(const Swap &swap) {
  remove_capture(swap.job, swap.out);
  Job const now = as_published(swap);
  install_reverse_capture(now);
  install_guard(now);
}

void settle(const Cutover &cutover, const Try &attempt) {
  const Job &job = cutover.swap.job;
  turn_capture_around(cutover.swap);
  fault("publish", "captured");
  pg::as_extension([&] { remember_definitions(as_published(cutover.swap), cutover.before); });
  std::string const until = retention_end(job);
  record_published(job, {cutover.swap.in, 0, cutover.swap.out}, until,
                   describe(attempt.so_far()) + "; the old version is kept until " + until);
  drop_twins(job, set_after_steps(job.id, cutover.after));
  fault("publish", "recorded");
}

std::string tell(const std::vector<Job> &jobs, const Tries &tries) {
  std::string text = "published " + names(jobs) + " " + describe(tries);
  for (const Job &job : jobs) {
    text += "; the old version is " + display_name(job.target_schema, job.archive_name) + " until " +
            retention_end(job) + tell_refreshes(job) + "; undo with SELECT backfill_rollback(" +
            quote_literal(job.name) + ");";
  }
  return text;
}

}  // namespace

std::string start_over(const Job &job, const Overtaken &overtaken) {
  if (overtaken.starts_over)
    restart_chunks(job.id);
  else
    reopen_audit(job.id);
  set_state(job, "running", overtaken.event, overtaken.what());
  std::string const message =
      "not published: " + display_name(job.target_schema, job.target_name) + " went on since then: " + overtaken.what();
  pg::warning(message, "Nothing was published.",
              "Wait for it with CALL backfill_wait(" + quote_literal(job.name) + "); and look at backfill.checks.");
  return message;
}

std::string publish_by_swap(const std::vector<Job> &jobs) {
  require_read_committed("backfill_publish");
  for (const Job &job : jobs) require_publishable(job);
  for (const Job &job : jobs) suspend_cron_jobs(job);
  await_old_snapshots(jobs);

  std::vector<Swap> const swaps = publishing(jobs);
  fault("publish", "begun");
  try {
    auto const drain = [&](bool) {
      for (const Swap &swap : swaps) drain_backlog(swap.job, true);
    };
    Tries const tries = with_tries(
        limits_of(jobs), "publish " + names(jobs),
        [&](Try &attempt) {
          std::vector<Cutover> cutovers = prepare_swaps(swaps, "ready", attempt, make_ready);
          lock_for_swaps(cutovers, attempt);
          for (const Cutover &cutover : cutovers) drain_rest(cutover, attempt);
          attempt.require_time("swap the tables");
          exchange_tables(cutovers, attempt);
          for (const Cutover &cutover : cutovers) settle(cutover, attempt);
        },
        drain);
    pg::set_local("synchronous_commit", "local");
    fault_at_commit("publish");
    return tell(jobs, tries);
  } catch (const Overtaken &overtaken) {
    return start_over(*std::find_if(jobs.begin(), jobs.end(), [&](const Job &job) { return job.id == overtaken.job; }),
                      overtaken);
  }
}

std::vector<Step> after_swap(const Job &job) { return after_steps(publishing(job)); }

}  // namespace backfill
