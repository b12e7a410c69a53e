// What a session does to a job.  Everything but waiting is one transaction of the caller's: check that it may, write what is
// wanted into the ledger, start a coordinator where none lives.  Cancel alone does the work itself, once it has ended
// everybody who could be at it.
#include "run/control.hpp"

#include <algorithm>

#include "capture/capture.hpp"
#include "catalog/cutover.hpp"
#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "catalog/suspension.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "pg/fault.hpp"
#include "pg/foreign_server.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/downstream.hpp"
#include "publish/publish.hpp"
#include "run/coordinator.hpp"
#include "run/notifier.hpp"
#include "run/obstacle.hpp"
#include "run/self_publish.hpp"
#include "run/upkeep.hpp"

namespace backfill {

namespace {

constexpr std::int64_t stop_patience = 30000;  // ms, for terminated workers to be gone
constexpr long end_poll = 10;                  // ms between looks at them
constexpr long poll_interval = 250;            // ms between looks of wait_for, if nobody wakes it

std::string call_text(const char *function, const Job &job) {
  return std::string("SELECT ") + function + "(" + quote_literal(job.name) + ")";
}

void require(const Job &job, Action action) { require_allowed(job.name, parse_state(job.state), action); }

// Told by a person, it does not wait for the sake of those who died before.
void launch(const Job &job) {
  start_was_good(job.id);
  launch_coordinator(job.id);
}

// Of a job that has stopped, a coordinator that still lives is about to leave.
bool has_stopped(const Job &job) { return job.state == "planned" || job.state == "paused" || job.state == "failed"; }

void launch_unless_alive(const Job &job) {
  if (has_stopped(job) || !coordinator_lives(job.id)) launch(job);
}

// The job's processes in this database, whatever they are doing and wherever the ledger has got to.
std::vector<int> processes_of(const Job &job) {
  pg::execute("SELECT pg_stat_clear_snapshot()");
  std::string const id = std::to_string(job.id);
  std::vector<int> pids;
  for (const pg::Row &row : pg::execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'backfill'"
                                        " AND datname = current_database()"
                                        " AND (application_name = $1 OR starts_with(application_name, $2))",
                                        {"backfill coordinator " + id, "backfill worker " + id + "."}))
    pids.push_back(static_cast<int>(row.integer("pid")));
  return pids;
}

void end_processes(const Job &job) {
  std::int64_t const deadline = pg::now_ms() + stop_patience;
  for (std::vector<int> pids = processes_of(job); !pids.empty(); pids = processes_of(job)) {
    if (pg::now_ms() > deadline)
      throw Error(
          sqlstate::lock_not_available, "the workers of backfill \"" + job.name + "\" do not end",
          std::to_string(pids.size()) + " of them were told to; one is process " + std::to_string(pids.front()) + ".",
          "See what it waits for in pg_stat_activity, then try again.");
    for (int pid : pids) pg::signal_terminate(pid);
    pg::sleep_interruptibly(end_poll);
  }
}

// Ends the coordinator and its workers and takes the job's life lock until the end of this transaction.  They are gone
// before anything of theirs is locked here: one that waited for us while we wait for it would never end.  A worker that
// was just being started finds nobody of its own kind behind the life lock, and leaves.
void take_over(const Job &job) {
  pg::as_extension([&] {
    end_processes(job);
    pg::set_local("lock_timeout", std::to_string(stop_patience));
    pg::lock_job(job.id, pg::JobLock::life);
    end_processes(job);
    pg::lock_job(job.id, pg::JobLock::drain);
    pg::execute(
        "UPDATE backfill.step SET status = 'pending', pid = NULL, token = nextval('backfill.step_token')"
        " WHERE job_id = $1 AND status = 'running'",
        {job.id});
  });
}

void require_chunk(const Job &job, std::int64_t chunk) {
  std::int64_t const last = pg::as_extension([&] {
    return pg::query_integer("SELECT coalesce(max(chunk), 0) FROM backfill.step WHERE job_id = $1", {job.id});
  });
  if (chunk >= 1 && chunk <= last) return;
  throw Error(sqlstate::invalid_parameter_value, "backfill \"" + job.name + "\" has no chunk " + std::to_string(chunk),
              "Its chunks are numbered 1 to " + std::to_string(last) + ".",
              "SELECT chunk, lo, hi FROM backfill.chunks WHERE name = " + quote_literal(job.name) + ";");
}

// A chunk that failed goes on from its checkpoint; one that succeeded is run again over what is there.
void reopen_chunk(const Job &job, std::int64_t chunk) {
  bool const reopened = pg::as_extension([&] {
    return pg::execute(
               "UPDATE backfill.step SET replace = (status = 'done'), status = 'pending', attempts = 0,"
               " done_to = CASE WHEN status = 'done' THEN NULL ELSE done_to END,"
               " finished_at = NULL, not_before = NULL, waiting_for = NULL, sqlstate = NULL, error = NULL,"
               " error_detail = NULL, error_hint = NULL,"
               " params = CASE WHEN status = 'done' THEN params - 'replica_rows' ELSE params END"
               " WHERE job_id = $1 AND chunk = $2 AND status <> 'running'",
               {job.id, static_cast<long long>(chunk)})
               .processed == 1;
  });
  if (!reopened)
    throw Error(sqlstate::object_in_use, "chunk " + std::to_string(chunk) + " is being run", {},
                "Wait until it has ended, then retry it.");
}

// What wait_for looks at.
struct Look {
  int job;
  std::string state, phase, progress, chunks, eta, waiting_for;
  bool refreshing;  // what a swap has left to be done is not done yet
  bool publishing;  // it is to publish itself
  Error failure;
};

Look look_at(const std::string &name) {
  Job const job = find_job(name);
  if (is_suspended(job)) throw suspended(job);
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT v.state, v.phase, v.progress::text AS progress, v.chunks_done || '/' || v.chunks_total AS chunks,"
        " v.eta, v.waiting_for, j.sqlstate, j.error, j.error_detail, j.error_hint"
        " FROM backfill.job_status v JOIN backfill.job j USING (id) WHERE v.id = $1",
        {job.id});
    pg::Row const row = found.only();
    return Look{job.id,
                row.text("state"),
                row.text("phase"),
                row.text("progress"),
                row.text("chunks"),
                row.text("eta"),
                row.text("waiting_for"),
                open_after_stage(job).has_value(),
                publishes_itself(job),
                Error(row.null("sqlstate") ? sqlstate::internal_error : row.text("sqlstate"), row.text("error"),
                      row.text("error_detail"), row.text("error_hint"))};
  });
}

