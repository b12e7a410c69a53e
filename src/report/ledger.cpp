// The lists of a report, each one statement over the ledger.
#include "report/ledger.hpp"

#include <algorithm>

#include "core/page.hpp"
#include "core/range_text.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

std::string told(const pg::Row &row, const char *column) { return without_secrets(one_line(row.text(column))); }

std::string chunk_range(const pg::Row &row) {
  if (row.text("kind") == "range") return range_text(row.text("lo"), row.text("hi"));
  std::string const what = row.boolean("whole") ? "blocks " : "out of scope, blocks ";
  if (row.null("hi")) return what + row.text("lo") + " to the end";
  return what + range_text(row.text("lo"), row.text("hi"));
}

std::optional<double> seconds_of(const pg::Row &row) {
  if (row.null("seconds")) return std::nullopt;
  return row.number("seconds");
}

constexpr char seconds_sql[] =
    "extract(epoch FROM coalesce(s.finished_at, CASE WHEN s.status = 'running' THEN clock_timestamp() END)"
    " - s.started_at)::float8";

// The first chunks of many, and those that run or failed.
void read_chunk_list(const Job &job, Story &story) {
  std::int64_t const total = story.progress.chunks_total;
  std::int64_t const first = total > shown::chunks ? shown::chunks_first : total;
  std::string const from =
      " FROM (SELECT s.*, s.chunk <= $2 OR (s.status IN ('running', 'failed')"
      "   AND count(*) FILTER (WHERE s.status IN ('running', 'failed') AND s.chunk > $2) OVER (ORDER BY s.chunk) <= "
      "$3) AS shown"
      " FROM backfill.step s WHERE s.job_id = $1 AND s.chunk IS NOT NULL) AS s";
  std::vector<pg::Param> const params = {job.id, static_cast<long long>(first),
                                         static_cast<long long>(shown::chunks - shown::chunks_first)};
  pg::Result const chunks = pg::execute(
      "SELECT s.chunk, s.kind, s.lo, s.hi, s.status, s.replace, s.attempts, s.rows, s.rows_estimated,"
      " (s.params ->> 'whole')::boolean AS whole, " +
          std::string(seconds_sql) + " AS seconds" + from + " WHERE s.shown ORDER BY s.chunk",
      params);
  for (const pg::Row &row : chunks) {
    std::string const status = row.text("status");
    story.chunks.push_back({static_cast<int>(row.integer("chunk")), chunk_range(row),
                            status == "running" && story.state.word == "stalled" ? "stalled" : status,
                            status == "pending" && row.boolean("replace"), row.integer("rows") > 0 || status == "done",
                            static_cast<int>(row.integer("attempts")), row.integer("rows"),
                            row.integer("rows_estimated"), seconds_of(row)});
  }
  pg::Result const others = pg::execute(
      "SELECT s.status, count(*)" + from + " WHERE NOT s.shown GROUP BY s.status ORDER BY s.status", params);
  for (const pg::Row &row : others) story.chunks_left_out.emplace_back(row.text("status"), row.integer("count"));
  story.all_chunks = "SELECT * FROM backfill.chunks WHERE name = " + quote_literal(job.name) +
                     " AND id = " + std::to_string(job.id) + " ORDER BY chunk;";
}

// As many chunks to a cell as it takes.
void read_cells(const Job &job, Story &story) {
  pg::Result const cells = pg::execute(
      "SELECT min(s.chunk) AS first, max(s.chunk) AS last, (array_agg(s.kind ORDER BY s.chunk))[1] AS kind,"
      " (array_agg(s.lo ORDER BY s.chunk))[1] AS lo, (array_agg(s.hi ORDER BY s.chunk DESC))[1] AS hi,"
      " bool_or((s.params ->> 'whole')::boolean) AS whole, sum(s.rows) AS rows, sum(s.rows_estimated) AS estimated,"
      " count(*) FILTER (WHERE s.status = 'done') AS done, count(*) FILTER (WHERE s.status = 'running') AS running,"
      " count(*) FILTER (WHERE s.status = 'failed') AS failed, count(*) FILTER (WHERE s.status = 'skipped') AS skipped,"
      " count(*) FILTER (WHERE s.status = 'pending') AS pending, max(s.error) AS error, sum(" +
          std::string(seconds_sql) +
          ") AS seconds"
          " FROM backfill.step s WHERE s.job_id = $1 AND s.chunk IS NOT NULL"
          " GROUP BY s.kind = 'blocks', (s.chunk - 1) / greatest(1, ceil($2::float8 / $3)::bigint) ORDER BY first",
      {job.id, static_cast<long long>(story.progress.chunks_total), static_cast<long long>(shown::cells)});
  for (const pg::Row &row : cells)
    story.cells.push_back({static_cast<int>(row.integer("first")), static_cast<int>(row.integer("last")),
                           chunk_range(row), row.text("kind") == "blocks" && !row.boolean("whole"), row.integer("done"),
                           row.integer("running"), row.integer("failed"), row.integer("skipped"),
                           row.integer("pending"), row.integer("rows"), row.integer("estimated"), seconds_of(row),
                           told(row, "error")});
}

