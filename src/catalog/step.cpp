// The ledger.  A step is claimed with a fresh token (FOR UPDATE SKIP LOCKED, so that workers never wait for each other);
// every later write of the claimer requires that token, in the transaction of the work itself.  What follows here is in
// the order of a step's life: inserted, claimed, checkpointed, finished or failed, taken back, reopened.
#include "catalog/step.hpp"

#include "catalog/job.hpp"
#include "core/sql_text.hpp"
#include "core/utf8.hpp"
#include "pg/role.hpp"
#include "pg/worker.hpp"

namespace backfill {

namespace {

constexpr char step_columns[] =
    "s.job_id, s.id, s.stage, s.phase, s.kind, s.title, s.chunk, s.lo, s.hi, s.done_to, s.params::text AS params, "
    "s.status,"
    " s.replace, s.attempts, s.token, s.rows, s.rows_estimated, s.batches";

Step read_step(const pg::Row &row) {
  Step step;
  step.job = static_cast<int>(row.integer("job_id"));
  step.id = static_cast<int>(row.integer("id"));
  step.stage = static_cast<int>(row.integer("stage"));
  step.phase = row.text("phase");
  step.kind = row.text("kind");
  step.title = row.text("title");
  if (!row.null("chunk")) step.chunk = static_cast<int>(row.integer("chunk"));
  step.lo = row.get("lo");
  step.hi = row.get("hi");
  step.done_to = row.get("done_to");
  step.params = row.text("params");
  step.status = row.text("status");
  step.replace = row.boolean("replace");
  step.attempts = static_cast<int>(row.integer("attempts"));
  step.token = row.integer("token");
  step.rows = row.integer("rows");
  step.rows_estimated = row.integer("rows_estimated");
  step.batches = static_cast<int>(row.integer("batches"));
  return step;
}

std::vector<Step> read_steps(const pg::Result &found) {
  std::vector<Step> steps;
  for (const pg::Row &row : found) steps.push_back(read_step(row));
  return steps;
}

std::optional<std::string> number(const std::optional<int> &value) {
  if (!value) return std::nullopt;
  return std::to_string(*value);
}

// The last statement of a worker's transaction: nobody may have taken the step away meanwhile.
void require_token(const Step &step, const pg::Result &updated) {
  if (updated.processed == 1) return;
  throw Error("40001", "step " + std::to_string(step.id) + " of job " + std::to_string(step.job) + " was fenced off",
              "Another worker has taken the step over since this one claimed it.", "Nothing is to be done.");
}

// A database without encoding cuts a long name within a character: stored, such a step could never be read again.
void require_utf8(const Step &step) {
  if (!invalid_utf8(step.title) && !invalid_utf8(step.params)) return;
  throw Error(sqlstate::character_not_in_repertoire,
              "a name that step " + std::to_string(step.id) + " (" + step.kind + ") needs is not valid UTF-8",
              "The server cuts names at 63 bytes, in a database of encoding SQL_ASCII also within a character.",
              "Give it a shorter name with ALTER … RENAME, and plan again.");
}

}  // namespace

void insert_steps(int job, const std::vector<Step> &steps) {
  if (steps.empty()) return;
  std::vector<std::optional<std::string>> id, stage, phase, kind, title, chunk, lo, hi, params, estimate;
  for (const Step &step : steps) {
    require_utf8(step);
    id.push_back(std::to_string(step.id));
    stage.push_back(std::to_string(step.stage));
    phase.push_back(step.phase);
    kind.push_back(step.kind);
    title.push_back(step.title);
    chunk.push_back(number(step.chunk));
    lo.push_back(step.lo);
    hi.push_back(step.hi);
    params.push_back(step.params);
    estimate.push_back(std::to_string(step.rows_estimated));
  }
  pg::as_extension([&] {
    pg::execute(
        "INSERT INTO backfill.step (job_id, id, stage, phase, kind, title, chunk, lo, hi, params, rows_estimated)"
        " SELECT $1, id, stage, phase, kind, title, chunk, lo, hi, params, estimate"
        " FROM unnest($2::int[], $3::int[], $4, $5, $6, $7::int[], $8, $9, $10::jsonb[], $11::bigint[])"
        " AS t(id, stage, phase, kind, title, chunk, lo, hi, params, estimate)",
        {job, id, stage, phase, kind, title, chunk, lo, hi, params, estimate});
  });
}

std::vector<Step> load_steps(int job, const std::string &kind) {
  return pg::as_extension([&] {
    return read_steps(pg::execute(std::string("SELECT ") + step_columns +
                                      " FROM backfill.step s WHERE s.job_id = $1 AND s.kind = $2 ORDER BY s.id",
                                  {job, kind}));
  });
}

std::optional<int> open_stage(int job) {
  return pg::as_extension([&]() -> std::optional<int> {
    // One look into the index of open steps for each status.
    auto const lowest = [](const char *status) {
      return std::string("(SELECT stage FROM backfill.step WHERE job_id = $1 AND NOT replace AND status = '") + status +
             "' ORDER BY stage LIMIT 1)";
    };
    auto const stage = pg::query_value(
        pg::kept("SELECT least(" + lowest("pending") + ", " + lowest("running") + ", " + lowest("failed") + ")"),
        {job});
    if (!stage) return std::nullopt;
    return std::stoi(*stage);
  });
}

std::optional<Step> claim_step(int job, int stage, bool replace) {
  return pg::as_extension([&]() -> std::optional<Step> {
    pg::Result const claimed = pg::execute(
        pg::kept(
            std::string(
                "UPDATE backfill.step s SET status = 'running', pid = $3, token = nextval('backfill.step_token'),"
                " attempts = s.attempts + 1, started_at = coalesce(s.started_at, clock_timestamp()),"
                " finished_at = NULL, waiting_for = NULL, not_before = NULL,"
                " sqlstate = NULL, error = NULL, error_detail = NULL, error_hint = NULL"
                " FROM (SELECT job_id, id FROM backfill.step WHERE job_id = $1 AND stage = $2 AND status = 'pending'"
                " AND replace = $4 AND (not_before IS NULL OR not_before <= clock_timestamp())"
                " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) AS due"
                " WHERE s.job_id = due.job_id AND s.id = due.id RETURNING ") +
            step_columns),
        {job, stage, pg::my_pid(), replace});
    if (claimed.empty()) return std::nullopt;
    return read_step(claimed[0]);
  });
}

std::vector<Step> claim_steps(int job, const std::vector<Step> &wanted) {
  if (wanted.empty()) return {};
  std::vector<std::string> ids;
  for (const Step &step : wanted) ids.push_back(std::to_string(step.id));
  return pg::as_extension([&] {
    return read_steps(
        pg::execute(std::string("UPDATE backfill.step s SET status = 'running', pid = $3,"
                                " token = nextval('backfill.step_token'), attempts = s.attempts + 1,"
                                " started_at = coalesce(s.started_at, clock_timestamp()), finished_at = NULL,"
                                " waiting_for = NULL, not_before = NULL, sqlstate = NULL, error = NULL,"
                                " error_detail = NULL, error_hint = NULL"
                                " FROM (SELECT job_id, id FROM backfill.step WHERE job_id = $1 AND id = ANY ($2::int[])"
                                " AND status = 'pending' AND NOT replace"
                                " AND (not_before IS NULL OR not_before <= clock_timestamp())"
                                " FOR UPDATE SKIP LOCKED) AS due"
                                " WHERE s.job_id = due.job_id AND s.id = due.id RETURNING ") +
                        step_columns,
                    {job, ids, pg::my_pid()}));
  });
}

void checkpoint(const Step &step, const std::optional<std::string> &done_to, std::int64_t rows) {
  pg::as_extension([&] {
    require_token(step,
                  pg::execute(pg::kept("UPDATE backfill.step SET done_to = $4, rows = rows + $5, batches = batches + 1"
                                       " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'"),
                              {step.job, step.id, step.token, done_to, rows}));
  });
}

void finish_step(const Step &step, std::optional<std::int64_t> rows) {
  pg::as_extension([&] {
    require_token(step,
                  pg::execute(pg::kept("UPDATE backfill.step SET status = 'done', pid = NULL, replace = false,"
                                       " finished_at = clock_timestamp(), waiting_for = NULL, rows = coalesce($4, rows)"
                                       " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'"),
                              {step.job, step.id, step.token, rows}));
  });
}

void give_back_step(const Step &step) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = 'pending', pid = NULL, attempts = attempts - 1, waiting_for = NULL"
        " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'",
        {step.job, step.id, step.token});
  });
}

