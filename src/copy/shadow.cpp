// 1. Create: CREATE TABLE (LIKE live INCLUDING ALL EXCLUDING INDEXES) carries columns, defaults, NOT NULL, CHECK,
//    generated and identity columns, storage, compression, statistics objects and comments on these.  Options that shape
//    the storage (fillfactor …) are there from the first row; autovacuum is off until the swap.
// 2. Build: one index at a time, from statement nodes (pg/clone_index.hpp), then what a node does not hold.
// 3. Finish: what refers to indexes, or would be in the way of the copy.
// 4. At the swap: autovacuum as it is on live.  Names, privileges and sequences are the swap's.
//
// All of it is our own DDL on catalog facts, as the extension; expressions of indexes are evaluated as the owner by the
// server itself, under the search_path of the planner.
#include "copy/shadow.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/sql_text.hpp"
#include "pg/acl.hpp"
#include "pg/clone_index.hpp"
#include "pg/replica_identity.hpp"
#include "pg/role.hpp"
#include "pg/type_name.hpp"

namespace backfill {
namespace {

using pg::Param;

struct Option {
  std::string name, value;  // name: quoted, with "toast". in front where it is the TOAST table's
  bool autovacuum;          // is it autovacuum_enabled?
};

std::string table_sql(Oid relation) {
  const pg::Result found = pg::execute(
      "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
      "c.relnamespace WHERE c.oid = $1",
      {Param::oid(relation)});
  const pg::Row row = found.only();
  return qualified(row.text("nspname"), row.text("relname"));
}

std::vector<Option> options_of(Oid table) {
  std::vector<Option> options;
  const pg::Result rows = pg::execute(R"(
    SELECT side.toast, split_part(option, '=', 1) AS name, substr(option, strpos(option, '=') + 1) AS value
    FROM (SELECT false AS toast, c.reloptions FROM pg_class c WHERE c.oid = $1
          UNION ALL
          SELECT true, t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = $1) AS side,
         unnest(side.reloptions) AS option
    ORDER BY side.toast, name)",
                                      {Param::oid(table)});
  for (const pg::Row row : rows)
    options.push_back({(row.boolean("toast") ? "\"toast\"." : "") + quote_ident(row.text("name")), row.text("value"),
                       row.text("name") == "autovacuum_enabled"});
  return options;
}

std::string joined(const std::vector<std::string> &parts) {
  std::string out;
  for (const std::string &part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

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

struct Index {
  std::string name;
  bool valid;
  std::optional<std::string> comment, constraint_comment;
};

Index read_index(const Job &job, Oid live_index) {
  const pg::Result found = pg::execute(R"(
    SELECT c.relname, i.indisvalid, obj_description(c.oid, 'pg_class') AS comment,
           (SELECT obj_description(k.oid, 'pg_constraint') FROM pg_constraint k
            WHERE k.conindid = c.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')) AS constraint_comment
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indexrelid = $1 AND i.indrelid = $2)",
                                       {Param::oid(live_index), Param::oid(job.live)});
  if (found.empty())
    throw Error(sqlstate::undefined_object,
                "an index of table " + qualified(job.target_schema, job.target_name) + " was dropped since the plan",
                "The backfill was to build a copy of the index with OID " + std::to_string(live_index) + ".",
                "Cancel the backfill and plan it again.");
  const pg::Row row = found.only();
  return {row.text("relname"), row.boolean("indisvalid"), row.get("comment"), row.get("constraint_comment")};
}

Oid index_on(Oid table, const std::string &name) {
  const pg::Result found = pg::execute(
      "SELECT c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND c.relname = $2",
      {Param::oid(table), name});
  return found.empty() ? 0 : found.only().oid("oid");
}

// Statistics targets of an expression index's columns.
void copy_index_targets(Oid live_index, const std::string &copy) {
  const pg::Result rows = pg::execute(
      "SELECT attnum, attstattarget FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND attstattarget >= 0",
      {Param::oid(live_index)});
  for (const pg::Row row : rows)
    pg::execute("ALTER INDEX " + copy + " ALTER COLUMN " + row.text("attnum") + " SET STATISTICS " +
                row.text("attstattarget"));
}

void copy_index_comments(const Index &index, const std::string &name, const std::string &copy,
                         const std::string &shadow) {
  if (index.comment) pg::execute("COMMENT ON INDEX " + copy + " IS " + quote_literal(*index.comment));
  if (index.constraint_comment)
    pg::execute("COMMENT ON CONSTRAINT " + quote_ident(name) + " ON " + shadow + " IS " +
                quote_literal(*index.constraint_comment));
}

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

void copy_column_settings(const Job &job, const std::string &shadow) {
  const pg::Result rows = pg::execute(R"(
    SELECT a.attname, a.attstattarget AS target,
           (SELECT string_agg(format('%s = %s', split_part(o, '=', 1), quote_literal(split_part(o, '=', 2))), ', ')
            FROM unnest(a.attoptions) AS o WHERE split_part(o, '=', 1) IN ('n_distinct', 'n_distinct_inherited')) AS options
    FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)",
                                      {Param::oid(job.live)});
  for (const pg::Row row : rows) {
    const std::string column = "ALTER TABLE " + shadow + " ALTER COLUMN " + quote_ident(row.text("attname"));
    if (!row.null("target") && row.integer("target") >= 0)
      pg::execute(column + " SET STATISTICS " + row.text("target"));
    if (!row.null("options")) pg::execute(column + " SET (" + row.text("options") + ")");
  }
}

// LIKE makes statistics objects in the order of their OIDs, as its own role, with the default target.
void copy_statistics_settings(const Job &job) {
  const pg::Result rows = pg::execute(R"(
    WITH objects AS (
      SELECT s.*, n.nspname, row_number() OVER (PARTITION BY stxrelid, about ORDER BY s.oid) AS place, about
      FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
      CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef_columns(s.oid) || ' ' || s.stxkind::text) AS d (about)
      WHERE s.stxrelid IN ($1, $2))
    SELECT copy.nspname, copy.stxname, pg_get_userbyid(old.stxowner) AS owner, coalesce(old.stxstattarget, -1) AS target
    FROM objects old JOIN objects copy USING (about, place)
    WHERE old.stxrelid = $1 AND copy.stxrelid = $2)",
                                      {Param::oid(job.live), Param::oid(job.shadow)});
  for (const pg::Row row : rows) {
    const std::string object = "ALTER STATISTICS " + qualified(row.text("nspname"), row.text("stxname"));
    pg::execute(object + " OWNER TO " + quote_ident(row.text("owner")));
    if (row.integer("target") >= 0) pg::execute(object + " SET STATISTICS " + row.text("target"));
  }
}

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

