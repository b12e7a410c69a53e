#include "catalog/evidence.hpp"

#include "catalog/step.hpp"
#include "pg/role.hpp"

namespace backfill {

void insert_evidence(const Job &job, const Evidence &evidence) {
  std::optional<std::int64_t> chunk;
  if (evidence.chunk) chunk = *evidence.chunk;
  pg::as_extension([&] {
    pg::execute(
        "INSERT INTO backfill.evidence (job_id, audit, check_name, scope, chunk, severity, outcome, expected, actual,"
        " detail, measured, sql, checked_at) SELECT $1, j.audit, $2, $3, $4, $5, $6, nullif($7, ''), nullif($8, ''),"
        " nullif($9, ''), $10::text::numeric, nullif($11, ''), coalesce($12::timestamptz, clock_timestamp())"
        " FROM backfill.job j WHERE j.id = $1",
        {job.id, evidence.check, evidence.scope, chunk, evidence.severity, evidence.outcome, evidence.expected,
         evidence.actual, evidence.detail,
         evidence.measured ? pg::Param(std::to_string(*evidence.measured)) : pg::Param(nullptr), evidence.sql,
         evidence.checked_at});
  });
}

int next_audit(int job) {
  reopen_steps(job, {"check", "metrics"}, false);
  return pg::as_extension([&] {
    return static_cast<int>(
        pg::query_integer("UPDATE backfill.job SET audit = audit + 1 WHERE id = $1 RETURNING audit", {job}));
  });
}

std::vector<CheckStanding> check_standings(int job) {
  return pg::as_extension([&] {
    std::vector<CheckStanding> standings;
    pg::Result const found = pg::execute(
        "SELECT s.params->>'name' AS name,"
        "       (SELECT e.outcome FROM backfill.evidence e"
        "        WHERE e.job_id = s.job_id AND e.audit = j.audit AND e.check_name = s.params->>'name' AND e.scope <> "
        "'pre'"
        "        ORDER BY array_position('{error,fail,warn,pass,skipped}'::text[], e.outcome) LIMIT 1) AS outcome,"
        "       EXISTS (SELECT FROM backfill.waiver w WHERE w.job_id = s.job_id AND w.audit = j.audit"
        "               AND w.check_name = s.params->>'name') AS waived"
        " FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
        " WHERE s.job_id = $1 AND s.kind = 'check' ORDER BY s.id",
        {job});
    for (pg::Row const row : found) standings.push_back({row.text("name"), row.text("outcome"), row.boolean("waived")});
    return standings;
  });
}

bool audit_counted_every_row(int job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM backfill.job j"
        " JOIN backfill.step s ON s.job_id = j.id AND s.kind = 'check' AND s.params->>'check' = 'row_count_delta'"
        " JOIN backfill.evidence e ON e.job_id = j.id AND e.audit = j.audit AND e.check_name = s.params->>'name'"
        " WHERE j.id = $1 AND e.measured = 0)",
        {job});
  });
}

void insert_waiver(const Job &job, const std::string &check, const std::string &reason, const std::string &by) {
  pg::as_extension([&] {
    pg::execute(
        "INSERT INTO backfill.waiver (job_id, audit, check_name, reason, waived_by)"
        " SELECT $1, j.audit, $2, $3, $4 FROM backfill.job j WHERE j.id = $1",
        {job.id, check, reason, by});
  });
}

}  // namespace backfill