void put_off_step(const Step &step, const std::string &waiting_for) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = 'pending', pid = NULL, attempts = attempts - 1, waiting_for = $4,"
        " not_before = clock_timestamp() + interval '2 s'"
        " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'",
        {step.job, step.id, step.token, waiting_for});
  });
}

void add_param(const Step &step, const std::string &key, std::int64_t value) {
  pg::as_extension([&] {
    require_token(step,
                  pg::execute("UPDATE backfill.step SET params = params || jsonb_build_object($4::text, $5::bigint)"
                              " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'",
                              {step.job, step.id, step.token, key, value}));
  });
}

void add_to_param(const Step &step, const std::string &key, std::int64_t value) {
  pg::as_extension([&] {
    require_token(step,
                  pg::execute("UPDATE backfill.step SET params = params || jsonb_build_object($4::text, $5::bigint +"
                              " CASE WHEN batches > 1 THEN coalesce((params ->> $4)::bigint, 0) ELSE 0 END)"
                              " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'",
                              {step.job, step.id, step.token, key, value}));
  });
}

bool is_transient(const std::string &sqlstate) {
  std::string const state_class = sqlstate.substr(0, 2);
  return state_class == "08" || state_class == "40" || state_class == "53" || state_class == "57" ||
         sqlstate == sqlstate::lock_not_available;
}

