#include "catalog/cutover.hpp"

#include "pg/role.hpp"

namespace backfill {

namespace {

void mark_publish_step_done(int job, std::int64_t rows) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = 'done', attempts = attempts + 1, pid = NULL, waiting_for = NULL,"
        " started_at = transaction_timestamp(), finished_at = clock_timestamp(), sqlstate = NULL, error = NULL,"
        " error_detail = NULL, error_hint = NULL, rows = $2 WHERE job_id = $1 AND kind = 'publish'",
        {job, static_cast<long long>(rows)});
  });
}

pg::Param oid_or_null(Oid oid) { return oid == 0 ? pg::Param(nullptr) : pg::Param::oid(oid); }

}  // namespace

std::string retention_end(const Job &job) {
  return pg::as_extension([&] {
    return *pg::query_value(
        "SELECT date_trunc('second', clock_timestamp() + retention)::text FROM backfill.job WHERE id = $1", {job.id});
  });
}

void record_published(const Job &job, const Parts &parts, const std::string &archive_until, const std::string &detail,
                      std::int64_t rows) {
  update_job(job.id, {{"live", oid_or_null(parts.live)},
                      {"archive", oid_or_null(parts.archive)},
                      {"shadow", oid_or_null(parts.shadow)},
                      {"archive_until", archive_until},
                      {"published_at", now_marker}});
  set_state(job, "published", "published", detail);
  mark_publish_step_done(job.id, rows);
}

void record_rolled_back(const Job &job, const Parts &parts, const std::string &detail) {
  set_state(job, "ready", "rolled back", detail);
  update_job(job.id, {{"live", oid_or_null(parts.live)},
                      {"shadow", oid_or_null(parts.shadow)},
                      {"archive", oid_or_null(parts.archive)},
                      {"archive_until", nullptr},
                      {"reverse_log", nullptr},
                      {"published_at", nullptr}});
  reopen_steps(job.id, {"publish"}, false);
}

std::int64_t rows_published(int job) {
  return pg::as_extension([&] {
    return pg::query_integer("SELECT max(rows) FROM backfill.step WHERE job_id = $1 AND kind = 'publish'", {job});
  });
}

void record_ended(const Job &job, const std::string &state, const std::string &detail) {
  set_state(job, state, state, detail);
  update_job(job.id, {{"shadow", nullptr}, {"archive", nullptr}, {"capture_log", nullptr}, {"reverse_log", nullptr}});
}

std::vector<std::string> set_after_steps(int job, const std::vector<Step> &steps) {
  std::vector<std::optional<std::string>> stages, kinds, titles, params;
  for (const Step &step : steps) {
    stages.push_back(std::to_string(step.stage));
    kinds.push_back(step.kind);
    titles.push_back(step.title);
    params.push_back(step.params);
  }
  return pg::as_extension([&] {
    std::vector<std::string> undone;
    for (const pg::Row &row : pg::execute("DELETE FROM backfill.step WHERE job_id = $1 AND phase = 'after'"
                                          " AND status <> 'done' RETURNING params::text AS params",
                                          {job}))
      undone.push_back(row.text("params"));
    pg::execute(
        "WITH wanted AS (SELECT * FROM unnest($2::int[], $3::text[], $4::text[], $5::jsonb[]) WITH ORDINALITY"
        "   AS w(stage, kind, title, params, n)),"
        " gone AS (DELETE FROM backfill.step s USING wanted w"
        "   WHERE s.job_id = $1 AND s.phase = 'after' AND s.kind = w.kind AND s.title = w.title)"
        " INSERT INTO backfill.step (job_id, id, stage, phase, kind, title, params)"
        " SELECT $1, (SELECT max(id) FROM backfill.step WHERE job_id = $1) + n, stage, 'after', kind, title, params"
        "   FROM wanted",
        {job, stages, kinds, titles, params});
    return undone;
  });
}

bool was_rolled_back(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM backfill.event e JOIN backfill.job j ON j.id = e.job_id"
        " WHERE e.job_id = $1 AND e.event = 'rolled back' AND j.state <> 'published')",
        {job});
  });
}

std::optional<int> next_after_stage(int job) {
  return pg::as_extension([&]() -> std::optional<int> {
    auto const stage = pg::query_value(
        "SELECT min(stage) FROM backfill.step WHERE job_id = $1 AND phase = 'after' AND status IN ('pending', "
        "'running')",
        {job});
    if (!stage) return std::nullopt;
    return std::stoi(*stage);
  });
}

bool runs_after_step(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM backfill.step WHERE job_id = $1 AND phase = 'after' AND status = 'running')",
        {job});
  });
}

int retry_after_steps(int job) {
  return pg::as_extension([&] {
    return static_cast<int>(
        pg::execute("UPDATE backfill.step SET status = 'pending', attempts = 0, finished_at = NULL, not_before = NULL,"
                    " waiting_for = NULL WHERE job_id = $1 AND phase = 'after' AND status = 'failed'",
                    {job})
            .processed);
  });
}

// In a restored dump the OIDs of a job may lead to anybody's tables.
std::vector<int> jobs_past_retention() {
  return pg::as_extension([] {
    std::vector<int> jobs;
    std::string home;
    for (const pg::Row &row : pg::execute("SELECT id, home FROM backfill.job WHERE state = 'published'"
                                          " AND archive_until <= clock_timestamp() ORDER BY archive_until, id")) {
      if (home.empty()) home = this_home();
      if (row.text("home") == home) jobs.push_back(static_cast<int>(row.integer("id")));
    }
    return jobs;
  });
}

}  // namespace backfill
