#include "catalog/new_job.hpp"

#include "pg/role.hpp"

namespace backfill {

namespace {

constexpr char insert_sql[] = R"(
INSERT INTO backfill.job (id, name, strategy, spec, description, requested_by, responsible, reason, success_criteria,
  planned_by, target_schema, target_name, live, home, owner, owner_name, shadow_name, archive_name, search_path,
  chunk_column, chunk_type, start, stop, exclude, time_zone, key_columns, fingerprint, parallelism, retention,
  rows_estimated, bytes_estimated, settings)
OVERRIDING SYSTEM VALUE
VALUES ($1, $2, $3, $4::jsonb, nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, ''), nullif($9, ''),
  $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
  nullif($20, ''), nullif($21, 0::oid), $22, $23, $24, $25, $26::name[], $27, $28, $29::interval, $30, $31, $32))";

std::optional<ActiveJob> first(const pg::Result &found) {
  if (found.empty()) return std::nullopt;
  pg::Row const row = found[0];
  return ActiveJob{static_cast<int>(row.integer("id")), row.text("name"), row.text("state")};
}

}  // namespace

int reserve_job_id() {
  return pg::as_extension([] {
    // Where the schema of a database came without its records, what is there of a job of that number is another's.
    for (;;) {
      pg::Result const next = pg::execute(
          "SELECT id, to_regclass('backfill.log_' || id) IS NULL AND to_regclass('backfill.reverse_' || id) IS NULL"
          " AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname IN ('backfill_capture_' || id, 'backfill_guard_' || "
          "id))"
          " AS free FROM nextval(pg_get_serial_sequence('backfill.job', 'id')) AS id");
      if (next.only().boolean("free")) return static_cast<int>(next.only().integer("id"));
    }
  });
}

void insert_job(const Job &job) {
  std::string const planner = pg::role_name(pg::session_role());
  try {
    pg::as_extension([&] {
      pg::execute(insert_sql, {job.id,
                               job.name,
                               job.strategy,
                               to_json(job.spec.document),
                               job.spec.description,
                               job.spec.requested_by,
                               job.spec.owner,
                               job.spec.reason,
                               job.spec.success_criteria,
                               planner,
                               job.target_schema,
                               job.target_name,
                               pg::Param::oid(job.live),
                               job.home,
                               pg::Param::oid(job.owner),
                               pg::role_name(job.owner),
                               job.shadow_name,
                               job.archive_name,
                               job.search_path,
                               job.chunk_column,
                               pg::Param::oid(job.chunk_type),
                               job.start,
                               job.stop,
                               job.exclude,
                               job.time_zone,
                               job.key,
                               job.fingerprint,
                               job.parallelism,
                               job.spec.retention,
                               static_cast<long long>(job.rows_estimated),
                               static_cast<long long>(job.bytes_estimated),
                               job.settings});
    });
  } catch (const Error &failure) {
    if (failure.sqlstate != "23505") throw;
    throw Error(sqlstate::object_in_use, "another session has just planned a backfill of that name or table", {},
                "See it with: SELECT name, target, state FROM backfill.jobs;");
  }
}

std::optional<ActiveJob> active_job_of_name(const std::string &name) {
  return pg::as_extension([&] {
    return first(
        pg::execute("SELECT id, name, CASE WHEN backfill.is_home(home) THEN state ELSE 'suspended' END AS state"
                    " FROM backfill.job WHERE name = $1 AND state NOT IN ('finished', 'cancelled')",
                    {name}));
  });
}

std::optional<ActiveJob> active_job_on(Oid table) {
  return pg::as_extension([&] {
    return first(
        pg::execute("SELECT id, name, state FROM backfill.job WHERE $1 IN (live, shadow, archive)"
                    " AND state NOT IN ('finished', 'cancelled') AND backfill.is_home(home) ORDER BY id DESC LIMIT 1",
                    {pg::Param::oid(table)}));
  });
}

std::optional<ActiveJob> suspended_job_on(const std::string &schema, const std::string &table) {
  return pg::as_extension([&] {
    return first(pg::execute(
        "SELECT id, name, 'suspended' AS state FROM backfill.job WHERE target_schema = $1::name"
        " AND $2::name IN (target_name, shadow_name, archive_name)"
        " AND state NOT IN ('finished', 'cancelled') AND NOT backfill.is_home(home) ORDER BY id DESC LIMIT 1",
        {schema, table}));
  });
}

}  // namespace backfill