void read_bars(const Job &job, Story::Phase &phase) {
  if (phase.steps > shown::bars) return;
  pg::Result const bars = pg::execute(
      "SELECT s.title, s.status, s.kind, extract(epoch FROM s.started_at - j.started_at)::float8 AS begun,"
      " extract(epoch FROM coalesce(s.finished_at, clock_timestamp()) - j.started_at)::float8 AS ended"
      " FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
      " WHERE s.job_id = $1 AND s.phase = $2 AND s.started_at IS NOT NULL"
      " AND (s.finished_at IS NOT NULL OR s.status = 'running') ORDER BY s.started_at, s.id",
      {job.id, phase.name});
  for (const pg::Row &row : bars)
    phase.bars.push_back({row.number("begun"), std::max(row.number("begun"), row.number("ended")), told(row, "title"),
                          row.text("status")});
}

}  // namespace

void read_chunks(const Job &job, Story &story) {
  read_chunk_list(job, story);
  read_cells(job, story);
}

void read_phases(const Job &job, Story &story) {
  pg::Result const phases = pg::execute(
      "SELECT s.phase, count(*) AS steps, count(*) FILTER (WHERE s.status IN ('done', 'skipped')) AS done,"
      " extract(epoch FROM min(s.started_at) - min(j.started_at))::float8 AS begun,"
      " extract(epoch FROM CASE WHEN bool_or(s.status = 'running') THEN clock_timestamp() ELSE max(s.finished_at) END"
      "   - min(j.started_at))::float8 AS ended"
      " FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id WHERE s.job_id = $1"
      " GROUP BY s.phase ORDER BY min(s.stage)",
      {job.id});
  for (const pg::Row &row : phases) {
    if (row.null("begun") || row.null("ended")) continue;
    story.phases.push_back({row.text("phase"),
                            row.integer("steps"),
                            row.integer("done"),
                            row.number("begun"),
                            std::max(row.number("begun"), row.number("ended")),
                            {}});
    read_bars(job, story.phases.back());
  }
}

void read_failures(const Job &job, const std::optional<Story::Failure> &own, Story &story) {
  pg::Result const steps = pg::execute(
      "SELECT chunk, kind, lo, hi, title, sqlstate, error, error_detail, error_hint, (params ->> 'whole')::boolean AS "
      "whole"
      " FROM backfill.step WHERE job_id = $1 AND status = 'failed' ORDER BY stage, id LIMIT 40",
      {job.id});
  for (const pg::Row &row : steps) {
    bool const chunk = !row.null("chunk");
    story.failures.push_back(
        {chunk ? "chunk " + row.text("chunk") + " (" + chunk_range(row) + ")" : row.text("title"), told(row, "error"),
         row.text("sqlstate"), told(row, "error_detail"), told(row, "error_hint"),
         story.over ? ""
         : chunk    ? "SELECT backfill_retry(" + quote_literal(job.name) + ", " + row.text("chunk") + ");"
                    : command_for(job.name, Action::run)});
  }
  if (own && !story.failures.empty()) story.own_error = without_secrets(one_line(own->error));
  if (own && story.failures.empty()) story.failures.push_back(*own);
}

