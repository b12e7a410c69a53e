// The end of a backfill: finished (the archive goes), cancelled (everything it made goes), or retired when the
// retention has passed.
//
// Dropping a trigger takes ACCESS EXCLUSIVE on the table in service, so it is done in the same bounded tries as the swap.
#include <algorithm>

#include "audit/audit.hpp"
#include "capture/capture.hpp"
#include "capture/log.hpp"
#include "catalog/cutover.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/attempt.hpp"
#include "publish/movers.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"

namespace backfill {

namespace {

constexpr Milliseconds retention_patience = 30000;  // a table in use then is tried again at the next maintenance

// Another session was quicker, or the end of the retention was.
bool was_finished(const Job &job) {
  std::optional<Job> const now = load_job(job.id);
  return now && now->state == "finished";
}

// 55000 when the job is no longer in the state it was found in.  REQUIRES: workers are kept out.
void require_state(const Job &job) {
  std::optional<Job> const now = load_job(job.id, true);
  if (!now || now->state != job.state)
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "backfill \"" + job.name + "\" is " + (now ? now->state : "gone") + " by now",
                "Another session changed it meanwhile.", "Look at backfill.events.");
}

void drop_table(Oid table) {
  std::string const name = relation_sql(table);
  if (!name.empty()) pg::execute("DROP TABLE " + name);
}

// What somebody made on it is his: he is told.
void drop_version(const Job &job, Oid retired) {
  bool const finishes = job.state == "published";
  std::string const name = display_name(job.target_schema, finishes ? job.archive_name : job.shadow_name);
  try {
    drop_table(retired);
  } catch (const Error &failure) {
    if (failure.sqlstate != sqlstate::dependent_objects_still_exist) throw;
    throw Error(failure.sqlstate,
                "backfill \"" + job.name + "\" cannot be " + (finishes ? "finished" : "cancelled") +
                    ": other objects depend on table " + name,
                failure.detail,
                std::string("Drop them, then call SELECT ") + (finishes ? "backfill_finish(" : "backfill_cancel(") +
                    quote_literal(job.name) + ");");
  }
}

bool carries_triggers(const Job &job) {
  return relation_exists(job.live) &&
         pg::query_boolean(
             "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgname IN ($2, $3))",
             {pg::Param::oid(job.live), "backfill_capture_" + std::to_string(job.id),
              "backfill_truncate_" + std::to_string(job.id)});
}

std::vector<Oid> out_of_service(Oid shadow, Oid archive) {
  std::vector<Oid> tables;
  for (Oid const table : {archive, shadow})
    if (table != 0) tables.push_back(table);
  return tables;
}

// Drops the capture of a job, and these tables, which are not in service; what is in service stays as it is.
void drop_what_is_left(const Job &job, const std::vector<Oid> &retired, Try &attempt) {
  bool const clears_live = carries_triggers(job);
  std::vector<LockRequest> wanted;
  std::vector<Oid> const failures = failure_tables(job.id);
  for (Oid const table : failures) wanted.push_back({table, pg::LockMode::access_exclusive});
  for (Oid const table : retired)
    if (relation_exists(table)) wanted.push_back({table, pg::LockMode::access_exclusive});
  std::vector<Oid> ends = retired;
  ends.push_back(job.live);
  for (const LockRequest &request : retired_foreign_key_locks(ends))
    if (std::find(ends.begin(), ends.end(), request.relation) == ends.end()) wanted.push_back(request);
  if (clears_live || !retired_foreign_key_locks({job.live}).empty())
    wanted.push_back({job.live, pg::LockMode::access_exclusive});
  attempt.lock_all(wanted);
  for (Oid const table : ends) drop_retired_foreign_keys(table);
  if (clears_live) remove_capture(job, job.live);
  attempt.require_time("drop what is left");
  for (Oid const table : retired) drop_version(job, table);
  for (Oid const table : failures) drop_table(table);
  forget_failures(job.id);
  pg::execute_quietly("DROP TABLE IF EXISTS " + log_name(job));
  pg::execute_quietly("DROP TABLE IF EXISTS " + reverse_log_name(job));
  fault(job.state == "published" ? "finish" : "cancel", "dropped");
}

// A worker that validates or drains has this lock and then wants those of tables: whoever had tables locked before he asked
// for it would wait for the worker, and the worker for him.
void keep_workers_out(const Job &job, const Limits &limits, const std::string &purpose) {
  (void)with_tries(limits, purpose, [&](Try &attempt) { attempt.lock_job(job.id, pg::JobLock::drain); });
}

// Nobody will run these steps once the job has ended.  REQUIRES: workers are kept out.
void validate_now(const Job &job) {
  for (const Step &step : load_steps(job.id, "validate")) {
    if (step.status == "done") continue;
    try {
      pg::subtransaction([&] { run_after_step(job, step); });
    } catch (const KeepsWaiting &) {
      throw;
    } catch (const Error &failure) {
      if (failure.sqlstate.compare(0, 2, "57") == 0) throw;
      pg::warning(failure.what(), failure.detail, failure.hint);
    }
  }
}

// What the coordinator has not come to is done upon the way out.
void complete_now(const Job &job) {
  validate_now(job);
  refresh_now(job);
}

// Somebody dropped the table in service: the archive holds the only rows there are.
bool is_last_version(const Job &job) { return relation_exists(job.archive) && !relation_exists(job.live); }

// It stays, a table like any other.
void let_go_of_archive(const Job &job, Try &attempt) {
  attempt.lock_all({{job.archive, pg::LockMode::access_exclusive}});
  remove_guard(job);
  drop_what_is_left(job, out_of_service(job.shadow, 0), attempt);
}

// nullopt: there was nothing left to be done.
std::optional<Tries> finish(const Job &job, const Limits &limits) {
  await_after_steps(job, "finish " + job.name, limits.give_up_after);
  keep_workers_out(job, limits, "finish " + job.name);
  if (was_finished(job)) return std::nullopt;
  auto const end = [&](Try &attempt) {
    require_state(job);
    if (is_last_version(job)) {
      let_go_of_archive(job, attempt);
      record_ended(job, "finished", "The table in service is gone, so the archive was kept, as an ordinary table.");
    } else {
      drop_what_is_left(job, out_of_service(job.shadow, job.archive), attempt);
      record_ended(job, "finished", "The archive was dropped " + describe(attempt.so_far()) + ".");
    }
  };
  return with_tries(limits, "finish " + job.name, end, [&](bool anew) {
    if (anew) complete_now(job);
  });
}

bool end_retention_of(const Job &job, Milliseconds patience) {
  Limits limits = limits_of({job});
  limits.give_up_after = std::min(limits.give_up_after, patience);
  try {
    pg::subtransaction([&] { finish(job, limits); });
    return true;
  } catch (const Error &failure) {
    if (failure.sqlstate.compare(0, 2, "57") == 0) throw;
    pg::warning("backfill \"" + job.name + "\" could not be finished at the end of its retention: " + failure.what(),
                failure.detail, failure.hint);
    return false;
  }
}

}  // namespace

