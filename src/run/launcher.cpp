// The launcher sleeps on its latch, and looks after one database at a time.
//
//   1. It reads the list; names that are new are due at once, others when their time has come.
//   2. For each one due it looks the name up in pg_database.  One that does not exist, or takes no connections, is passed over.
//   3. A worker visits the database: if the extension is there and fits this library, jobs that should have a coordinator
//      and have none get one.  It reports in one word, and ends.
//   4. The next visit comes 10 s later where jobs are at work, after a minute where there are none, and the later the more
//      visits in a row have failed.
//
// Visits last some milliseconds, so one worker slot besides the launcher's own is enough for any number of databases, and
// nobody who wants to drop a database meets us there for longer than he is patient.  What is unusual is told to the log
// when it is first seen, not at every visit.  Ended retentions are left to the coordinators: every published job has one.
#include "run/launcher.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "catalog/suspension.hpp"
#include "core/error.hpp"
#include "core/version.hpp"
#include "pg/database.hpp"
#include "pg/launcher.hpp"
#include "pg/random.hpp"
#include "pg/role.hpp"
#include "pg/settings.hpp"
#include "pg/transaction.hpp"
#include "run/notifier.hpp"
#include "run/upkeep.hpp"

namespace backfill {

namespace {

constexpr std::int64_t busy_interval = 10000, idle_interval = 60000, longest_interval = 600000;  // ms
constexpr std::int64_t visit_patience = 30000;  // a visit that takes longer is ended
constexpr char visit_lock_timeout[] = "1s";

// What the launcher remembers of a database.
struct Acquaintance {
  std::int64_t due = 0;
  std::int64_t interval = busy_interval;
  std::string found;  // what was last unusual about it, "" when nothing
};

// Up to a tenth more, so that servers started together do not visit together.
std::int64_t jittered(std::int64_t interval) { return interval + pg::random_between(0, interval / 10); }

// Returns when the time has passed or the latch was set.
void wait(std::int64_t milliseconds) {
  pg::wait_latch(static_cast<long>(std::max<std::int64_t>(1, milliseconds)));
  if (pg::asked_to_leave()) pg::step_aside();
}

// nullopt: there was no worker slot for it.
std::optional<pg::Visit> visit_database(pg::Oid database) {
  if (!pg::start_visit("backfill_visit_main", database)) return std::nullopt;
  std::int64_t const until = pg::now_ms() + visit_patience;
  while (pg::visit_goes_on()) {
    if (pg::now_ms() > until) pg::end_visit();
    wait(1000);
  }
  return pg::take_report();
}

// What is unusual, in words.
std::string describe(std::optional<pg::Visit> found) {
  if (!found) return "no worker slot is free to visit it (max_worker_processes)";
  switch (*found) {
    case pg::Visit::failed: return "it could not be visited; see the messages before this one";
    case pg::Visit::no_extension: return "the extension is not installed there";
    case pg::Visit::other_version:
      return std::string("the extension there is not of this library's version ") + library_version +
             "; restart the server with the library that was installed, or say ALTER EXTENSION backfill UPDATE there";
    default: return "";
  }
}

std::int64_t next_interval(std::optional<pg::Visit> found, std::int64_t last) {
  if (!found || found == pg::Visit::active) return busy_interval;
  if (found == pg::Visit::failed) return std::min(last * 2, longest_interval);
  return idle_interval;
}

void look_after(const std::string &name, Acquaintance &known) {
  std::optional<pg::Oid> const database = pg::transaction([&] { return pg::find_database(name); });
  std::optional<pg::Visit> const seen = database ? visit_database(*database) : pg::Visit::idle;
  std::string const found = database ? describe(seen) : "it does not exist, or takes no connections";
  if (found != known.found && !found.empty())
    pg::log_message("backfill launcher: database \"" + name + "\" is passed over: " + found);
  known.found = found;
  known.interval = next_interval(seen, known.interval);
  known.due = pg::now_ms() + jittered(known.interval);
}

void forget_others(std::map<std::string, Acquaintance> &known, const std::vector<std::string> &names) {
  std::erase_if(known, [&](const auto &one) { return std::ranges::find(names, one.first) == names.end(); });
}

std::string extension_version() {
  return pg::query_value("SELECT max(extversion) FROM pg_extension WHERE extname = 'backfill'").value_or("");
}

template <typename Fn>
auto briefly(Fn fn) {
  return pg::transaction([&] {
    pg::set_local("lock_timeout", visit_lock_timeout);
    return fn();
  });
}

// One job that cannot be started does not keep the others from it.
pg::Visit tend_jobs() {
  std::vector<int> const jobs = briefly([] { return jobs_at_work(); });
  Upkeep done;
  bool failed = false;
  for (int const job : jobs) {
    try {
      briefly([&] { restart_if_abandoned(job, "the launcher", done); });
    } catch (const Error &failure) {
      pg::log_message("backfill launcher: job " + std::to_string(job) + ": " + failure.what());
      failed = true;
    }
  }
  briefly([] { (void)restore_abandoned_cron_jobs(); });
  briefly([] { start_notifier_if_due(); });
  if (failed) return pg::Visit::failed;
  return jobs.empty() ? pg::Visit::idle : pg::Visit::active;
}

}  // namespace

void launch_visits() {
  std::map<std::string, Acquaintance> known;
  for (;;) {
    std::vector<std::string> const names = pg::transaction([] { return pg::list_setting("backfill.databases"); });
    forget_others(known, names);
    std::int64_t next = pg::now_ms() + longest_interval;
    for (const std::string &name : names) {
      Acquaintance &one = known[name];
      if (one.due <= pg::now_ms()) look_after(name, one);
      next = std::min(next, one.due);
    }
    wait(next - pg::now_ms());
  }
}

void visit() {
  std::string const version = briefly([] { return extension_version(); });
  if (version.empty())
    pg::report_visit(pg::Visit::no_extension);
  else if (version != library_version)
    pg::report_visit(pg::Visit::other_version);
  else
    pg::report_visit(tend_jobs());
}

}  // namespace backfill

BACKFILL_LAUNCHER() { backfill::launch_visits(); }
BACKFILL_WORKER(backfill_visit_main) { backfill::visit(); }