// What the ledger keeps of a failure.  The server's details of a violated constraint quote the row: they are left out.
std::string detail_without_rows(const Error &failure) {
  return failure.sqlstate.starts_with("23") ? std::string() : failure.detail;
}

bool fail_step(const Step &step, const Error &failure, int retries) {
  bool const again = is_transient(failure.sqlstate) && step.attempts <= retries;
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = CASE WHEN $4 THEN 'pending' ELSE 'failed' END, pid = NULL,"
        " finished_at = CASE WHEN $4 THEN NULL ELSE clock_timestamp() END,"
        // 1 s, 2 s, 4 s … and up to half as much again, so that workers do not come back in step
        " not_before = CASE WHEN $4 THEN clock_timestamp() + (2 ^ (attempts - 1)) * (1 + random() / 2) * interval '1 "
        "s' END,"
        " waiting_for = CASE WHEN $4 THEN 'retry after ' || $6 END,"
        " sqlstate = $5, error = $6, error_detail = nullif($7, ''), error_hint = nullif($8, '')"
        " WHERE job_id = $1 AND id = $2 AND token = $3 AND status = 'running'",
        {step.job, step.id, step.token, again, failure.sqlstate, failure.what(), detail_without_rows(failure),
         failure.hint});
  });
  return again;
}

void reclaim_steps(int job, int retries) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step s SET pid = NULL, token = nextval('backfill.step_token'),"
        " status = CASE WHEN attempts <= $2 THEN 'pending' ELSE 'failed' END,"
        " finished_at = CASE WHEN attempts <= $2 THEN NULL ELSE clock_timestamp() END,"
        " sqlstate = CASE WHEN attempts <= $2 THEN NULL ELSE '57P01' END,"
        " error = CASE WHEN attempts <= $2 THEN NULL ELSE 'the worker died ' || attempts || ' times' END,"
        " error_hint = CASE WHEN attempts <= $2 THEN NULL ELSE 'Look for the cause in the server log.' END"
        " WHERE job_id = $1 AND status = 'running'"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.pid AND a.backend_type = 'backfill')",
        {job, retries});
  });
}