std::string progress_line(const std::string &name, const Look &look) {
  std::string line = name + ": " + look.phase + ", " + look.progress + " %, chunks " + look.chunks;
  if (!look.waiting_for.empty()) line += ", waiting for " + look.waiting_for;
  return line;
}

// A line at every change of phase, and otherwise at most one a second.
class ProgressTeller {
 public:
  void tell(const std::string &name, const Look &look) {
    std::string const line = progress_line(name, look);
    std::int64_t const now = pg::now_ms();
    if (line == told_ || (look.phase == phase_ && now - told_at_ < 1000)) return;
    pg::notice(line + (look.eta == "-" ? "" : ", " + look.eta + " left"));
    told_ = line;
    phase_ = look.phase;
    told_at_ = now;
  }

 private:
  std::string told_, phase_;
  std::int64_t told_at_ = 0;
};

// There is work, and nobody who does it.
bool abandoned(const Look &look) {
  return look.state == "stalled" ||
         ((look.refreshing || look.publishing) && look.waiting_for.starts_with("a coordinator"));
}

// True when there is nothing more to wait for.  Raises when waiting would be in vain.
bool settled(const std::string &name, const Look &look) {
  if (look.state == "running") return false;
  if (look.state == "failed" || (look.state == "ready" && *look.failure.what() != '\0')) throw look.failure;
  if (look.state == "planned" || abandoned(look))
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "backfill \"" + name + "\" is " + look.state + ": nobody runs it",
                look.refreshing   ? "Not all that follows a publish or rollback is done."
                : look.publishing ? "It was to publish itself."
                                  : "",
                "Start it with SELECT backfill_run(" + quote_literal(name) + ");");
  if (look.state == "cancelled")
    throw Error(sqlstate::object_not_in_prerequisite_state, "backfill \"" + name + "\" was cancelled", {},
                "Plan it again if it is still wanted.");
  return !look.refreshing && !look.publishing;
}