void read_checks(const Job &job, Story &story) {
  pg::Result const found = pg::execute(
      "SELECT DISTINCT ON (e.scope <> 'pre', e.check_name, e.chunk) e.check_name, e.chunk, e.scope, e.outcome, "
      "e.expected, e.actual,"
      " to_char(e.checked_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS checked_at,"
      " e.detail, w.waived_by, w.reason, min(e.id) OVER (PARTITION BY e.scope <> 'pre', e.check_name) AS first"
      " FROM backfill.evidence e LEFT JOIN LATERAL (SELECT v.waived_by, v.reason FROM backfill.waiver v"
      "   WHERE v.job_id = e.job_id AND v.check_name = e.check_name AND v.audit = e.audit AND e.outcome IN ('fail', "
      "'error')"
      "   ORDER BY v.id DESC LIMIT 1) w ON true"
      " WHERE e.job_id = $1 AND (e.audit = $2 OR e.scope = 'pre') AND (e.chunk IS NULL OR e.outcome <> 'pass')"
      " ORDER BY e.scope <> 'pre', e.check_name, e.chunk, e.id DESC",
      {job.id, job.audit});
  for (const pg::Row &row : found) {
    std::optional<int> chunk;
    if (!row.null("chunk")) chunk = static_cast<int>(row.integer("chunk"));
    story.checks.push_back({row.text("check_name"), row.text("outcome"), told(row, "expected"), told(row, "actual"),
                            told(row, "detail"), row.text("waived_by"), told(row, "reason"), row.text("checked_at"),
                            row.text("scope") == "pre", chunk});
  }
  story.checks_waiting = pg::query_integer(
      "SELECT count(*) FROM backfill.step WHERE job_id = $1 AND kind = 'check' AND status NOT IN ('done', 'skipped')",
      {job.id});
}

// What differs first; null counts that are zero all along say nothing.
void read_metrics(const Job &job, Story &story) {
  pg::Result const found = pg::execute(
      "SELECT m.bucket, m.column_name, m.metric, v.live, v.fresh,"
      " bool_or(v.live IS DISTINCT FROM v.fresh) OVER same AS differs"
      " FROM backfill.metric m CROSS JOIN LATERAL (SELECT"
      "   CASE WHEN abs(m.live) < 1e140 THEN round(m.live, 20)::float8 END AS live,"
      "   CASE WHEN abs(m.shadow) < 1e140 THEN round(m.shadow, 20)::float8 END AS fresh) v"
      " WHERE m.job_id = $1 AND m.audit = (SELECT max(audit) FROM backfill.metric WHERE job_id = $1) AND m.place <= $2"
      " WINDOW same AS (PARTITION BY m.column_name, m.metric)"
      " ORDER BY (m.column_name <> ''), differs DESC, m.column_name, m.metric = 'nulls', m.metric, m.place",
      {job.id, static_cast<long long>(shown::buckets)});
  for (const pg::Row &row : found) {
    std::string const column = row.text("column_name");
    std::string const name = column.empty() ? row.text("metric") : row.text("metric") + " of " + column;
    if (story.metrics.empty() || story.metrics.back().name != name) story.metrics.push_back({name, {}});
    Story::Point point{row.text("bucket"), {}, {}};
    if (!row.null("live")) point.live = row.number("live");
    if (!row.null("fresh")) point.fresh = row.number("fresh");
    story.metrics.back().points.push_back(std::move(point));
  }
  std::erase_if(story.metrics, [](const Story::Metric &metric) {
    return metric.name.starts_with("nulls of ") &&
           std::all_of(metric.points.begin(), metric.points.end(), [](const Story::Point &point) {
             return point.live.value_or(0) == 0 && point.fresh.value_or(0) == 0;
           });
  });
  if (story.metrics.size() > shown::metrics) story.metrics.resize(shown::metrics);
}

void read_dependents(const Job &job, Story &story) {
  pg::Result const found =
      pg::execute("SELECT object, kind, fate, detail FROM backfill.dependent WHERE job_id = $1 ORDER BY id", {job.id});
  for (const pg::Row &row : found)
    story.dependents.push_back({row.text("object"), row.text("kind"), row.text("fate"), told(row, "detail")});
}

void read_events(const Job &job, Story &story) {
  pg::Result const found = pg::execute(
      "SELECT * FROM (SELECT id, event, by, detail, to_char(at, 'YYYY-MM-DD HH24:MI:SS TZ') AS at, count(*) OVER () AS "
      "total"
      " FROM backfill.event WHERE job_id = $1 ORDER BY id DESC LIMIT $2) e ORDER BY id",
      {job.id, static_cast<long long>(shown::events)});
  for (const pg::Row &row : found) {
    story.events_total = row.integer("total");
    story.events.push_back({row.text("at"), row.text("event"), row.text("by"), told(row, "detail")});
  }
}

}  // namespace backfill