void reopen_steps(int job, const std::vector<std::string> &kinds, bool replace) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = 'pending', replace = $3 AND chunk IS NOT NULL, attempts = 0,"
        " done_to = NULL, rows = 0, batches = 0, started_at = NULL, finished_at = NULL, pid = NULL,"
        " not_before = NULL, waiting_for = NULL, sqlstate = NULL, error = NULL, error_detail = NULL, error_hint = NULL,"
        " params = params - 'replica_rows' WHERE job_id = $1 AND kind = ANY ($2)",
        {job, kinds, replace});
  });
}

void reopen_audit(int job) { reopen_steps(job, {"drain", "audit", "metrics", "check"}, false); }

void restart_chunks(int job) {
  reopen_steps(job, {"range", "blocks"}, true);
  update_job(job, {{"copy_horizon", nullptr}});
  reopen_audit(job);
}

bool has_due_step(int job, int stage) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM backfill.step WHERE job_id = $1 AND stage = $2 AND NOT replace"
        " AND status = 'pending' AND (not_before IS NULL OR not_before <= clock_timestamp()))",
        {job, stage});
  });
}

Error stage_failure(int job, int stage) {
  return pg::as_extension([&] {
    pg::Result const steps = pg::execute(
        "SELECT s.title, s.chunk, s.sqlstate, s.error, s.error_detail, s.error_hint, s.status = 'failed' AS failed, "
        "j.name"
        " FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
        " WHERE s.job_id = $1 AND s.stage = $2 AND NOT s.replace ORDER BY s.status <> 'failed', s.id",
        {job, stage});
    pg::Row const first = steps[0];
    if (steps.size() == 1)
      return Error(first.text("sqlstate"), first.text("title") + ": " + first.text("error"), first.text("error_detail"),
                   first.text("error_hint"));
    std::size_t failed = 0;
    for (const pg::Row &step : steps) failed += step.boolean("failed") ? 1 : 0;
    return Error(first.text("sqlstate"),
                 std::to_string(failed) + " of " + std::to_string(steps.size()) +
                     (first.null("chunk") ? " steps failed" : " chunks failed"),
                 "The first: " + (first.null("chunk") ? "" : "chunk " + first.text("chunk") + ", ") +
                     first.text("title") + ": " + first.text("error") +
                     (first.null("error_detail") ? "" : ". " + first.text("error_detail")),
                 first.null("error_hint")
                     ? "See backfill.steps for all of them; SELECT backfill_run(" + quote_literal(first.text("name")) +
                           ") tries the failed ones again and keeps the rest."
                     : first.text("error_hint") + " See backfill.steps for all of them.");
  });
}

bool has_replaceable_chunk(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM backfill.step WHERE job_id = $1 AND replace AND status = 'pending')", {job});
  });
}

std::optional<std::string> replace_failure(int job) {
  return pg::as_extension([&] {
    return pg::query_value(
        "SELECT (SELECT title || ': ' || error || ' (' || sqlstate || ')' FROM backfill.step"
        " WHERE job_id = $1 AND replace AND status = 'failed' ORDER BY id LIMIT 1)",
        {job});
  });
}

void reset_failed_steps(int job) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = 'pending', attempts = 0, finished_at = NULL, not_before = NULL,"
        " waiting_for = NULL WHERE job_id = $1 AND status = 'failed'",
        {job});
  });
}

StageCounts count_stage(int job, int stage) {
  return pg::as_extension([&] {
    pg::Result const counts = pg::execute(
        "SELECT count(*) FILTER (WHERE status = 'pending') AS pending,"
        " count(*) FILTER (WHERE status = 'running') AS running,"
        " count(*) FILTER (WHERE status = 'failed') AS failed, count(*) AS total"
        " FROM backfill.step WHERE job_id = $1 AND stage = $2 AND NOT replace",
        {job, stage});
    pg::Row const row = counts.only();
    return StageCounts{static_cast<int>(row.integer("pending")), static_cast<int>(row.integer("running")),
                       static_cast<int>(row.integer("failed")), static_cast<int>(row.integer("total"))};
  });
}

}  // namespace backfill