// Of an alter: the spec as it will be, and what of it is new.
struct Changes {
  Node document;
  std::vector<std::string> told;
};

void change_section(Changes &changes, const char *section, const char *key, Node value) {
  if (!changes.document.find(section)) changes.document.put(section, Node::empty_mapping());
  changes.document.find(section)->put(key, std::move(value));
}

void change_parallelism(const Job &job, std::int64_t parallelism, Changes &changes) {
  if (parallelism < 1 || parallelism > 64)
    throw Error(sqlstate::invalid_parameter_value, "parallelism must be between 1 and 64",
                "It is " + std::to_string(parallelism) + ".", "Choose a number of workers the server can spare.");
  if (parallelism == job.parallelism) return;
  change_section(changes, "strategy", "parallelism", Node::of_number(parallelism));
  changes.told.push_back("parallelism from " + std::to_string(job.parallelism) + " to " + std::to_string(parallelism));
}

void change_retention(const Job &job, const std::string &given, Changes &changes) {
  pg::as_extension([&] {
    pg::Result const values = pg::execute(
        "SELECT retention::text AS before, $2::interval::text AS after, $2::interval < '0' AS negative"
        " FROM backfill.job WHERE id = $1",
        {job.id, given});
    pg::Row const row = values.only();
    if (row.boolean("negative"))
      throw Error(sqlstate::invalid_parameter_value, "retention must not be negative",
                  "It says how long the replaced version is kept.", "Write it as 14 days.");
    std::string const before = row.text("before"), after = row.text("after");
    if (before == after) return;
    pg::execute(
        "UPDATE backfill.job SET retention = $2::interval, archive_until = published_at + $2::interval WHERE id = $1",
        {job.id, after});
    changes.document.put("retention", Node::of_string(after));
    changes.told.push_back("retention from " + before + " to " + after);
  });
}

void change_throttle(const Node &fragment, Changes &changes) {
  if (fragment.kind != Node::Kind::mapping)
    throw Error(sqlstate::invalid_parameter_value, "throttle is not an object",
                "It holds limits by name, as the section of a spec does.", "Write it as {\"rows_per_second\": 5000}.");
  const Node *const found = changes.document.find("throttle");
  Node const before = found != nullptr && !found->is_null() ? *found : Node::empty_mapping();
  changes.document.put("throttle", fragment);  // read by itself, so that an error names what was given
  (void)interpret_spec(changes.document);
  Node after = lay_over_throttle(before, fragment);
  for (const std::string &difference : differences(before, after)) changes.told.push_back(difference);
  changes.document.put("throttle", std::move(after));
}

// Running on is not refused: what was done may be undone meanwhile.
void tell_obstacle(const Job &job) {
  std::optional<std::string> const seen = obstacle_of(job.id), what = find_obstacle(job);
  set_obstacle(job.id, what, seen);
  if (what)
    pg::warning("backfill \"" + job.name + "\" runs, but cannot be published as it is", "In the way: " + *what + ".",
                "Unless it is undone, end it with " + call_text("backfill_cancel", job) + ";");
}

}  // namespace

