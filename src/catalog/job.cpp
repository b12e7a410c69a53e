// Rows of backfill.job: read whole into a Job, written by named columns.  A job is found by name only for those who may
// see its target; who may not is told the same as where there is none.
#include "catalog/job.hpp"

#include "catalog/delivery.hpp"
#include "catalog/suspension.hpp"
#include "core/error.hpp"
#include "core/sql_text.hpp"
#include "pg/durable.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

constexpr char job_columns[] =
    "id, name, state, strategy, request, target_schema, target_name, live, shadow, archive, capture_log, reverse_log,"
    " owner, home, shadow_name, archive_name, search_path, chunk_column, chunk_type, start, stop, exclude, time_zone,"
    " settings,"
    " key_columns::text[] AS key_columns, fingerprint, parallelism, rows_estimated, bytes_estimated,"
    " copy_horizon, audit, spec::text AS spec";

Job read_job(const pg::Row &row) {
  Job job;
  job.id = static_cast<int>(row.integer("id"));
  job.name = row.text("name");
  job.state = row.text("state");
  job.strategy = row.text("strategy");
  job.request = row.get("request");
  job.target_schema = row.text("target_schema");
  job.target_name = row.text("target_name");
  job.live = row.oid("live");
  job.shadow = row.oid("shadow");
  job.archive = row.oid("archive");
  job.capture_log = row.oid("capture_log");
  job.reverse_log = row.oid("reverse_log");
  job.owner = row.oid("owner");
  job.home = row.text("home");
  job.shadow_name = row.text("shadow_name");
  job.archive_name = row.text("archive_name");
  job.search_path = row.text("search_path");
  job.chunk_column = row.text("chunk_column");
  job.chunk_type = row.oid("chunk_type");
  job.start = row.get("start");
  job.stop = row.get("stop");
  job.exclude = row.texts("exclude");
  job.time_zone = row.text("time_zone");
  job.settings = row.texts("settings");
  job.key = row.texts("key_columns");
  job.fingerprint = row.text("fingerprint");
  job.parallelism = static_cast<int>(row.integer("parallelism"));
  job.rows_estimated = row.integer("rows_estimated");
  job.bytes_estimated = row.integer("bytes_estimated");
  job.copy_horizon = row.get("copy_horizon");
  job.audit = static_cast<int>(row.integer("audit"));
  job.spec = interpret_spec(parse_document(row.text("spec")));
  return job;
}

std::string select_job(const char *where, bool lock) {
  return std::string("SELECT ") + job_columns + " FROM backfill.job WHERE " + where + (lock ? " FOR UPDATE" : "");
}

Error no_such_job(const std::string &name) {
  return Error(sqlstate::undefined_object, "backfill \"" + name + "\" does not exist",
               "No backfill of that name is visible to you.",
               "List the names with: SELECT name, state FROM backfill.jobs;");
}

}  // namespace

Error suspended(const Job &job) {
  return Error(sqlstate::object_not_in_prerequisite_state,
               "backfill \"" + job.name + "\" was planned in another database and is suspended here",
               "It came with a dump or a copy of that database; its capture does not work here.",
               "Clear away what came with it: SELECT backfill_cancel(" + quote_literal(job.name) +
                   "); the table in service stays as it is. Then plan it anew.");
}

bool may_see(Oid role, const Job &job) {
  return pg::is_member(role, job.owner) || pg::as_extension([&] {
           return pg::query_boolean("SELECT pg_has_role($1::oid, 'pg_monitor', 'MEMBER')", {pg::Param::oid(role)});
         });
}

Job find_job(const std::string &name, bool lock) {
  Oid const caller = pg::current_role();
  return pg::as_extension([&] {
    pg::Result const found =
        pg::execute(select_job("name = $1 AND (pg_has_role($2::oid, owner, 'USAGE')"
                               " OR pg_has_role($2::oid, 'pg_monitor', 'MEMBER')) ORDER BY id DESC LIMIT 1",
                               lock),
                    {name, pg::Param::oid(caller)});
    if (found.empty()) throw no_such_job(name);
    return read_job(found[0]);
  });
}

std::optional<Job> load_job(int id, bool lock) {
  return pg::as_extension([&]() -> std::optional<Job> {
    pg::Result const found = pg::execute(pg::kept(select_job("id = $1", lock)), {id});
    if (found.empty()) return std::nullopt;
    return read_job(found[0]);
  });
}

std::string this_home() {
  return pg::as_extension([] {
    return *pg::query_value(
        "SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d"
        " WHERE d.datname = current_database()");
  });
}

std::vector<std::string> settings_of_session() {
  std::vector<std::string> settings;
  for (const char *const name :
       {"lc_monetary", "lc_numeric", "lc_time", "default_text_search_config", "timezone_abbreviations", "xmloption"}) {
    settings.emplace_back(name);
    settings.push_back(pg::setting(name));
  }
  return settings;
}

std::vector<std::pair<std::string, std::string>> other_settings(const Job &job) {
  std::vector<std::pair<std::string, std::string>> others;
  for (std::size_t i = 0; i + 1 < job.settings.size(); i += 2)
    if (pg::setting(job.settings[i]) != job.settings[i + 1]) others.emplace_back(job.settings[i], job.settings[i + 1]);
  return others;
}

