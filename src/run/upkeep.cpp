// A coordinator can die before it has done anything, again and again: a bug, a broken catalog, memory that runs out.  The
// postmaster, the launcher and backfill_maintain() would each start the next one.  So the ledger counts starts, whoever
// orders them, and the coordinator itself waits: it is alive meanwhile, says why in waiting_for, and nobody else is started.
#include "run/upkeep.hpp"

#include <algorithm>

#include "catalog/job.hpp"
#include "pg/lock.hpp"
#include "pg/random.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "run/coordinator.hpp"

namespace backfill {

namespace {

constexpr int starts_without_pause = 2;
constexpr long first_pause = 10000, longest_pause = 300000;  // ms

// Locks the row unless somebody has it.
bool wants_coordinator(int job) {
  return pg::as_extension([&] {
    bool const wanted = !pg::execute(
                             "SELECT FROM backfill.job WHERE id = $1 AND state IN ('running', 'ready', 'published')"
                             " AND (launched_at IS NULL OR launched_at < clock_timestamp() - interval '10 s'"
                             "      OR launched_at < pg_postmaster_start_time())"
                             " FOR UPDATE SKIP LOCKED",
                             {job})
                             .empty();
    return wanted && pg::job_lock_holder(job, pg::JobLock::life) == 0;
  });
}

}  // namespace

std::vector<int> jobs_at_work() {
  std::string const home = this_home();
  return pg::as_extension([&] {
    std::vector<int> jobs;
    for (const pg::Row &row : pg::execute("SELECT id FROM backfill.job WHERE state IN ('running', 'ready', 'published')"
                                          " AND home = $1 ORDER BY id",
                                          {home}))
      jobs.push_back(static_cast<int>(row.integer("id")));
    return jobs;
  });
}

void restart_if_abandoned(int job, const std::string &by, Upkeep &done) {
  if (!wants_coordinator(job)) return;
  try {
    pg::subtransaction([&] {
      record_event(job, "resumed", "Its coordinator was gone; restarted by " + by + ".");
      launch_coordinator(job);
    });
    done.restarted++;
  } catch (const Error &failure) {
    if (failure.sqlstate != sqlstate::insufficient_resources) throw;
    set_waiting(job, "a worker slot for its coordinator (max_worker_processes)");
    done.out_of_slots++;
  }
}

bool extension_is_gone() {
  return pg::transaction([] { return pg::extension_owner() == 0; });
}

int begin_start(int job) {
  return pg::as_extension([&] {
    return static_cast<int>(
        pg::query_integer("UPDATE backfill.job SET launched_at = NULL, waiting_for = NULL, starts = starts + 1 WHERE "
                          "id = $1 RETURNING starts",
                          {job}));
  });
}

void start_was_good(int job) {
  pg::as_extension([&] { pg::execute("UPDATE backfill.job SET starts = 0 WHERE id = $1 AND starts > 0", {job}); });
}

long pause_before_start(int starts) {
  if (starts <= starts_without_pause) return 0;
  long const pause = std::min(longest_pause, first_pause << std::min(starts - starts_without_pause - 1, 10));
  return pause + static_cast<long>(pg::random_between(0, pause / 2));
}

}  // namespace backfill