std::string run_backfill(const std::string &name) {
  pg::require_writable("a backfill cannot run");
  Job const job = job_for_caller(name, true);
  require(job, Action::run);
  std::string const watch = "; watch it with CALL backfill_wait(" + quote_literal(job.name) + ") or in backfill.jobs";
  if (!has_stopped(job)) {
    int const again = retry_after_steps(job.id);
    if (again > 0) {
      suspend_cron_jobs(job);
      record_event(job.id, "retried", std::to_string(again) + " failed steps after publish");
    }
    bool const publishes = publish_again(job);
    if (coordinator_lives(job.id))
      return "backfill " + job.name +
             (again > 0   ? " tries again what failed after publish; see backfill.steps"
              : publishes ? " tries again to publish" + watch
                          : " is at work already" + watch);
  }
  if (has_stopped(job)) {
    tell_obstacle(job);
    reset_failed_steps(job.id);
    if (job.state == "planned") give_notice(job, "before start");
    set_state(job, "running", job.state == "planned" ? "started" : "resumed");
  } else {
    record_event(job.id, "resumed", "Its coordinator was gone.");
  }
  launch(job);
  fault_at_commit("run");
  return "backfill " + job.name + (job.state == "planned" ? " started" : " resumed") + watch;
}

std::string pause_backfill(const std::string &name) {
  pg::require_writable("a backfill cannot be paused");
  Job const job = job_for_caller(name, true);
  require(job, Action::pause);
  if (!coordinator_lives(job.id)) {
    set_state(job, "paused", "paused", "No worker was running.");
    return "backfill " + job.name + " is paused; go on with " + call_text("backfill_run", job);
  }
  fault_at_commit("pause");
  update_job(job.id, {{"request", "pause"}});
  record_event(job.id, "pause requested");
  return "backfill " + job.name + " will pause when its open batches are done; go on with " +
         call_text("backfill_run", job);
}

std::string cancel_backfill(const std::string &name) {
  pg::require_writable("a backfill cannot be cancelled");
  if (is_suspended(own_job(name))) return cancel_suspended(own_job(name, true));
  Job const seen = job_for_caller(name);
  if (seen.state == "cancelled") return tell_ended(name, State::cancelled);
  require(seen, Action::cancel);
  await_after_steps(seen, "cancel " + name, seen.spec.publish.give_up_after);
  take_over(seen);
  fault("cancel", "taken_over");
  fault_at_commit("cancel");
  Job const job = job_for_caller(name, true);  // nobody changes it any more
  if (job.state == "cancelled") return tell_ended(name, State::cancelled);
  require(job, Action::cancel);
  return cancel_job(job);
}

std::string retry_chunk(const std::string &name, std::int64_t chunk) {
  pg::require_writable("a backfill cannot run");
  Job const job = job_for_caller(name, true);
  require(job, Action::retry);
  require_chunk(job, chunk);
  reopen_chunk(job, chunk);
  reopen_audit(job.id);
  fault_at_commit("retry");
  if (job.state != "running") set_state(job, "running", "retried", "chunk " + std::to_string(chunk));
  launch_unless_alive(job);
  return "chunk " + std::to_string(chunk) + " of backfill " + job.name + " will be run again, and the checks after it";
}

std::string audit_again(const std::string &name) {
  pg::require_writable("a backfill cannot run");
  Job const job = job_for_caller(name, true);
  require(job, Action::audit);
  reopen_audit(job.id);
  set_state(job, "running", "audit requested");
  launch_unless_alive(job);
  return "the checks of backfill " + job.name + " run again; see backfill.checks, or CALL backfill_wait(" +
         quote_literal(job.name) + ")";
}

namespace {

// Whoever waits for the replica looks again with the next look; others with their next batch.
void change_read_from(const Job &job, const Node &value, Changes &changes) {
  std::string const before = job.spec.read_from.server;
  changes.document.put("read_from", value);
  std::string const after = interpret_spec(changes.document).read_from.server;
  if (!after.empty()) (void)pg::find_foreign_server(after, job.owner);
  auto const shown = [](const std::string &server) { return server.empty() ? "this server" : server; };
  changes.told.push_back("reads from " + shown(before) + " → " + shown(after));
}

}  // namespace

