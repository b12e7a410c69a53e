#include "report/facts.hpp"

#include "core/range_text.hpp"

namespace backfill {

namespace {

// Midnight is not told.
std::string boundary_text(const std::string &value) {
  std::size_t const midnight = value.find(" 00:00:00");
  return midnight == std::string::npos || value.ends_with("BC") ? value : value.substr(0, midnight);
}

// As it was written, further lines under the first.
std::string indented(const std::string &text, std::size_t by) {
  std::size_t const begin = text.find_first_not_of(" \n"), last = text.find_last_not_of(" \n");
  std::string out;
  for (std::size_t i = begin; begin != std::string::npos && i <= last; i++) {
    out += text[i];
    if (text[i] == '\n') out += std::string(by, ' ');
  }
  return out;
}

}  // namespace

Facts gather(const Job &job) {
  Facts facts;
  facts.job = job;
  facts.status = pg::execute(
      "SELECT v.*, j.sqlstate, j.error_detail, j.error_hint, j.request,"
      " extract(epoch FROM v.elapsed)::float8 AS elapsed_seconds,"
      " to_char(v.planned_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS planned_text,"
      " to_char(v.started_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS started_text,"
      " to_char(v.published_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS published_text,"
      " to_char(v.ended_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS ended_text,"
      " to_char(v.archive_until, 'YYYY-MM-DD HH24:MI:SS TZ') AS until_text,"
      " EXISTS (SELECT FROM backfill.event e WHERE e.job_id = v.id AND e.event = 'rolled back') AS was_rolled_back,"
      " EXISTS (SELECT FROM backfill.evidence e WHERE e.job_id = v.id AND e.audit = j.audit AND e.scope <> 'pre'"
      "   AND e.outcome IN ('fail', 'error') AND NOT EXISTS (SELECT FROM backfill.waiver w WHERE w.job_id = e.job_id"
      "   AND w.check_name = e.check_name AND w.audit = e.audit)) AS blocked"
      " FROM backfill.job_status v JOIN backfill.job j ON j.id = v.id WHERE v.id = $1",
      {facts.job.id});
  facts.status.only();
  return facts;
}

ShownState shown_state(const pg::Row &row) {
  std::string const word = row.text("state");
  if (word == "planned") return {word, "PLANNED", "📝", "", Tone::plain};
  if (word == "running" && row.text("request") == "pause")
    return {word, "PAUSING", "⏸️", row.text("phase"), Tone::busy};
  if (word == "running") return {word, "IN PROGRESS", "🔄", row.text("phase"), Tone::busy};
  if (word == "stalled") return {word, "STALLED", "⚠️", row.text("phase"), Tone::warn};
  if (word == "suspended") return {word, "SUSPENDED: from another database", "⏸️", "", Tone::warn};
  if (word == "paused") return {word, "PAUSED", "⏸️", "", Tone::warn};
  if (word == "failed") return {word, "FAILED", "❌", "", Tone::bad};
  if (word == "published") return {word, "PUBLISHED", "✅", "", Tone::good};
  if (word == "finished") return {word, "FINISHED", "✅", "", Tone::good};
  if (word == "cancelled") return {word, "CANCELLED", "🚫", "", Tone::plain};
  std::string const back = row.boolean("was_rolled_back") ? ", ROLLED BACK" : "";
  if (row.boolean("blocked")) return {word, "NOT READY TO PUBLISH: checks failed" + back, "⚠️", "", Tone::warn};
  return {word, "READY TO PUBLISH" + back, "✅", "", Tone::good};
}

std::string scope_text(const Job &job) {
  if (!job.start) return "the whole table";
  constexpr Oid timestamptz = 1184;
  std::string out =
      job.chunk_column + " from " + boundary_text(*job.start) + " until before " + boundary_text(*job.stop);
  if (job.chunk_type == timestamptz) out += ", " + job.time_zone;
  for (std::size_t i = 0; i + 1 < job.exclude.size(); i += 2)
    out += ", less " + range_text(job.exclude[i], job.exclude[i + 1]);
  return out;
}

std::string throttle_text(const Job &job) {
  std::string out;
  for (const std::string &line : describe(job.spec.throttle, job.time_zone)) out += (out.empty() ? "" : "; ") + line;
  return out;
}

std::string transform_text(const Job &job) {
  const Transform &transform = job.spec.transform;
  if (transform.is_query()) {
    std::string query = transform.query;
    while (query.ends_with('\n') || query.ends_with(' ')) query.pop_back();
    return query;
  }
  std::string out;
  for (const auto &[column, type] : transform.add_columns) out += "ADD COLUMN " + column + ' ' + type + '\n';
  bool first = true;
  for (const auto &[column, expression] : transform.set) {
    out += (first ? "SET " : ",\n    ") + column + " = " + indented(expression, 6);
    first = false;
  }
  if (!transform.join.empty()) out += '\n' + indented(transform.join, 0);
  return out;
}

}  // namespace backfill