void copy_identity_and_cluster_marks(const Job &job, const std::string &shadow) {
  const pg::Result found = pg::execute(R"(
    SELECT c.relreplident, s.relreplident AS found,
           (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) AS identity_index,
           (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisclustered AND i.indisvalid) AS cluster_index
    FROM pg_class c, pg_class s WHERE c.oid = $1 AND s.oid = $2)",
                                       {Param::oid(job.live), Param::oid(job.shadow)});
  const pg::Row row = found.only();
  const std::string identity = row.text("relreplident");
  const auto twin = [&](const char *column) { return quote_ident(shadow_index_name(job, row.text(column))); };
  if (identity == "d" && row.text("found") != identity)
    pg::execute("ALTER TABLE " + shadow + " REPLICA IDENTITY DEFAULT");
  if (identity == "f") pg::execute("ALTER TABLE " + shadow + " REPLICA IDENTITY FULL");
  if (identity == "n") pg::execute("ALTER TABLE " + shadow + " REPLICA IDENTITY NOTHING");
  if (identity == "i" && !row.null("identity_index"))
    pg::execute("ALTER TABLE " + shadow + " REPLICA IDENTITY USING INDEX " + twin("identity_index"));
  if (!row.null("cluster_index")) pg::execute("ALTER TABLE " + shadow + " CLUSTER ON " + twin("cluster_index"));
}

void copy_table_comment(const Job &job, const std::string &shadow) {
  const auto comment = pg::query_value("SELECT obj_description($1, 'pg_class')", {Param::oid(job.live)});
  pg::execute("COMMENT ON TABLE " + shadow + " IS " + (comment ? quote_literal(*comment) : std::string("NULL")));
}

}  // namespace

Oid create_shadow(const Job &job) {
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
    update_job(job.id, {{"shadow", Param::oid(oid)}});
    return oid;
  });
}

void build_index(const Job &job, Oid live_index) {
  pg::as_extension([&] {
    const Index index = read_index(job, live_index);
    const std::string name = shadow_index_name(job, index.name);
    if (index_on(job.shadow, name) != 0) return;
    if (!index.valid) {
      pg::warning("index " + quote_ident(index.name) + " of table " + qualified(job.target_schema, job.target_name) +
                      " is invalid and was left out",
                  {}, "Drop it, or REINDEX it before the backfill is planned.");
      return;
    }
    // Functions of expressions and predicates may rely on it, as they do when rows are written.
    pg::set_local("search_path", job.search_path);
    pg::clone_index(live_index, job.shadow, name);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    const std::string shadow = table_sql(job.shadow);
    const std::string copy = table_sql(index_on(job.shadow, name));
    copy_index_targets(live_index, copy);
    copy_index_comments(index, name, copy, shadow);
  });
}

std::string shadow_index_name(const Job &job, const std::string &name) { return job_name_for(job, name, "backfill"); }
std::string archive_index_name(const Job &job, const std::string &name) { return job_name_for(job, name, "archive"); }

void finish_shape(const Job &job) {
  pg::as_extension([&] {
    const std::string shadow = table_sql(job.shadow);
    copy_column_settings(job, shadow);
    copy_statistics_settings(job);
    add_unvalidated_checks(job, shadow);
    copy_identity_and_cluster_marks(job, shadow);
    copy_table_comment(job, shadow);
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