std::string alter_backfill(const std::string &name, std::optional<std::int64_t> parallelism,
                           const std::optional<std::string> &retention, const std::optional<std::string> &throttle,
                           const std::optional<std::vector<std::string>> &windows,
                           const std::optional<std::string> &read_from) {
  pg::require_writable("a backfill cannot be altered");
  Job const job = job_for_caller(name, true);
  require(job, Action::alter);
  Changes changes{job.spec.document, {}};
  if (parallelism) change_parallelism(job, *parallelism, changes);
  if (retention) change_retention(job, *retention, changes);
  if (throttle) change_throttle(parse_document(*throttle), changes);
  if (windows) {
    Node fragment = Node::empty_mapping();
    fragment.put("windows", Node::of_strings(*windows));
    change_throttle(fragment, changes);
  }
  if (read_from) change_read_from(job, parse_document(*read_from), changes);
  if (changes.told.empty()) return "backfill " + job.name + " altered: nothing that differs was given";
  update_spec(job.id, interpret_spec(changes.document));
  std::string told;
  for (const std::string &change : changes.told) told += (told.empty() ? "" : ", ") + change;
  record_event(job.id, "altered", told);
  return "backfill " + job.name + " altered: " + told;
}

std::string maintain() {
  pg::require_writable("a backfill cannot run");
  Oid const caller = pg::current_role();
  Upkeep done;
  for (int const id : jobs_at_work()) {
    std::optional<Job> const job = load_job(id);
    if (job && pg::is_member(caller, job->owner)) restart_if_abandoned(id, "backfill_maintain", done);
  }
  int const released = restore_abandoned_cron_jobs(caller);
  start_notifier_if_due();
  int const ended = end_retentions(caller);
  return std::to_string(done.restarted) + " coordinators restarted, " + std::to_string(ended) + " archives dropped" +
         (done.out_of_slots > 0 ? ", " + std::to_string(done.out_of_slots) + " wait for a worker slot" : "") +
         (released > 0 ? ", " + std::to_string(released) + " pg_cron jobs released" : "");
}

std::optional<std::int64_t> visible_pending_keys(int id) {
  Oid const caller = pg::current_role();
  std::optional<Job> const job = load_job(id);
  if (!job || !job->active() || (job->capture_log == 0 && job->reverse_log == 0) || job->home != this_home())
    return std::nullopt;
  if (!may_see(caller, *job)) return std::nullopt;
  for (Oid const log : {job->capture_log, job->reverse_log})  // the job may have ended since the row was read
    if (log != 0 && !pg::lock_relation(log, pg::LockMode::access_share)) return std::nullopt;
  return pending_keys(*job);
}

void wait_for(const std::string &name, const std::optional<std::string> &timeout) {
  pg::require_no_transaction_block("backfill_wait");
  double const limit =
      !timeout ? 0 : std::stod(*pg::query_value("SELECT extract(epoch FROM $1::interval)::float8", {*timeout}));
  std::int64_t const started = pg::now_ms();
  ProgressTeller teller;
  bool doubted = false;
  for (int watched = 0;;) {
    // Before the look: what happens after it wakes.
    if (watched != 0) pg::share_job_lock(watched, pg::JobLock::watch);
    Look const look = look_at(name);
    // The lock is looked at later than the state is read: a coordinator that has just paused the job and left looks dead.
    bool const sure = !abandoned(look) || doubted;
    doubted = abandoned(look);
    if (sure) teller.tell(name, look);
    if (sure && settled(name, look)) return;
    if (timeout && static_cast<double>(pg::now_ms() - started) / 1000 >= limit)
      throw Error(sqlstate::query_canceled, "timed out waiting for backfill \"" + name + "\"",
                  "It goes on running; it was in phase " + look.phase + " at " + look.progress + " %.",
                  "Wait longer, or look at backfill.jobs.");
    if (watched == look.job) pg::wait_latch(poll_interval);
    watched = look.job;
    pg::commit_and_begin();
  }
}

}  // namespace backfill
