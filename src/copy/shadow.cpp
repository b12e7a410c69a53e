// 1. Create: CREATE TABLE (LIKE live INCLUDING ALL EXCLUDING INDEXES) carries columns, defaults, NOT NULL, CHECK,
//    generated and identity columns, storage, compression, statistics objects and comments on these.  Options that shape
//    the storage (fillfactor …) are there from the first row; autovacuum is off until the swap.
// 2. Build: one index at a time (shape.cpp).
// 3. Finish: what would be in the way of the copy, then all settings (shape.cpp).
// 4. At the swap: autovacuum as it is on live.  Names, privileges and sequences are the swap's.
//
// All of it is our own DDL on catalog facts, as the extension; expressions of indexes are evaluated as the owner by the
// server itself, under the search_path of the planner.
#include "copy/shadow.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "copy/shape.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/acl.hpp"
#include "pg/replica_identity.hpp"
#include "pg/role.hpp"
#include "pg/type_name.hpp"

namespace backfill {
namespace {

using pg::Param;

// ---- create ----

// What CREATE TABLE needs to know of live, checked against the plan.
struct Live {
  std::string sql;  // qualified name
  std::string access_method, tablespace;
};

Live require_planned_table(const Job &job) {
  const pg::Result found = pg::execute(R"(
    SELECT n.nspname, c.relname, c.relowner, a.amname, t.spcname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
    LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
    WHERE c.oid = $1 AND c.relkind = 'r')",
                                       {Param::oid(job.live)});
  const std::string planned = qualified(job.target_schema, job.target_name);
  const std::string hint = "Cancel the backfill and plan it again.";
  if (found.empty()) throw Error(sqlstate::undefined_table, "table " + planned + " no longer exists", {}, hint);
  const pg::Row row = found.only();
  const std::string now = qualified(row.text("nspname"), row.text("relname"));
  if (now != planned)
    throw Error(sqlstate::object_not_in_prerequisite_state, "table " + planned + " was renamed since the plan",
                "It is now called " + now + ".", hint);
  if (row.oid("relowner") != job.owner)
    throw Error(sqlstate::object_not_in_prerequisite_state, "table " + planned + " has another owner than when planned",
                "It belongs to role " + pg::role_name(row.oid("relowner")) + " now.", hint);
  return {now, row.text("amname"), row.text("spcname")};
}

std::string creation_sql(const Job &job, const Live &live, const std::vector<pg::TypeName> &added) {
  std::vector<std::string> columns{"LIKE " + live.sql + " INCLUDING ALL EXCLUDING INDEXES"};
  for (std::size_t i = 0; i < added.size(); i++)
    columns.push_back(quote_ident(job.spec.transform.add_columns[i].first) + " " + pg::format_type(added[i]));
  std::vector<std::string> options;
  for (const Option &option : options_of(job.live))
    if (!option.autovacuum) options.push_back(option.name + " = " + quote_literal(option.value));
  options.push_back("autovacuum_enabled = off");
  options.push_back("toast.autovacuum_enabled = off");
  return "CREATE TABLE " + qualified(job.target_schema, job.shadow_name) + " (" + joined(columns) + ") USING " +
         quote_ident(live.access_method) + " WITH (" + joined(options) + ")" +
         (live.tablespace.empty() ? "" : " TABLESPACE " + quote_ident(live.tablespace));
}

// Rows of live may violate a constraint that was never validated; the shadow must take them as they are.  NOT NULL is
// such a constraint ('n') where the server keeps a row for it.
void drop_unvalidated_checks(const Job &job, const std::string &shadow) {
  const pg::Result rows = pg::execute(
      "SELECT conname FROM pg_constraint WHERE conrelid = $1 AND contype IN ('c', 'n') AND NOT convalidated ORDER BY "
      "conname",
      {Param::oid(job.live)});
  for (const pg::Row row : rows)
    pg::execute("ALTER TABLE " + shadow + " DROP CONSTRAINT " + quote_ident(row.text("conname")));
}

// ---- build ----

std::uint32_t fnv1a(const std::string &text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// A name that must be cut carries a hash of the whole, or two long names could become one.
std::string job_name_for(const Job &job, const std::string &name, const std::string &word) {
  const std::string suffix = "_" + word + "_" + std::to_string(job.id);
  if (name.size() + suffix.size() <= max_identifier_bytes) return name + suffix;
  const std::string digits = "0123456789abcdef";
  std::string hash = "_";
  for (std::uint32_t rest = fnv1a(name), i = 0; i < 8; i++, rest >>= 4) hash += digits[rest & 15];
  return suffixed_name(name, hash + suffix);
}

// ---- finish ----

Versions versions_of(const Job &job) { return {job.live, job.shadow, shadow_index_name}; }

void add_unvalidated_checks(const Job &job, const std::string &shadow) {
  const pg::Result rows = pg::execute(R"(
    SELECT k.conname, pg_get_constraintdef(k.oid) AS definition, obj_description(k.oid, 'pg_constraint') AS comment
    FROM pg_constraint k
    WHERE k.conrelid = $1 AND k.contype IN ('c', 'n') AND NOT k.convalidated
      AND NOT EXISTS (SELECT FROM pg_constraint s WHERE s.conrelid = $2 AND s.conname = k.conname)
    ORDER BY k.conname)",
                                      {Param::oid(job.live), Param::oid(job.shadow)});
  for (const pg::Row row : rows) {
    const std::string name = quote_ident(row.text("conname"));
    pg::execute("ALTER TABLE " + shadow + " ADD CONSTRAINT " + name + " " + row.text("definition"));
    if (!row.null("comment"))
      pg::execute("COMMENT ON CONSTRAINT " + name + " ON " + shadow + " IS " + quote_literal(row.text("comment")));
  }
}

}  // namespace

