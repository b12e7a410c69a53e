// A suspension is open until it has an outcome.  Several backfills may have one pg_cron job suspended: each remembers that
// it was on before the first of them, and the last to end switches it on.
#include "catalog/suspension.hpp"

#include "catalog/step.hpp"
#include "core/node.hpp"
#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "pg/durable.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"

namespace backfill {

namespace {

constexpr char patience[] = "5s";  // for somebody who is changing the pg_cron job

// A user could make a schema cron of his own where there is no pg_cron; its triggers would run as we do.
bool has_cron() {
  return pg::query_boolean(
      "SELECT EXISTS (SELECT FROM pg_extension x"
      " JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.deptype = 'e'"
      "   AND d.classid = 'pg_class'::regclass"
      " JOIN pg_class c ON c.oid = d.objid AND c.relname = 'job'"
      " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'cron'"
      " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'jobname' WHERE x.extname = 'pg_cron')");
}

void require_cron(const std::string &name) {
  if (has_cron()) return;
  std::string const home = pg::query_value("SELECT current_setting('cron.database_name', true)").value_or("");
  std::string const here = *pg::query_value("SELECT current_database()");
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "pg_cron job \"" + name + "\" cannot be suspended: there is no pg_cron in database \"" + here + "\"",
              home.empty()   ? "The server does not run pg_cron (1.3 or later)."
              : home == here ? "The extension pg_cron (1.3 or later) is not installed in it."
                             : "pg_cron keeps its jobs in database \"" + home + "\" (cron.database_name).",
              home.empty() ? "Leave cron_job out."
              : home == here
                  ? "Run CREATE EXTENSION pg_cron; or leave cron_job out."
                  : "Leave cron_job out, and suspend the job there with cron.alter_job(…, active => false).");
}

Error no_such_cron_job(const std::string &name) {
  std::vector<std::string> names;
  for (const pg::Row &row : pg::execute("SELECT DISTINCT jobname FROM cron.job WHERE jobname IS NOT NULL LIMIT 5000"))
    names.push_back(row.text("jobname"));
  std::string const near = nearest_word(name, names);
  return Error(sqlstate::undefined_object, "pg_cron has no job \"" + name + "\"", "It was looked up in cron.job.",
               near.empty() ? "Give the name it was scheduled under: SELECT jobname FROM cron.job;"
                            : "Did you mean \"" + near + "\"?");
}

struct Suspension {
  std::int64_t id, cron_job;
  std::string name, user;
  bool was_active;
};

std::vector<Suspension> open_suspensions(int job) {
  std::vector<Suspension> open;
  for (const pg::Row &row :
       pg::execute("SELECT id, cron_jobid, cron_job, cron_user, was_active FROM backfill.suspension"
                   " WHERE job_id = $1 AND ended_at IS NULL ORDER BY cron_jobid",
                   {job}))
    open.push_back({row.integer("id"), row.integer("cron_jobid"), row.text("cron_job"), row.text("cron_user"),
                    row.boolean("was_active")});
  return open;
}

// Locks its row; nullopt when there is none, or `gone` is false and somebody else has it.
std::optional<CronJob> lock_cron_job(const Suspension &suspension, bool *gone) {
  *gone = true;
  if (!has_cron()) return std::nullopt;
  std::string const which = " FROM cron.job WHERE jobid = $1 AND jobname = $2 AND username = $3";
  std::vector<pg::Param> const params = {static_cast<long long>(suspension.cron_job), suspension.name, suspension.user};
  pg::Result const locked = pg::execute("SELECT active" + which + " FOR UPDATE SKIP LOCKED", params);
  if (locked.empty()) {
    *gone = pg::execute("SELECT" + which, params).empty();
    return std::nullopt;
  }
  *gone = false;
  return CronJob{suspension.cron_job, suspension.name, suspension.user, locked[0].boolean("active")};
}

// Whether any backfill but `job` has it suspended and is to switch it on.
bool suspended_by_another(int job, std::int64_t cron_job) {
  return pg::query_boolean(
      "SELECT EXISTS (SELECT FROM backfill.suspension WHERE cron_jobid = $2 AND job_id <> $1 AND ended_at IS NULL"
      " AND was_active)",
      {job, static_cast<long long>(cron_job)});
}

bool rests_for(int job, const std::string &name, const std::string &user) {
  return pg::query_boolean(
      "SELECT EXISTS (SELECT FROM backfill.suspension WHERE job_id = $1 AND cron_job = $2 AND cron_user = $3"
      " AND ended_at IS NULL)",
      {job, name, user});
}

void end_suspension(int job, const Suspension &suspension, const char *outcome) {
  pg::execute("UPDATE backfill.suspension SET ended_at = clock_timestamp(), outcome = $3 WHERE job_id = $1 AND id = $2",
              {job, static_cast<long long>(suspension.id), outcome});
  record_event(job, "suspension ended", "pg_cron job " + suspension.name + ": " + outcome);
}

bool restore(int job, const Suspension &suspension) {
  bool gone = false;
  std::optional<CronJob> const now = lock_cron_job(suspension, &gone);
  if (!now && !gone) return false;
  if (!now) {
    end_suspension(job, suspension, "gone");
  } else if (now->active) {
    end_suspension(job, suspension, "already active");
  } else if (!suspension.was_active) {
    end_suspension(job, suspension, "was inactive");
  } else if (suspended_by_another(job, suspension.cron_job)) {
    end_suspension(job, suspension, "handed on");
  } else {
    pg::execute("UPDATE cron.job SET active = true WHERE jobid = $1", {static_cast<long long>(suspension.cron_job)});
    end_suspension(job, suspension, "restored");
    pg::commit_durably();
  }
  return true;
}

int restore_all(int job) {
  int ended = 0;
  for (const Suspension &suspension : open_suspensions(job)) {
    try {
      ended += pg::subtransaction([&] { return restore(job, suspension); }) ? 1 : 0;
    } catch (const Error &failure) {
      if (failure.sqlstate.starts_with("57")) throw;
      pg::warning("pg_cron job \"" + suspension.name + "\" could not be switched on: " + failure.what(), failure.detail,
                  "SELECT backfill_maintain(); tries it again.");
    }
  }
  return ended;
}

bool has_cron_jobs(const Job &job) {
  for (const Downstream &downstream : job.spec.downstream)
    if (!downstream.cron_job.empty()) return true;
  return false;
}

}  // namespace

