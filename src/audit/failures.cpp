// The table is made by the extension, for the owner may not be allowed to create tables in that schema, and given to the
// owner; rows are selected and inserted as the owner.  It is emptied by DELETE, which waits for no reader.
#include "audit/failures.hpp"

#include <cctype>
#include <optional>

#include "audit/audit.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/acl.hpp"
#include "pg/replica_identity.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

constexpr std::int64_t default_limit = 1000;
constexpr std::size_t name_part = 24;

struct Kept {
  std::string table;
  std::int64_t rows = 0;
};

std::optional<Kept> find_kept(const Job &job, const Check &check) {
  pg::Result const found = pg::execute(
      "SELECT f.table_name, f.rows FROM backfill.failures f JOIN pg_class c ON c.oid = f.relation"
      " WHERE f.job_id = $1 AND f.check_name = $2",
      {job.id, check.name});
  if (found.empty()) return std::nullopt;
  return Kept{found[0].text("table_name"), found[0].integer("rows")};
}

// not_null(a, b) -> not_null_a_b
std::string plain(const std::string &name) {
  std::string out;
  for (const char c : name) {
    bool const letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (letter && out.size() < name_part) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (!letter && !out.empty() && out.back() != '_' && out.size() < name_part) out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  return out.empty() ? "check" : out;
}

std::string free_name(const Job &job, const Check &check) {
  std::string const stem = "_backfill_" + std::to_string(job.id) + "_" + plain(check.name);
  for (int n = 1;; n++) {
    std::string const name = suffixed_name(job.target_name, stem + (n == 1 ? "" : "_" + std::to_string(n)));
    bool const taken = pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1::name AND c.relname = $2::name)",
        {job.target_schema, name});
    if (!taken) return name;
  }
}

Kept make_table(const Check &check, const Scene &scene) {
  const Job &job = scene.job;
  std::string const table = qualified(job.target_schema, free_name(job, check));
  std::string const columns =
      check.kind->failure_columns != nullptr ? check.kind->failure_columns : "LIKE " + scene.shadow;
  pg::execute("CREATE TABLE " + table + " (" + columns + ")");
  Oid const oid = pg::execute("SELECT $1::regclass::oid AS oid", {table}).only().oid("oid");
  pg::execute("ALTER TABLE " + table + " OWNER TO " + quote_ident(pg::role_name(job.owner)));
  pg::clear_privileges(oid);
  pg::identify_rows(oid);
  pg::execute("COMMENT ON TABLE " + table + " IS " +
              quote_literal("Rows at fault of check " + check.name + " of backfill " + job.name +
                            "; dropped when it is finished or cancelled"));
  pg::execute(
      "INSERT INTO backfill.failures (job_id, check_name, audit, relation, table_name) VALUES ($1, $2, 0, $3, $4)"
      " ON CONFLICT (job_id, check_name) DO UPDATE"
      " SET relation = excluded.relation, table_name = excluded.table_name, rows = 0",
      {job.id, check.name, pg::Param::oid(oid), table});
  return {table, 0};
}

std::int64_t limit_of(const Check &check) {
  const Node *const limit = check.find("limit");
  return limit != nullptr ? limit->integer() : default_limit;
}

}  // namespace

void empty_failures(const Job &job, const Check &check) {
  if (!check.boolean("store_failures", false)) return;
  std::optional<Kept> const kept = pg::as_extension([&] { return find_kept(job, check); });
  if (!kept || kept->rows == 0) return;
  as_job_owner(job, [&] { pg::execute("DELETE FROM " + kept->table); });
  pg::as_extension([&] {
    pg::execute("UPDATE backfill.failures SET rows = 0 WHERE job_id = $1 AND check_name = $2", {job.id, check.name});
  });
}

std::string store_failures(const Check &check, const Scene &scene) {
  const Job &job = scene.job;
  Kept const kept = pg::as_extension([&] {
    std::optional<Kept> const found = find_kept(job, check);
    return found ? *found : make_table(check, scene);
  });
  std::int64_t const room = limit_of(check) - kept.rows;
  std::int64_t const stored =
      room <= 0 ? 0 : scene.insert(kept.table, faults_of(check, scene) + "\nLIMIT " + std::to_string(room));
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.failures f SET rows = f.rows + $3, audit = CASE WHEN $4 THEN 0 ELSE j.audit END"
        " FROM backfill.job j WHERE j.id = $1 AND f.job_id = $1 AND f.check_name = $2",
        {job.id, check.name, stored, scene.pre});
  });
  return format_count(stored) + (stored == 1 ? " row kept in " : " rows kept in ") + kept.table;
}

std::vector<Oid> failure_tables(int job) {
  return pg::as_extension([&] {
    std::vector<Oid> tables;
    pg::Result const found = pg::execute(
        // One that was renamed has become somebody's own, as has another table under the same OID.
        "SELECT f.relation FROM backfill.failures f JOIN pg_class c ON c.oid = f.relation AND c.relkind = 'r'"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE f.job_id = $1 AND f.table_name = '\"' || replace(n.nspname, '\"', '\"\"') || '\".\"'"
        "   || replace(c.relname, '\"', '\"\"') || '\"' ORDER BY f.relation",
        {job});
    for (pg::Row const row : found) tables.push_back(row.oid("relation"));
    return tables;
  });
}

void forget_failures(int job) {
  pg::as_extension([&] { pg::execute("DELETE FROM backfill.failures WHERE job_id = $1", {job}); });
}

}  // namespace backfill