std::string finish_job(const Job &job) {
  pg::require_writable("a backfill cannot be finished");
  if (job.state == "finished") return tell_ended(job.name, State::finished);
  require_allowed(job.name, parse_state(job.state), Action::finish);
  std::string const last = pg::as_extension([&] {
    return is_last_version(job) ? *pg::query_value("SELECT $1::regclass", {pg::Param::oid(job.archive)})
                                : std::string();
  });
  fault_at_commit("finish");
  std::optional<Tries> const tries = finish(job, limits_of({job}));
  if (!tries) return tell_ended(job.name, State::finished);
  std::string const ended = "finished " + job.name + " " + describe(*tries) + "; ";
  if (!last.empty()) return ended + last + " was kept: the table in service is gone, and it holds the last rows of it";
  return ended + display_name(job.target_schema, job.archive_name) + " was dropped";
}

std::string cancel_job(const Job &job) {
  require_allowed(job.name, parse_state(job.state), Action::cancel);
  bool const in_use = was_rolled_back(job.id);
  auto const end = [&](Try &attempt) {
    require_state(job);
    drop_what_is_left(job, out_of_service(job.shadow, job.archive), attempt);
    record_ended(job, "cancelled", "What was built was dropped " + describe(attempt.so_far()) + ".");
  };
  Tries const tries = with_tries(limits_of({job}), "cancel " + job.name, end, [&](bool anew) {
    if (anew && in_use) complete_now(job);
  });
  return "cancelled " + job.name + " " + describe(tries) + "; nothing of it is left but the record";
}

namespace {

// A table of the job counts as its own where it bears the name that the job gave and belongs to the role that the job
// works for.
Oid found_by_name(const Job &job, const std::string &name) {
  return static_cast<Oid>(pg::query_integer(
      "SELECT coalesce(max(c.oid::bigint), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1::name AND c.relname = $2::name AND c.relkind = 'r' AND c.relowner = $3",
      {job.target_schema, name, pg::Param::oid(job.owner)}));
}

// Its parts as they are here; the record keeps the OIDs it came with.
Job as_found_here(Job job) {
  return pg::as_extension([&] {
    job.live = found_by_name(job, job.target_name);
    job.shadow = found_by_name(job, job.shadow_name);
    job.archive = found_by_name(job, job.archive_name);
    pg::execute(
        "UPDATE backfill.failures SET relation = coalesce((SELECT c.oid FROM pg_class c"
        " WHERE c.oid = to_regclass(table_name) AND c.relowner = $2), 0) WHERE job_id = $1",
        {job.id, pg::Param::oid(job.owner)});
    return job;
  });
}

}  // namespace

std::string cancel_suspended(const Job &restored) {
  Job const job = as_found_here(restored);
  keep_workers_out(job, limits_of({job}), "cancel " + job.name);
  Tries const tries = with_tries(limits_of({job}), "cancel " + job.name, [&](Try &attempt) {
    require_state(job);
    drop_what_is_left(job, out_of_service(job.shadow, job.archive), attempt);
    record_ended(job, "cancelled", "It came from another database; what came with it was dropped.");
  });
  return "cancelled " + job.name + " " + describe(tries) + "; what it brought from another database is gone";
}

bool end_retention(int id) {
  std::optional<Job> const job = load_job(id);
  if (!job || open_after_stage(*job)) return true;  // what is left to be done needs the job
  return end_retention_of(*job, retention_patience);
}

int end_retentions(Oid caller) {
  int ended = 0;
  std::int64_t locked_since = 0;
  for (int const id : jobs_past_retention()) {
    std::optional<Job> const job = load_job(id);
    if (!job || !pg::is_member(caller, job->owner) || open_after_stage(*job)) continue;
    if (ended == 0) {
      if (end_retention_of(*job, retention_patience)) ended++;
      locked_since = pg::now_ms();
    } else if (pg::now_ms() - locked_since > limits_of({*job}).max_lock) {
      break;
    } else if (end_retention_of(*job, 0)) {
      ended++;
    }
  }
  return ended;
}

}  // namespace backfill