Oid create_version(const Job &job) {
  const std::vector<pg::TypeName> added = pg::as_owner(
      job.owner,
      [&] {
        std::vector<pg::TypeName> types;
        for (const auto &column : job.spec.transform.add_columns) types.push_back(pg::resolve_type(column.second));
        return types;
      },
      job.search_path);
  return pg::as_extension([&] {
    const Live live = require_planned_table(job);
    const std::string shadow = qualified(job.target_schema, job.shadow_name);
    pg::execute(creation_sql(job, live, added));
    const Oid oid = pg::execute("SELECT $1::regclass::oid AS oid", {Param::of_type(25, shadow)}).only().oid("oid");
    drop_unvalidated_checks(job, shadow);
    pg::execute("ALTER TABLE " + shadow + " OWNER TO " + quote_ident(pg::role_name(job.owner)));
    pg::clear_privileges(oid);
    pg::identify_rows(oid);
    return oid;
  });
}

Oid create_shadow(const Job &job) {
  const Oid oid = create_version(job);
  update_job(job.id, {{"shadow", Param::oid(oid)}});
  return oid;
}

void build_index(const Job &job, Oid live_index) { copy_index(job, live_index, versions_of(job)); }

std::string shadow_index_name(const Job &job, const std::string &name) { return job_name_for(job, name, "backfill"); }
std::string archive_index_name(const Job &job, const std::string &name) { return job_name_for(job, name, "archive"); }
std::string sample_index_name(const Job &job, const std::string &name) { return job_name_for(job, name, "sample"); }

void finish_shape(const Job &job) {
  pg::as_extension([&] {
    add_unvalidated_checks(job, table_sql(job.shadow));
    align_settings(job, versions_of(job), false);
  });
}

void restore_autovacuum(const Job &job) {
  pg::as_extension([&] {
    const std::string alter = "ALTER TABLE " + table_sql(job.shadow);
    pg::execute(alter + " RESET (autovacuum_enabled, toast.autovacuum_enabled)");
    for (const Option &option : options_of(job.live))
      if (option.autovacuum) pg::execute(alter + " SET (" + option.name + " = " + quote_literal(option.value) + ")");
  });
}

void analyze_shadow(const Job &job) {
  pg::as_extension([&] {
    const std::string shadow = table_sql(job.shadow);
    pg::set_local("search_path", job.search_path);
    pg::execute("ANALYZE " + shadow);
  });
}

}  // namespace backfill
