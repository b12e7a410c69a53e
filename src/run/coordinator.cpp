// A coordinator's life is one loop: a round looks at the job and does one piece of what is due, then the latch is waited
// on.  No state is kept here that is not in the ledger, so that any other coordinator could go on from it, but for the
// handles of the workers it started.
#include "run/coordinator.hpp"

#include <algorithm>

#include "capture/capture.hpp"
#include "catalog/cutover.hpp"
#include "catalog/delivery.hpp"
#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "pg/database.hpp"
#include "pg/durable.hpp"
#include "pg/fault.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/downstream.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"
#include "run/chunk_worker.hpp"
#include "run/notifier.hpp"
#include "run/obstacle.hpp"
#include "run/self_publish.hpp"
#include "run/steps.hpp"
#include "run/throttle.hpp"
#include "run/upkeep.hpp"

namespace backfill {

namespace {

constexpr long working_pause = 100, idle_pause = 500;  // ms on the latch between rounds
constexpr long held_pause = 1000;                      // while the throttle holds the job
constexpr long troubled_pause = 5000;                  // after an error that may pass
constexpr long repair_pause = 60000;                   // after one of a published job that will not
constexpr long patience_with_predecessor = 5000;       // ms
constexpr long longest_rest = 500, start_look = 500;   // ms between looks whether it has to give way, or begin
constexpr std::int64_t messages_pause = 1000;          // ms between looks at the outbox
constexpr std::int64_t obstacle_pause = 2000;          // ms between looks at the table's definition
constexpr std::int64_t carried_at_least = 100000;      // log rows worth a compaction
constexpr std::int64_t worth_haste = 1000;             // log rows of a batch after which the next follows at once
constexpr int troubles_allowed = 5;                    // in a row

// The job fails with what the coordinator met.  A published one goes on being published, says what is wrong, and is looked
// at again: true.
bool goes_on_in_spite_of(int id, const Error &error) {
  std::optional<Job> const seen = pg::transaction([&] { return load_job(id); });
  if (!seen || !seen->active()) return false;
  Error const failure = with_cause(*seen, error, look_for_obstacle(*seen));
  return pg::transaction([&] {
    std::optional<Job> const job = load_job(id);
    if (!job || !job->active()) return false;
    if (job->state == "published") {
      set_waiting(id, std::string("a repair: ") + failure.what());
      return true;
    }
    fail_job(*job, failure);
    return false;
  });
}

// What can fail, fails; a published job goes on: true.
bool give_up_after_starts(int id, int starts) {
  return goes_on_in_spite_of(
      id, Error(sqlstate::internal_error, "its coordinator ended " + std::to_string(starts - 1) + " times in a row",
                "Each ended within a minute, before it had left in order.", "Look for the cause in the server log."));
}

// Those in backfill_wait: the state is another, or what follows a swap is done.
void wake_watchers(int id) {
  pg::transaction([&] { pg::wake_lock_holders(id, pg::JobLock::watch); });
}

class Coordinator {
 public:
  explicit Coordinator(int job) : id_(job) {}

  // True when this process is the job's coordinator now.  A predecessor may be on its way out (the job was resumed the
  // moment it stopped): it gets a while.
  bool attach();
  // Where others before it died early: waits, or lets the job fail.  False: nothing is left to do here.
  bool begin();
  // One look at the job and the work due.  False: nothing is left to do here.
  bool round();
  // On the latch until the next round.
  void rest(long milliseconds);
  long pause() const { return pause_; }

 private:
  bool advance(const Job &job);
  bool run_stage(const Job &job, int stage);
  void run_with_workers(const Job &job, int stage, const StageCounts &counts);
  void run_alone(const Job &job, int stage);
  bool settle(const Job &job);
  void rest_after(std::int64_t drained);
  void tend_ready(const Job &job);
  void tend_after(const Job &job);
  void tend_published(const Job &job);
  void end_retentions_due();
  void tend_archive(const Job &job);
  void make_room();
  void tend_log(const Job &job);
  void tend_messages(const Job &job);
  void tend_obstacle(const Job &job);
  int living();  // chunk workers that run or are about to