void take_settings(const Job &job) {
  pg::set_local("TimeZone", job.time_zone);
  for (const auto &[name, value] : other_settings(job)) pg::set_local(name, value);
}

bool is_suspended(const Job &job) { return job.active() && job.home != this_home(); }

Job own_job(const std::string &name, bool lock) {
  Job job = find_job(name, lock);
  if (!pg::is_member(pg::current_role(), job.owner))
    throw Error(sqlstate::insufficient_privilege, "permission denied for backfill \"" + name + "\"",
                "It belongs to the owner of its table, role \"" + pg::role_name(job.owner) + "\".",
                "Ask for membership in that role, or have one of its members run the statement.");
  return job;
}

Job job_for_caller(const std::string &name, bool lock) {
  Job job = own_job(name, lock);
  if (is_suspended(job)) throw suspended(job);
  return job;
}

void update_job(int id, const Assignments &assignments) {
  std::string set;
  std::vector<pg::Param> params = {id};
  for (const auto &[column, value] : assignments) {
    if (!set.empty()) set += ", ";
    if (value.text() == now_marker) {
      set += column + " = clock_timestamp()";
      continue;
    }
    params.push_back(value);
    set += column + " = (jsonb_populate_record(NULL::backfill.job, jsonb_build_object('" + column + "', $" +
           std::to_string(params.size()) + "))).\"" + column + "\"";
  }
  pg::as_extension([&] { pg::execute("UPDATE backfill.job SET " + set + " WHERE id = $1", params); });
}

void set_state(const Job &job, const std::string &state, const std::string &event, const std::string &detail) {
  pg::commit_durably();
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.job SET state = $2, request = NULL, waiting_for = NULL, held_for = NULL,"
        " running_since = CASE WHEN $2 = 'running' THEN coalesce(running_since, clock_timestamp()) END,"
        " ran_for = CASE WHEN $2 = 'running' THEN ran_for"
        "           ELSE ran_for + coalesce(clock_timestamp() - running_since, '0') END,"
        " started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,"
        " ready_at = CASE WHEN $2 = 'ready' THEN clock_timestamp() ELSE ready_at END,"
        " ended_at = CASE WHEN $2 IN ('finished', 'cancelled') THEN clock_timestamp() END,"
        " sqlstate = CASE WHEN $2 = 'failed' THEN sqlstate END, error = CASE WHEN $2 = 'failed' THEN error END,"
        " error_detail = CASE WHEN $2 = 'failed' THEN error_detail END,"
        " error_hint = CASE WHEN $2 = 'failed' THEN error_hint END WHERE id = $1",
        {job.id, state});
  });
  record_event(job.id, event, detail);
  suspensions_follow(job, state);
}

void set_error(int job, const std::optional<Error> &failure) {
  Error const told = failure.value_or(Error("", ""));
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.job SET sqlstate = nullif($2, ''), error = nullif($3, ''), error_detail = nullif($4, ''),"
        " error_hint = nullif($5, '') WHERE id = $1",
        {job, told.sqlstate, told.what(), told.detail, told.hint});
  });
}

bool has_error(int job) {
  return pg::as_extension(
      [&] { return pg::query_boolean("SELECT error IS NOT NULL FROM backfill.job WHERE id = $1", {job}); });
}

void fail_job(const Job &job, const Error &failure) {
  set_error(job.id, failure);
  set_state(job, "failed", "failed", std::string(failure.what()) + " (" + failure.sqlstate + ")");
}

void set_waiting(int job, const std::optional<std::string> &why) {
  pg::as_extension([&] {
    pg::execute("UPDATE backfill.job SET waiting_for = $2 WHERE id = $1 AND waiting_for IS DISTINCT FROM $2",
                {job, why});
  });
}

void set_held(int job, const std::optional<std::string> &why) {
  pg::as_extension([&] {
    pg::execute("UPDATE backfill.job SET held_for = $2 WHERE id = $1 AND held_for IS DISTINCT FROM $2", {job, why});
  });
}

std::optional<std::string> obstacle_of(int job) {
  return pg::as_extension([&] { return pg::query_value("SELECT obstacle FROM backfill.job WHERE id = $1", {job}); });
}

void set_obstacle(int job, const std::optional<std::string> &what, const std::optional<std::string> &seen) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.job SET obstacle = $2"
        " WHERE id = $1 AND obstacle IS DISTINCT FROM $2 AND obstacle IS NOT DISTINCT FROM $3",
        {job, what, seen});
  });
}

void update_spec(int job, const Spec &spec) {
  pg::as_extension([&] {
    pg::execute("UPDATE backfill.job SET spec = $2::json, parallelism = $3 WHERE id = $1",
                {job, to_json(spec.document), spec.strategy.parallelism});
  });
}

void record_event(int job, const std::string &event, const std::string &detail) {
  std::string const by = pg::role_name(pg::session_role());
  pg::as_extension([&] {
    pg::execute("INSERT INTO backfill.event (job_id, event, by, detail) VALUES ($1, $2, $3, nullif($4, ''))",
                {job, event, by, detail});
    pg::execute("SELECT pg_notify('backfill', $1 || ',' || $2)", {std::to_string(job), event});
  });
  tell_event(job, event, detail);
}

bool coordinator_lives(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        pg::kept("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_type = 'backfill')"),
        {pg::job_lock_holder(job, pg::JobLock::life)});
  });
}

}  // namespace backfill
