// One row a job, made with the first look: the mark is written after capture has committed, so whoever shows the one has the
// other.
#include "catalog/replica.hpp"

#include "pg/role.hpp"
#include "pg/spi.hpp"

namespace backfill {

namespace {

constexpr char state_sql[] =
    "SELECT mark, marked_at, reads, problem, coalesce(primary_until > clock_timestamp(), false) AS on_primary,"
    " (extract(epoch FROM clock_timestamp() - trouble_since) * 1000)::bigint AS trouble_ms,"
    " (SELECT spec -> 'read_from' FROM backfill.job WHERE id = $1)::text AS read_from"
    " FROM backfill.replica WHERE job_id = $1";

}  // namespace

ReplicaState replica_state(int job) {
  return pg::as_extension([&] {
    pg::Result found = pg::execute(state_sql, {job});
    if (found.empty()) {
      pg::execute(
          "INSERT INTO backfill.replica (job_id, mark, marked_at)"
          " VALUES ($1, gen_random_uuid(), pg_current_wal_insert_lsn()) ON CONFLICT (job_id) DO NOTHING",
          {job});
      found = pg::execute(state_sql, {job});
    }
    pg::Row const row = found.only();
    ReplicaState state;
    state.mark = row.text("mark");
    state.marked_at = row.text("marked_at");
    state.reads = row.get("reads");
    state.problem = row.get("problem");
    state.trouble_ms = row.integer("trouble_ms");
    state.on_primary = row.boolean("on_primary");
    state.read_from = row.text("read_from");
    return state;
  });
}

void forget_replica(int job) {
  pg::as_extension([&] { pg::execute("DELETE FROM backfill.replica WHERE job_id = $1", {job}); });
}

void note_replica_trouble(int job, const std::string &problem) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.replica SET problem = $2, trouble_since = coalesce(trouble_since, clock_timestamp())"
        " WHERE job_id = $1 AND problem IS DISTINCT FROM $2",
        {job, problem});
  });
}

void stay_on_primary(int job, std::int64_t milliseconds) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.replica SET primary_until = clock_timestamp() + $2 * interval '1 ms' WHERE job_id = $1",
        {job, static_cast<long long>(milliseconds)});
  });
}

bool note_reads(int job, const std::string &where) {
  return pg::as_extension([&] {
    if (where == "replica")
      pg::execute(
          "UPDATE backfill.replica SET problem = NULL, trouble_since = NULL, primary_until = NULL"
          " WHERE job_id = $1 AND (problem IS NOT NULL OR primary_until IS NOT NULL)",
          {job});
    return pg::execute(
               "UPDATE backfill.replica SET reads = $2, since = clock_timestamp()"
               " WHERE job_id = $1 AND reads IS DISTINCT FROM $2",
               {job, where})
               .processed == 1;
  });
}

void set_step_waiting(const Step &step, const std::optional<std::string> &why) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET waiting_for = $4 WHERE job_id = $1 AND id = $2 AND token = $3"
        " AND status = 'running' AND waiting_for IS DISTINCT FROM $4",
        {step.job, step.id, step.token, why});
  });
}

ServerFacts this_server() {
  return pg::as_extension([] {
    pg::Result const found = pg::execute(
        "SELECT system_identifier, pg_current_wal_flush_lsn() AS lsn,"
        " ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::bigint AS timeline,"
        " current_setting('server_version_num')::integer / 10000 AS major FROM pg_control_system()");
    pg::Row const row = found.only();
    return ServerFacts{row.text("system_identifier"), row.text("lsn"), row.integer("timeline"), row.integer("major")};
  });
}

}  // namespace backfill