  int id_;
  int starts_ = 0;         // coordinators in a row that have begun and not worked for long, this one included
  bool told_done_ = true;  // those who wait for what follows a swap
  bool idle_ = false;  // nothing is lost by leaving: it waits to begin; or ready or published, and no worker is at work
  std::int64_t good_at_ = 0;
  long pause_ = working_pause;
  bool short_of_slots_ = false;
  int parallelism_ = 0;  // when it was last looked at
  int told_stage_ = 0;
  std::int64_t messages_seen_to_ = 0, table_seen_at_ = 0, retentions_rest_until_ = 0, log_rests_until_ = 0;
  std::int64_t carried_ = 0, distinct_ = 0;  // log rows since the last compaction; keys left by it
  std::vector<pg::Worker> workers_;
  SelfPublisher publisher_;
};

bool Coordinator::attach() {
  for (std::int64_t const until = pg::now_ms() + patience_with_predecessor;; pg::wait_latch(working_pause)) {
    std::optional<bool> const attached = pg::transaction([&]() -> std::optional<bool> {
      std::optional<Job> const job = load_job(id_);
      if (!job || !job->active() || job->home != this_home()) return false;
      if (!pg::try_lock_job(id_, pg::JobLock::life, true)) return std::nullopt;
      starts_ = begin_start(id_);
      return true;
    });
    if (attached) return *attached;
    if (pg::now_ms() > until) return false;
  }
}

// A person's request ends the wait.
bool Coordinator::begin() {
  std::int64_t const until = pg::now_ms() + pause_before_start(starts_);
  if (starts_ > starts_until_failure && !give_up_after_starts(id_, starts_)) return false;
  idle_ = true;
  if (until > pg::now_ms())
    pg::transaction([&] {
      set_waiting(id_, "its next start: " + std::to_string(starts_ - 1) +
                           " coordinators in a row ended before their time (see the server log)");
    });
  while (pg::now_ms() < until) {
    bool const wanted = pg::transaction([&] {
      std::optional<Job> const job = load_job(id_);
      return !job || job->request;
    });
    if (wanted) break;
    rest(start_look);
  }
  if (starts_ > 1) pg::transaction([&] { set_waiting(id_, std::nullopt); });
  good_at_ = pg::now_ms() + start_is_good_after;
  return true;
}

bool Coordinator::round() {
  std::optional<Job> const job = pg::transaction([&] { return load_job(id_); });
  if (!job) return false;
  fault("coordinator", "looked");
  pause_ = idle_pause;
  tend_messages(*job);
  tend_obstacle(*job);
  idle_ = job->state != "running" && living() == 0;
  if (good_at_ != 0 && pg::now_ms() > good_at_) {
    pg::transaction([&] { start_was_good(id_); });
    good_at_ = 0;
  }
  if (job->state == "running") return advance(*job);
  pg::report_activity("backfill " + job->name + ": " + job->state);
  if (job->state == "ready") {
    tend_ready(*job);
    return true;
  }
  if (job->state == "published") {
    tend_published(*job);
    return true;
  }
  return living() > 0;
}

void Coordinator::rest(long milliseconds) {
  if (idle_) make_room();
  pg::wait_latch(std::min(milliseconds, longest_rest));
}

// Whoever wants the database to himself (DROP DATABASE) would be refused for a process that does nothing.  It comes back
// by itself if the database is still there then.
void Coordinator::make_room() {
  bool const leaves = pg::transaction([&] {
    if (!pg::database_is_wanted()) return false;
    start_was_good(id_);
    return true;
  });
  if (leaves) pg::step_aside();
}

// running: towards ready.
bool Coordinator::advance(const Job &job) {
  pause_ = working_pause;
  pg::transaction([&] { reclaim_steps(job.id, job.spec.strategy.retries); });
  if (job.request) return settle(job);

  std::optional<int> const stage = pg::transaction([&] { return open_stage(job.id); });
  if (stage && *stage < stage::publish) return run_stage(job, *stage);
  pg::transaction([&] {
    set_state(job, "ready", "ready", "The shadow is complete and audited; captured changes are drained into it.");
    give_notice(job, "before publish");
    fault("ready", "made");
  });
  fault("ready", "committed");
  wake_watchers(job.id);
  return true;
}

bool Coordinator::run_stage(const Job &job, int stage) {
  StageCounts const counts = pg::transaction([&] { return count_stage(job.id, stage); });
  if (counts.pending == 0 && counts.running == 0) {
    if (counts.failed == 0) return true;  // workers have finished the stage since it was looked for
    pg::transaction([&] { fail_job(job, stage_failure(job.id, stage)); });
    return false;
  }
  if (stage != told_stage_) pg::transaction([&] { tell_phase(job.id, told_stage_ = stage); });
  look_at_load(job.id, stage);
  if (is_held(stage))
    pause_ = held_pause;
  else if (stage::is_shared(stage))
    run_with_workers(job, stage, counts);
  else
    run_alone(job, stage);
  if (stage > stage::drain && catch_up(job) > 0) pause_ = std::min(pause_, working_pause);
  return true;
}

// As many workers as there are steps, up to the job's parallelism.  Out of slots: with fewer; with none, here.
void Coordinator::run_with_workers(const Job &job, int stage, const StageCounts &counts) {
  int const wanted = std::min(job.parallelism, counts.pending + counts.running);
  share_among(wanted, job.parallelism < parallelism_   ? living() - job.parallelism
                      : job.parallelism > parallelism_ ? 0
                                                       : -1);
  parallelism_ = job.parallelism;
  bool const due = pg::transaction([&] { return has_due_step(job.id, stage); });
  bool short_now = false;
  while (due && living() < wanted) {
    std::optional<pg::Worker> const worker = launch_chunk_worker(job, static_cast<int>(workers_.size()) + 1);
    if (!worker) {
      short_now = true;
      break;
    }
    workers_.push_back(*worker);
    fault("worker", "launched");
  }
  if (short_now != short_of_slots_) {
    short_of_slots_ = short_now;
    pg::transaction([&] {
      set_waiting(job.id,
                  short_now ? std::optional<std::string>("a worker slot: " + std::to_string(living()) + " of " +
                                                         std::to_string(wanted) + " workers run (max_worker_processes)")
                            : std::nullopt);
    });
  }
  if (due && living() == 0) run_alone(job, stage);
}

void Coordinator::run_alone(const Job &job, int stage) {
  std::optional<Step> const step = pg::transaction([&] { return claim_step(job.id, stage); });
  if (!step) return;
  run_step(job, *step);
  pause_ = 0;
}

// Asked to pause: workers stop between batches; when the last has left, the job is paused.
bool Coordinator::settle(const Job &job) {
  if (living() > 0) return true;
  pg::transaction([&] {
    set_state(job, "paused", "paused", "Everything is kept; captured changes wait in the log.");
    fault("pause", "made");
  });
  fault("pause", "committed");
  return false;
}

// A batch costs some milliseconds whatever is in it: a trickle of writes is gathered, a backlog is drained at once.
void Coordinator::rest_after(std::int64_t drained) {
  if (drained > 0) pause_ = drained >= worth_haste ? 0 : working_pause;
}

void Coordinator::tend_ready(const Job &job) {
  // Under the row lock: a swap changes triggers and state together, and is wholly before this look or behind it.
  pg::transaction([&] {
    std::optional<Job> const now = load_job(job.id, true);
    fault("ready", "looked");
    if (now && now->state == "ready") require_capture_whole(*now);
  });
  tend_after(job);
  rest_after(catch_up(job));
  if (job.spec.publish.automatic) publisher_.attend(job);
}

// What a swap has left to be done; workers do what may take long, so that draining goes on meanwhile.
void Coordinator::tend_after(const Job &job) {
  std::optional<int> const stage = pg::transaction([&] { return open_after_stage(job); });
  if (!stage) {
    pg::transaction([&] { settle_downstream(job); });
    if (!told_done_) wake_watchers(job.id);
    told_done_ = true;
    return stop_looking(job.id);
  }
  told_done_ = false;
  look_at_load(job.id, *stage);
  pg::transaction([&] {
    reclaim_steps(job.id, job.spec.strategy.retries);
    give_way(job);
  });
  if (is_held(*stage)) return;
  if (stage::is_shared(*stage))
    run_with_workers(job, *stage, pg::transaction([&] { return count_stage(job.id, *stage); }));
  else
    run_alone(job, *stage);
}

void Coordinator::tend_published(const Job &job) {
  tend_after(job);
  end_retentions_due();
  tend_archive(job);
}

// One that cannot be ended is tried again, and told of, when that is worth it.
void Coordinator::end_retentions_due() {
  if (pg::now_ms() < retentions_rest_until_) return;
  for (int const id : pg::transaction([] { return jobs_past_retention(); }))
    if (!pg::transaction([&] { return end_retention(id); })) retentions_rest_until_ = pg::now_ms() + repair_pause;
}

// The log of keys written since publish is kept in proportion to their number, not to the number of writes.
void Coordinator::tend_archive(const Job &job) {
  if (!pg::transaction([&] { return has_archive(job); })) return tend_log(job);
  std::int64_t const taken = catch_up_archive(job);
  rest_after(taken);
  carried_ += taken;
  if (carried_ < std::max(carried_at_least, distinct_)) return;
  distinct_ = compact_carried(job);
  carried_ = 0;
}

// Nothing can be carried into an archive that is gone; but it may come back.
void Coordinator::tend_log(const Job &job) {
  if (pg::now_ms() < log_rests_until_) return;
  log_rests_until_ = pg::now_ms() + repair_pause;
  keep_log_small(job);
}

void Coordinator::tend_messages(const Job &job) {
  std::int64_t const now = pg::now_ms();
  if (job.spec.monitoring.webhook.empty() || now - messages_seen_to_ < messages_pause) return;
  messages_seen_to_ = now;
  pg::transaction([] { start_notifier_if_due(); });
}

// DDL on the table does not stop the work, as it may be undone; views say at once what will refuse the publish.  Where writes
// may have been missed, nothing helps: the work ends.
void Coordinator::tend_obstacle(const Job &job) {
  std::int64_t const now = pg::now_ms();
  if (now - table_seen_at_ < obstacle_pause) return;
  table_seen_at_ = now;
  (void)look_for_obstacle(job);
  if (job.state == "running") pg::transaction([&] { require_capture_whole(job); });
}

int Coordinator::living() {
  std::erase_if(workers_, [](const pg::Worker &worker) { return !worker.running(); });
  return static_cast<int>(workers_.size());
}

// False: the coordinator is not to come again.
bool begin(Coordinator &coordinator, int id) {
  try {
    if (!coordinator.attach() || !coordinator.begin()) return false;
    fault("coordinator", "began");
    open_board();
    return true;
  } catch (const Error &failure) {
    if (extension_is_gone()) return false;
    pg::log_message("backfill coordinator " + std::to_string(id) + ": " + failure.what());
    if (is_transient(failure.sqlstate)) pg::step_aside();
    return false;
  }
}

// Rests in pieces, so that it gives way and takes a request soon.
void rest_long(Coordinator &coordinator, long milliseconds) {
  std::int64_t const until = pg::now_ms() + milliseconds;
  for (std::int64_t left = milliseconds; left > 0; left = until - pg::now_ms())
    coordinator.rest(static_cast<long>(left));
}

void work(Coordinator &coordinator, int id) {
  std::string told;
  for (int troubles = 0;;) {
    try {
      if (!coordinator.round()) return;
      if (troubles > 0) pg::transaction([&] { set_waiting(id, std::nullopt); });
      troubles = 0;
      told.clear();
      coordinator.rest(coordinator.pause());
    } catch (const Error &failure) {
      if (extension_is_gone()) return;
      if (told != failure.what()) pg::log_message("backfill coordinator " + std::to_string(id) + ": " + failure.what());
      told = failure.what();
      bool const may_pass = is_transient(failure.sqlstate) && ++troubles <= troubles_allowed;
      if (!may_pass && !goes_on_in_spite_of(id, failure)) return;
      troubles = std::max(troubles, 1);
      rest_long(coordinator, may_pass ? troubled_pause : repair_pause);
    }
  }
}

void coordinate(int id) {
  if (extension_is_gone()) return;
  pg::commit_lazily();
  Coordinator coordinator(id);
  if (!begin(coordinator, id)) return;
  work(coordinator, id);
  fault("coordinator", "leaves");
  if (extension_is_gone()) return;
  pg::transaction([&] {
    start_was_good(id);
    start_notifier_if_due();
    pg::wake_lock_holders(id, pg::JobLock::watch);
  });
}

}  // namespace

void launch_coordinator(int job) {
  update_job(job, {{"launched_at", now_marker}});
  pg::WorkerOrder order;
  order.job = job;
  order.wait_for_xid = pg::current_xid();
  if (pg::launch_worker("backfill_coordinator_main", "backfill coordinator " + std::to_string(job), order, true))
    return;
  throw Error(sqlstate::insufficient_resources, "no background worker could be started",
              "All of the server's max_worker_processes (" + pg::setting("max_worker_processes") + ") are in use.",
              "Raise max_worker_processes and restart the server, or wait until other workers have ended.");
}

}  // namespace backfill

BACKFILL_WORKER(backfill_coordinator_main) { backfill::coordinate(order.job); }
