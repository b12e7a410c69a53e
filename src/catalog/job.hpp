// backfill.job and what hangs on it, row <-> struct, by named columns.
//
// Every function here runs its statements as the extension (callers need not), in the current transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/spec.hpp"
#include "pg/role.hpp"
#include "pg/spi.hpp"

namespace backfill {

using pg::Oid;

// A copy of one row of backfill.job; true when it was read, no longer.
struct Job {
  int id = 0;
  std::string name, state, strategy;
  std::optional<std::string> request;
  std::string target_schema, target_name;
  Oid live = 0, shadow = 0, archive = 0, capture_log = 0, reverse_log = 0;
  Oid owner = 0;
  std::string home;  // database it was planned in; differs after a restore
  std::string shadow_name, archive_name;
  std::string search_path;   // of the planner's session, for transforms and checks
  std::string chunk_column;  // "" when there is none
  Oid chunk_type = 0;
  std::optional<std::string> start, stop;  // typed values as text
  std::vector<std::string> exclude;        // pairs lo, hi, lo, hi: half-open sub-ranges of [start, stop) out of scope
  std::string time_zone;
  std::vector<std::string> settings;  // of the planner's session, for transforms and checks: name, value, name, value
  std::vector<std::string> key;       // capture and identity columns
  std::string fingerprint;
  int parallelism = 1;
  std::int64_t rows_estimated = 0, bytes_estimated = 0;
  std::optional<std::string> copy_horizon;
  int audit = 0;  // number of the newest audit, 0 before the first
  Spec spec;

  bool active() const { return state != "finished" && state != "cancelled"; }
};

// The newest job of that name that the current role may see (member of the owner role); raises 42704 with the nearest
// name otherwise.  `lock`: FOR UPDATE.
Job find_job(const std::string &name, bool lock = false);
std::optional<Job> load_job(int id, bool lock = false);

// Members of the target's owner role, pg_monitor and superusers.
bool may_see(Oid role, const Job &job);

// As find_job, and requires membership in the target's owner role (42501).
Job own_job(const std::string &name, bool lock = false);

// A job at work that a dump or copy brought here from another database: its OIDs mean nothing.
bool is_suspended(const Job &job);
Error suspended(const Job &job);

// As own_job, and refuses suspended ones (55000).  Every SQL-callable function begins here.
Job job_for_caller(const std::string &name, bool lock = false);

// The database we are in, as job.home records it.
std::string this_home();

// Sets named columns of the job: {"state", "ready"}, {"ready_at", now_marker}.
inline constexpr char now_marker[] = "\x01now";
using Assignments = std::vector<std::pair<std::string, pg::Param>>;
void update_job(int id, const Assignments &assignments);

// Moves the state and writes the event of it.  Clears error columns unless the new state is failed.
void set_state(const Job &job, const std::string &state, const std::string &event, const std::string &detail = {});
void fail_job(const Job &job, const Error &failure);
// What went wrong, where the state stays as it is; nullopt: nothing does any more.
void set_error(int job, const std::optional<Error> &failure);
bool has_error(int job);
// What the throttle holds it for; told before anything else it may wait for.
void set_held(int job, const std::optional<std::string> &why);
// What was done to the table since the plan, as a phrase; while there is such, views tell to cancel.  Set only while it is
// what it was when the caller began to look (`seen`): who began later knows better.
std::optional<std::string> obstacle_of(int job);
void set_obstacle(int job, const std::optional<std::string> &what, const std::optional<std::string> &seen);
// Stores another spec for the job (its knobs turned) with its parallelism.
void update_spec(int job, const Spec &spec);
void set_waiting(int job, const std::optional<std::string> &why);

// backfill.event, NOTIFY backfill with "job id,event", and a message where the job has a webhook.
void record_event(int job, const std::string &event, const std::string &detail = {});

// Those settings of this session that the value of an expression may depend on and that nobody pins, as Job::settings.
std::vector<std::string> settings_of_session();
// Those of the job that this session has otherwise, with the job's values.
std::vector<std::pair<std::string, std::string>> other_settings(const Job &job);
// Time zone and settings of plan time, to the end of the innermost identity.
void take_settings(const Job &job);

// Runs fn as the target's owner with the search_path, time zone and settings of plan time: for everything that evaluates
// the transform, the checks or other code of the owner.  One place, so that copy, drain and proof cannot differ.
template <typename Fn>
auto as_job_owner(const Job &job, Fn fn) {
  return pg::as_owner(
      job.owner,
      [&] {
        take_settings(job);
        return fn();
      },
      job.search_path);
}

// True while the coordinator of the job lives: a background worker holds its life lock.  (A session that cancels the job
// holds it too; then nobody is to go on.)
bool coordinator_lives(int job);

}  // namespace backfill
