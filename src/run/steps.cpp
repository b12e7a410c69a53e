// Most kinds of step are one transaction and stand in a table.  Those that are not say why: a chunk is many batches, capture
// waits for a lock in bounded tries, the drain goes on until little is left, VACUUM has transactions of its own.
#include "run/steps.hpp"

#include <algorithm>

#include "audit/audit.hpp"
#include "capture/capture.hpp"
#include "capture/carried.hpp"
#include "capture/conflict.hpp"
#include "capture/drain.hpp"
#include "catalog/evidence.hpp"
#include "catalog/replica.hpp"
#include "catalog/suspension.hpp"
#include "copy/batch_copy.hpp"
#include "copy/shadow.hpp"
#include "copy/transform.hpp"
#include "core/sql_text.hpp"
#include "pg/durable.hpp"
#include "pg/fault.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"
#include "pg/transaction.hpp"
#include "pg/usage.hpp"
#include "pg/vacuum.hpp"
#include "pg/worker.hpp"
#include "plan/plan.hpp"
#include "publish/attempt.hpp"
#include "publish/downstream.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"
#include "publish/swap.hpp"
#include "run/chunk.hpp"
#include "run/obstacle.hpp"
#include "run/throttle.hpp"

namespace backfill {

namespace {

constexpr std::int64_t drain_limit = 10000;     // log rows a batch
constexpr std::int64_t sweep_at_least = 50000;  // log rows taken
constexpr std::int64_t drained_enough = 1000;   // a smaller batch ends the first catch-up
constexpr char truncated_detail[] = "The table was truncated: every chunk runs again.";
constexpr char rewritten_detail[] = "VACUUM FULL, CLUSTER or the like rewrote the table: every chunk runs again.";
constexpr char altered_detail[] = "ALTER TABLE may have changed any value: every chunk runs again.";
constexpr long retry_pause = 200;                  // ms
constexpr std::int64_t worth_compacting = 100000;  // log rows that cannot be drained

// The kinds of step that are one transaction.  False: the step is to be run again later.

bool make_shadow(const Job &job, const Step &) {
  require_unchanged(job);
  if (job.shadow == 0) create_shadow(job);
  return true;
}

bool purge(const Job &job, const Step &) {
  pg::lock_job(job.id, pg::JobLock::drain);
  bool const rewritten = was_rewritten(job) && !truncate_logged(job);
  if (!purge_logged_keys(job, read_shape(job)).truncated) return true;
  // The shadow was emptied: the copy begins again; there is no index yet, so chunks need not replace anything.
  reopen_steps(job.id, {"range", "blocks"}, false);
  forget_replica(job.id);
  record_event(job.id, rewritten ? "rewritten" : "truncated", rewritten ? rewritten_detail : truncated_detail);
  return false;
}

// Builds that go on at once divide among them what one may take.
void divide_build_budget(const Job &job, const Step &step) {
  if (step.stage != stage::index) return;
  std::size_t const builds = load_steps(job.id, "index").size();
  auto const sharers =
      static_cast<std::int64_t>(std::min<std::size_t>(static_cast<std::size_t>(job.parallelism), builds));
  auto const number = [](const char *setting) {
    return pg::query_integer("SELECT setting FROM pg_settings WHERE name = $1", {setting});
  };
  std::int64_t const kilobytes = number("maintenance_work_mem"), workers = number("max_parallel_maintenance_workers");
  pg::set_local("maintenance_work_mem", std::to_string(std::max<std::int64_t>(1024, kilobytes / sharers)) + "kB");
  pg::set_local("max_parallel_maintenance_workers", std::to_string((workers + sharers - 1) / sharers));
}

bool index(const Job &job, const Step &step) {
  divide_build_budget(job, step);
  build_index(job, static_cast<Oid>(parse_document(step.params).find("index")->integer()));
  return true;
}

bool shape(const Job &job, const Step &) {
  finish_shape(job);
  return true;
}

// A snapshot older than this does not see all that was copied: nobody may hold one at the swap.
void set_copy_horizon(const Job &job) {
  update_job(job.id, {{"copy_horizon", pg::as_extension([] {
                         return pg::query_value("SELECT pg_snapshot_xmax(pg_current_snapshot())");
                       })}});
}

bool analyze(const Job &job, const Step &) {
  analyze_shadow(job);
  set_copy_horizon(job);
  return true;
}

bool audit(const Job &job, const Step &) {
  require_capture_whole(job);
  if (!load_job(job.id)->copy_horizon) set_copy_horizon(job);  // emptied by a TRUNCATE and filled again since
  begin_audit(job);
  return true;
}

// Under the drain lock no swap exchanges the tables, but one may have since the step was claimed.
bool after(const Job &job, const Step &step) {
  pg::lock_job(job.id, pg::JobLock::drain);
  fault(step.kind, "locked");
  if (std::optional<Job> const now = load_job(job.id)) run_after_step(*now, step);
  return true;
}

bool suspend(const Job &job, const Step &step) {
  Node const params = parse_document(step.params);
  suspend_cron_job(job, params.find("cron_job")->text(), params.find("cron_user")->text());
  return true;
}

struct SimpleKind {
  const char *kind;
  bool (*run)(const Job &, const Step &);
};
constexpr SimpleKind simple_kinds[] = {
    {"shadow", make_shadow}, {"purge", purge}, {"key", index},     {"index", index},    {"shape", shape},
    {"analyze", analyze},    {"audit", audit}, {"release", after}, {"validate", after}, {"suspend", suspend},
};

void run_simple(const Job &job, const Step &step) {
  for (const SimpleKind &kind : simple_kinds) {
    if (step.kind != kind.kind) continue;
    pg::transaction([&] {
      bool const done = kind.run(job, step);
      fault(step.kind, "made");
      if (done)
        finish_step(step);
      else
        give_back_step(step);
      fault(step.kind, "recorded");
    });
    fault(step.kind, "committed");
    return;
  }
  throw Error(sqlstate::internal_error, "no such kind of step: " + step.kind);
}

// What it found stays in the record, also where it stops the job.
bool pre_check(const Job &job, const Step &step) {
  Verdict verdict;
  bool const passed = pg::transaction([&] {
    verdict = run_check(job, step);
    if (verdict.outcome == "fail" || verdict.outcome == "error") return false;
    finish_step(step);
    return true;
  });
  if (passed) return true;
  throw Error(sqlstate::object_not_in_prerequisite_state, "the pre-check did not pass", verdict.detail,
              "Nothing was written. Put it right, then run the backfill again.");
}

void tell_verdict(const Job &job, const Step &step, const Verdict &verdict) {
  if (verdict.outcome == "fail" || verdict.outcome == "error")
    record_event(job.id, "check " + verdict.outcome, step.title);
}

void write_failure(const Job &job, const Step &step, const Error &error);

// A check, and with it those that the same pass over the rows measures.
bool check(const Job &job, const Step &step) {
  std::vector<Step> steps = pg::transaction([&] { return claim_steps(job.id, companions_of(job, step)); });
  if (!steps.empty())
    pg::report_activity("backfill " + job.name + ": " + step.title + " and " + std::to_string(steps.size()) +
                        " more checks");
  steps.insert(steps.begin(), step);
  try {
    pg::transaction([&] {
      std::vector<Verdict> const verdicts = run_checks(job, steps);
      for (std::size_t i = 0; i < steps.size(); i++) {
        tell_verdict(job, steps[i], verdicts[i]);
        finish_step(steps[i]);
      }
      fault("check", "made");
    });
    fault("check", "committed");
  } catch (const Error &failure) {
    for (std::size_t i = 1; i < steps.size(); i++) write_failure(job, steps[i], failure);
    throw;
  }
  return true;
}

// They are for people to look at: what cannot be measured stands in nobody's way.
void measure_for_people(const Job &job, const std::vector<Step> &counts) {
  try {
    std::vector<Verdict> const verdicts = pg::subtransaction([&] { return collect_metrics(job, counts); });
    for (std::size_t i = 0; i < counts.size(); i++) {
      tell_verdict(job, counts[i], verdicts[i]);
      finish_step(counts[i]);
    }
  } catch (const Error &failure) {
    if (is_transient(failure.sqlstate)) throw;
    record_event(job.id, "no metrics", failure.sqlstate + ": " + failure.what());
    for (const Step &count : counts) give_back_step(count);
  }
}

// Metrics, and with them the checks that count the same rows.
bool metrics(const Job &job, const Step &step) {
  std::vector<Step> const counts = pg::transaction([&] { return claim_steps(job.id, counted_by_metrics(job)); });
  try {
    pg::transaction([&] {
      measure_for_people(job, counts);
      fault("metrics", "made");
      finish_step(step);
      fault("metrics", "recorded");
    });
  } catch (const Error &) {
    pg::transaction([&] {
      for (const Step &count : counts) give_back_step(count);
    });
    throw;
  }
  fault("metrics", "committed");
  return true;
}

// Capture: CREATE TRIGGER queues behind long writers and everybody else behind it, so it is done in the tries of
// publish/attempt.hpp, each of them a transaction of its own.
void install_capture_in_one_try(const Job &job) {
  Limits limits = limits_of({job});
  limits.give_up_after = 0;
  with_tries(limits, "begin to capture the changes of " + job.target_name, [&](Try &attempt) {
    if (!relation_exists(job.live))
      throw Error(sqlstate::undefined_table, "table \"" + job.target_name + "\" does not exist any more", {},
                  "Cancel the backfill.");
    if (job.capture_log == 0) create_log(job);
    attempt.lock_all({{job.live, pg::LockMode::share_row_exclusive}});
    install_capture(*load_job(job.id));
  });
}

bool install_capture_patiently(const Job &job, const Step &step) {
  long pause = 50;
  for (;;) {
    std::string why;
    try {
      pg::transaction([&] {
        install_capture_in_one_try(job);
        fault("capture", "made");
        finish_step(step);
      });
      fault("capture", "committed");
      pg::transaction([&] { set_waiting(job.id, std::nullopt); });
      return true;
    } catch (const Error &failure) {
      if (failure.sqlstate != sqlstate::lock_not_available) throw;
      why = failure.detail;
    }
    bool const stop = pg::transaction([&] {
      set_waiting(job.id, "a lock on " + job.target_name + ". " + why);
      if (may_go_on(job.id)) return false;
      give_back_step(step);
      return true;
    });
    if (stop) return false;
    pg::wait_latch(pause);
    pause = std::min(pause * 2, 2000L);
  }
}

// The first catch-up: until a batch is small, and no chunk is left to be replaced.
bool drain(const Job &job, const Step &step) {
  for (;;) {
    look_at_load(job.id, step.stage);
    std::int64_t const taken = catch_up(job);
    bool const more = taken >= drained_enough || pg::transaction([&] { return has_replaceable_chunk(job.id); });
    if (!more) break;
    bool const stop = pg::transaction([&] {
      if (may_go_on(job.id)) return false;
      give_back_step(step);
      return true;
    });
    if (stop) return false;
    if (taken == 0) pg::wait_latch(retry_pause);  // a chunk waits for its next attempt
  }
  if (std::optional<std::string> const failure = pg::transaction([&] { return replace_failure(job.id); }))
    throw Error(sqlstate::object_not_in_prerequisite_state, "a chunk could not be run again", *failure + ".",
                "Put it right, then run the backfill again; the other chunks are kept.");
  pg::transaction([&] { finish_step(step); });
  return true;
}

// Computed and put in place by two transactions.  Whoever refreshed the view between them and again between the next two
// began after the swap: his contents are as new as ours.
void renew_contents(const Job &job, const Step &step) {
  pg::transaction([&] { drop_twin(job, step.params); });
  for (bool again : {true, false}) {
    std::optional<NewContents> const contents = pg::transaction([&] {
      std::optional<NewContents> computed = compute_contents(job, step);
      if (computed) add_param(step, "twin", computed->twin);
      fault("refresh", "computed");
      return computed;
    });
    if (contents) pg::vacuum(contents->twin);
    fault("refresh", "vacuumed");
    bool const done = pg::transaction([&] {
      bool const in_place = !contents || put_in_place(job, step, *contents);
      if (in_place || !again) finish_step(step);
      fault("refresh", "made");
      return in_place;
    });
    fault("refresh", "committed");
    if (done) break;
  }
  pg::transaction([&] { analyze_contents(step); });
}

// Where a swap has taken the step away, it has dropped the twin too.
void drop_twin_of(const Job &job, const Step &step) {
  for (const Step &now : load_steps(job.id, step.kind))
    if (now.id == step.id && now.token == step.token) drop_twin(job, now.params);
}

// What a step of a stage before has not brought up to date is nothing to compute from.
void require_nothing_holds_back(const Step &step) {
  if (std::optional<Error> const reason = pg::transaction([&] { return held_back(step); })) throw *reason;
}

// Interrupted for somebody's sake is not failed.
bool gives_way(const Step &step, const Error &failure) {
  if (failure.sqlstate != sqlstate::query_canceled) return false;
  pg::transaction([&] { put_off_step(step, "others to be done: it was interrupted for them"); });
  return true;
}

bool refresh(const Job &job, const Step &step) {
  require_nothing_holds_back(step);
  try {
    renew_contents(job, step);
  } catch (const Error &failure) {
    pg::transaction([&] { drop_twin_of(job, step); });
    if (!gives_way(step, failure)) throw;
  }
  return true;
}

// The statement commits with its step: it is run once.  A swap interrupts it, and has it done again.
bool downstream(const Job &job, const Step &step) {
  require_nothing_holds_back(step);
  try {
    pg::transaction([&] {
      pg::commit_durably();
      finish_step(step, run_refresh(job, step));
      fault("downstream", "made");
    });
    fault("downstream", "committed");
  } catch (const Error &failure) {
    if (!gives_way(step, failure)) throw;
  }
  return true;
}

bool dispatch(const Job &job, const Step &step) {
  if (step.kind == "range" || step.kind == "blocks") return run_chunk(job, step);
  if (step.kind == "pre_check") return pre_check(job, step);
  if (step.kind == "check") return check(job, step);
  if (step.kind == "metrics") return metrics(job, step);
  if (step.kind == "capture") return install_capture_patiently(job, step);
  if (step.kind == "drain") return drain(job, step);
  if (step.kind == "refresh") return refresh(job, step);
  if (step.kind == "downstream") return downstream(job, step);
  if (step.kind == "analyze") {
    pg::vacuum(job.shadow);
    fault("analyze", "vacuumed");
  }
  run_simple(job, step);
  return true;
}

void write_failure(const Job &job, const Step &step, const Error &error) {
  pg::set_statement_limit(0);
  Error const failure = with_cause(job, error, look_for_obstacle(job));
  pg::transaction([&] {
    if (!fail_step(step, failure, job.spec.strategy.retries))
      record_event(job.id, "step failed", step.title + ": " + failure.what() + " (" + failure.sqlstate + ")");
    fault("failure", "made");
  });
}

// A TRUNCATE, or an ALTER TABLE as good as one, was met once the shadow has its index.
void start_over(const Job &job, const DrainResult &met) {
  const char *const event = met.altered ? "rewritten" : "truncated";
  const char *const detail = met.altered ? altered_detail : truncated_detail;
  restart_chunks(job.id);
  if (job.state == "ready")
    set_state(job, "running", event, detail);
  else
    record_event(job.id, event, detail);
}

// A value that moved from another row into the chunk since the last drain is in the shadow twice now.  As of one moment
// it is not: with the log drained in the snapshot that reads the chunk.  nullopt: a TRUNCATE was met, everything starts over.
std::optional<std::int64_t> replace_drained(const Job &job, const TableShape &shape, const Step &step) {
  return pg::with_snapshot([&]() -> std::optional<std::int64_t> {
    if (DrainResult const met = drain_all(job, shape); met.truncated) {
      start_over(job, met);
      return std::nullopt;
    }
    return replace_chunk(job, shape, step);
  });
}

std::optional<std::int64_t> replace(const Job &job, const Step &step) {
  TableShape const shape = read_shape(job);
  try {
    return pg::subtransaction([&] { return replace_chunk(job, shape, step); });
  } catch (const Error &failure) {
    if (!is_conflict(failure)) throw;
  }
  return replace_drained(job, shape, step);
}

// A chunk that is to be run again over what is there; under the drain lock, so that no drain comes between its read
// and its write.
bool replace_one_chunk(const Job &job) {
  std::optional<Step> const step = pg::transaction([&] { return claim_step(job.id, stage::copy, true); });
  if (!step) return false;
  try {
    pg::transaction([&] {
      pg::lock_job(job.id, pg::JobLock::drain);
      if (std::optional<std::int64_t> const rows = replace(job, *step)) finish_chunk(job, *step, *rows);
      fault("replace", "made");
    });
    fault("replace", "committed");
  } catch (const Error &failure) {
    write_failure(job, *step, failure);
  }
  return true;
}

// What was taken stays in the log's pages until they are vacuumed, and every look at the log has to pass it: autovacuum
// comes too seldom for a log that is written all the time.  Where an old snapshot holds vacuum back, the log grows and is
// swept the more seldom the larger it is.
void sweep(Oid log, std::int64_t taken) {
  static Oid swept = 0;
  static std::int64_t since = 0, worth = 0;
  if (log != swept) swept = log, since = 0, worth = sweep_at_least;
  since += taken;
  if (since < worth) return;
  pg::vacuum(log);
  since = 0;
  worth = std::max(sweep_at_least, pg::transaction([&] {
                     return pg::as_extension([&] {
                       return pg::query_integer("SELECT relpages * 50::bigint FROM pg_class WHERE oid = $1",
                                                {pg::Param::oid(log)});
                     });
                   }));
}

}  // namespace

bool run_step(const Job &job, const Step &step) {
  pg::report_activity("backfill " + job.name + ": " + step.title);
  std::int64_t const wal_before = pg::wal_written();
  bool done = true;
  try {
    done = dispatch(job, step);
  } catch (const Error &failure) {
    write_failure(job, step, failure);
  }
  // A chunk has counted batch by batch, and nobody is to wait for a drain.
  if (step.stage != stage::copy && step.stage != stage::drain) spend(0, pg::wal_written() - wal_before);
  return done;
}

std::int64_t catch_up(const Job &job) {
  bool const altered = pg::transaction([&] { return was_altered(job); });  // then chunks run again later than the drain
  if (!altered && !is_held(stage::copy) && replace_one_chunk(job)) return drained_enough;
  std::int64_t const taken = pg::transaction([&] {
    pg::lock_job(job.id, pg::JobLock::drain);
    // The publisher may have been the one who had the lock.
    std::optional<Job> const now = load_job(job.id);
    if (!now || (now->state != "running" && now->state != "ready")) return std::int64_t{0};
    if (!altered && !has_pending_keys(*now)) return std::int64_t{0};
    DrainResult const result = drain_batch(*now, read_shape(*now), drain_limit);
    if (result.truncated) {
      start_over(*now, result);
    } else if (result.dropped > 0 && now->state == "ready" && audit_counted_every_row(now->id)) {
      reopen_audit(now->id);
      set_state(
          *now, "running", "audit outdated",
          "Rows written since the audit that have no row in the new version: " + std::to_string(result.dropped) + ".");
    }
    fault("drain", "made");
    return result.taken;
  });
  if (taken > 0) fault("drain", "committed");
  sweep(job.capture_log, taken);
  return taken;
}

std::int64_t catch_up_archive(const Job &job) {
  try {
    std::int64_t const taken = pg::transaction([&] {
      pg::lock_job(job.id, pg::JobLock::drain);
      std::optional<Job> const now = load_job(job.id);
      if (!now || now->state != "published" || !has_pending_keys(*now)) return std::int64_t{0};
      std::int64_t const drained = drain_reverse(*now, read_shape(*now), drain_limit).taken;
      fault("reverse_drain", "made");
      return drained;
    });
    if (taken > 0) fault("reverse_drain", "committed");
    sweep(job.reverse_log, taken);
    return taken;
  } catch (const Error &failure) {
    if (!is_transient(failure.sqlstate)) keep_log_small(job);
    throw;
  }
}

void keep_log_small(const Job &job) {
  pg::transaction([&] {
    pg::lock_job(job.id, pg::JobLock::drain);
    std::optional<Job> const now = load_job(job.id);
    if (now && now->state == "published" && pending_keys(*now) > worth_compacting) compact_reverse_log(*now);
  });
}

std::int64_t compact_carried(const Job &job) {
  return pg::transaction([&] {
    pg::lock_job(job.id, pg::JobLock::drain);
    std::optional<Job> const now = load_job(job.id);
    std::int64_t const left = now && now->state == "published" ? compact_carried_keys(*now) : 0;
    fault("compact", "made");
    return left;
  });
}

}  // namespace backfill