CronJob find_cron_job(const std::string &name, Oid caller, Oid owner) {
  return pg::as_extension([&] {
    require_cron(name);
    pg::Result const found = pg::execute(
        "SELECT c.jobid, c.username, c.active, r.oid AS role, r.oid = $2::oid AS owners FROM cron.job c"
        " LEFT JOIN pg_roles r ON r.rolname = c.username WHERE c.jobname = $1 ORDER BY r.oid = $2::oid DESC, c.jobid",
        {name, pg::Param::oid(owner)});
    if (found.empty()) throw no_such_cron_job(name);
    std::vector<CronJob> manageable;
    bool owners = false;
    for (const pg::Row &row : found) {
      if (row.null("role") || !pg::is_member(caller, row.oid("role"))) continue;
      owners = owners || row.boolean("owners");
      manageable.push_back({row.integer("jobid"), name, row.text("username"), row.boolean("active")});
    }
    if (manageable.empty())
      throw Error(sqlstate::insufficient_privilege, "permission denied for pg_cron job \"" + name + "\"",
                  "It runs as role \"" + found[0].text("username") + "\".",
                  "Ask for membership in that role, or leave cron_job out.");
    if (manageable.size() > 1 && !owners)
      throw Error("42725", "several roles have a pg_cron job \"" + name + "\"",
                  "Two are \"" + manageable[0].user + "\" and \"" + manageable[1].user + "\".",
                  "Give the one that is meant a name of its own.");
    return manageable.front();
  });
}

void suspend_cron_job(const Job &job, const std::string &name, const std::string &user) {
  pg::as_extension([&] {
    if (rests_for(job.id, name, user)) return;
    pg::set_local("lock_timeout", patience);
    pg::Result const found =
        has_cron() ? pg::execute("SELECT jobid, active FROM cron.job WHERE jobname = $1 AND username = $2 FOR UPDATE",
                                 {name, user})
                   : pg::Result();
    if (found.empty()) {
      record_event(job.id, "cron job gone", "pg_cron has no job " + name + " of " + user + " any more.");
      return;
    }
    std::int64_t const id = found[0].integer("jobid");
    bool const active = found[0].boolean("active");
    pg::execute(
        "INSERT INTO backfill.suspension (job_id, cron_jobid, cron_job, cron_user, was_active) VALUES ($1, $2, $3, $4, "
        "$5)",
        {job.id, static_cast<long long>(id), name, user, active || suspended_by_another(job.id, id)});
    if (active) pg::execute("UPDATE cron.job SET active = false WHERE jobid = $1", {static_cast<long long>(id)});
    pg::commit_durably();  // pg_cron acts upon it
    record_event(job.id, "cron job suspended", "pg_cron job " + name + (active ? "" : ", which was inactive"));
  });
}

void suspend_cron_jobs(const Job &job) {
  if (!has_cron_jobs(job)) return;
  for (const Step &step : load_steps(job.id, "suspend")) {
    Node const params = parse_document(step.params);
    try {
      pg::subtransaction(
          [&] { suspend_cron_job(job, params.find("cron_job")->text(), params.find("cron_user")->text()); });
    } catch (const Error &failure) {
      if (failure.sqlstate != sqlstate::lock_not_available) throw;
      pg::warning("pg_cron job \"" + params.find("cron_job")->text() + "\" goes on running",
                  "Somebody is changing it, so it could not be suspended.");
    }
  }
}

void restore_cron_jobs(int job) {
  pg::as_extension([&] { (void)restore_all(job); });
}

bool has_suspended(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean("SELECT EXISTS (SELECT FROM backfill.suspension WHERE job_id = $1 AND ended_at IS NULL)",
                             {job});
  });
}

// Of another database: they came with a dump, and nobody goes on with their jobs.
int restore_abandoned_cron_jobs(Oid caller) {
  std::string const home = this_home();
  return pg::as_extension([&] {
    int ended = 0;
    for (const pg::Row &row :
         pg::execute("SELECT DISTINCT s.job_id FROM backfill.suspension s JOIN backfill.job j ON j.id = s.job_id"
                     " WHERE s.ended_at IS NULL AND (j.state NOT IN ('running', 'ready', 'published') OR j.home <> $1)"
                     " AND ($2 = 0::oid OR pg_has_role($2, j.owner, 'USAGE'))"
                     " ORDER BY s.job_id",
                     {home, pg::Param::oid(caller)}))
      ended += restore_all(static_cast<int>(row.integer("job_id")));
    return ended;
  });
}

void suspensions_follow(const Job &job, const std::string &state) {
  if (!has_cron_jobs(job)) return;
  if (state == "running") {
    if (!has_suspended(job.id)) reopen_steps(job.id, {"suspend"}, false);
  } else if (state != "ready" && state != "published") {
    restore_cron_jobs(job.id);
  }
}

}  // namespace backfill
