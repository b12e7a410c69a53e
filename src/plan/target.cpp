// Finding the target: resolve the name as the caller means it, lock, then ask what it is.
//
// The name is resolved again once the lock is held, so that a rename in between cannot make us plan another table.
#include "plan/target.hpp"

#include <algorithm>

#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"

namespace backfill {

namespace {

Error not_a_name(const std::string &table, const Error &failure) {
  return Error(failure.sqlstate, "\"" + table + "\" is not the name of a table",
               std::string("The server says: ") + failure.what() + ".",
               "Write table or schema.table, with double quotes around a part that is not a plain lower-case word.");
}

Oid resolve(const std::string &table) {
  try {
    return static_cast<Oid>(
        pg::query_integer("SELECT coalesce(pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.int8, 0)", {table}));
  } catch (const Error &failure) {
    throw not_a_name(table, failure);
  }
}

// Newer servers' to_regclass yields NULL for what is no name at all; the cast always tells.
void require_name(const std::string &table) {
  try {
    pg::subtransaction([&] { return pg::query_value("SELECT $1::pg_catalog.regclass", {table}); });
  } catch (const Error &failure) {
    if (failure.sqlstate != sqlstate::undefined_table && failure.sqlstate != "3F000") throw not_a_name(table, failure);
  }
}

// The table the caller may have meant: of the schema named, or of those on the search path.
Error no_such_table(const std::string &table) {
  require_name(table);
  pg::Result const names = pg::execute(
      "SELECT c.relname::text AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
      "c.relnamespace,"
      " LATERAL pg_catalog.parse_ident($1) AS part"
      " WHERE c.relkind IN ('r', 'p') AND CASE WHEN pg_catalog.cardinality(part) > 1 THEN n.nspname::text = part[1]"
      " ELSE n.nspname = ANY (pg_catalog.current_schemas(false)) END LIMIT 5000",
      {table});
  std::vector<std::string> candidates;
  for (const pg::Row &row : names) candidates.push_back(row.text("name"));
  std::size_t const dot = table.rfind('.');
  std::string const near = nearest_word(dot == std::string::npos ? table : table.substr(dot + 1), candidates);
  return Error(sqlstate::undefined_table, "table \"" + table + "\" does not exist",
               "It was looked up along the search_path " + pg::setting("search_path") + ".",
               near.empty() ? "Give its name, with its schema where that is not on the search_path."
                            : "Did you mean \"" + near + "\"?");
}

struct Kind {
  std::string relkind, persistence, method;
  bool partition, typed, inherits, system, forced, ours;
  std::string member_of;
};

[[noreturn]] void refuse(const char *state, const std::string &message, const std::string &detail,
                         const std::string &hint) {
  throw Error(state, message, detail, hint);
}

// What is no ordinary table at all.
void require_ordinary(const std::string &label, const Kind &kind) {
  static const std::pair<const char *, std::pair<const char *, const char *>> others[] = {
      {"v", {"a view", "Backfill the table it reads; the view follows the table when it is published."}},
      {"m", {"a materialized view", "Backfill the table it reads, then refresh it."}},
      {"f", {"a foreign table", "Plan the backfill in the database that holds the table."}},
      {"i", {"an index", "Name its table."}},
      {"I", {"an index", "Name its table."}},
      {"S", {"a sequence", "Name a table."}},
      {"c", {"a composite type", "Name a table."}},
      {"t", {"a TOAST table", "Name the table it belongs to."}},
  };
  for (const auto &[relkind, words] : others)
    if (kind.relkind == relkind)
      refuse(sqlstate::wrong_object_type, "\"" + label + "\" is " + words.first,
             "A backfill recomputes an ordinary table.", words.second);
  if (kind.system)
    refuse(sqlstate::wrong_object_type, "\"" + label + "\" is a system catalog",
           "A backfill recomputes a table of users.", "Name a table of your own.");
  if (kind.ours)
    refuse(sqlstate::wrong_object_type, "\"" + label + "\" belongs to the extension backfill",
           "Its rows are the ledger of the backfills themselves.", "Name a table of your own.");
}

// Ordinary, but not to be replaced by a rename.
void require_replaceable(const std::string &label, const Kind &kind) {
  if (kind.relkind == "p")
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" is a partitioned table",
           "The strategy partition is not part of this version.", "Name a table that is not partitioned.");
  if (kind.partition)
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" is a partition",
           "The strategy partition is not part of this version.",
           "Detach the partition, backfill it as a table, and attach it again.");
  if (kind.persistence == "t")
    refuse(sqlstate::wrong_object_type, "\"" + label + "\" is a temporary table",
           "Background workers cannot see the temporary tables of a session.", "Backfill an ordinary table.");
  if (kind.persistence == "u")
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" is an unlogged table",
           "A crash empties it, and the backfill's ledger would not know.",
           "Make it logged first: ALTER TABLE … SET LOGGED.");
  if (kind.typed)
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" is a typed table",
           "Its columns are those of a composite type, which the new version would not follow.",
           "Detach it from its type first: ALTER TABLE … NOT OF.");
  if (kind.inherits)
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" takes part in inheritance",
           "The new version would be neither parent nor child.", "Take it out first: ALTER TABLE … NO INHERIT.");
  if (kind.method != "heap")
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" uses the access method \"" + kind.method + "\"",
           "Chunks of blocks are known for heap tables only.", "Backfill a table of access method heap.");
  if (kind.forced)
    refuse(sqlstate::feature_not_supported,
           "\"" + label + "\" has FORCE ROW LEVEL SECURITY and its owner cannot bypass it",
           "Policies would hide rows from the owner, under whom the work runs, and hidden rows would be lost rows.",
           "Give the owner BYPASSRLS, or take FORCE off: ALTER TABLE … NO FORCE ROW LEVEL SECURITY.");
  if (!kind.member_of.empty())
    refuse(sqlstate::feature_not_supported, "\"" + label + "\" belongs to the extension \"" + kind.member_of + "\"",
           "The extension would keep the old version.", "Detach it first: ALTER EXTENSION … DROP TABLE.");
}

constexpr char facts_sql[] = R"(
SELECT c.relname, n.nspname, c.relowner, c.relkind, c.relpersistence, c.relispartition, c.reloftype <> 0 AS typed,
       c.oid < 16384 OR n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast') AS system,
       EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits,
       c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls AS forced, coalesce(am.amname, 'heap') AS method, n.nspname = 'backfill' AS ours,
       (SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
           AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e') AS member_of
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_authid r ON r.oid = c.relowner
  LEFT JOIN pg_am am ON am.oid = c.relam
 WHERE c.oid = $1)";

constexpr char size_sql[] = R"(
SELECT c.relpages, c.reltuples, current_setting('block_size')::int AS page_bytes, pg_relation_size(c.oid) AS heap,
       coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast, pg_indexes_size(c.oid) AS indexes,
       (SELECT 28 + sum(coalesce(s.stawidth, nullif(a.attlen, -1), 32)) FROM pg_attribute a
          LEFT JOIN pg_statistic s ON s.starelid = a.attrelid AND s.staattnum = a.attnum AND NOT s.stainherit
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS width
  FROM pg_class c WHERE c.oid = $1)";

// As the planner does: the density of the last ANALYZE times the pages of now; before the first one, by width.
void read_size(Target *target) {
  pg::Result const found = pg::execute(size_sql, {pg::Param::oid(target->oid)});
  pg::Row const row = found.only();
  target->page_bytes = row.integer("page_bytes");
  target->heap_bytes = row.integer("heap");
  target->toast_bytes = row.integer("toast");
  target->index_bytes = row.integer("indexes");
  target->pages = target->heap_bytes / target->page_bytes;
  double const tuples = row.number("reltuples");
  std::int64_t const pages = row.integer("relpages");
  target->analyzed = tuples >= 0 && (pages > 0 || target->pages == 0);
  double const density = target->analyzed && pages > 0
                             ? tuples / static_cast<double>(pages)
                             : static_cast<double>(target->page_bytes - 24) / std::max(1.0, row.number("width"));
  target->rows = density * static_cast<double>(target->pages);
}

void read_columns(Target *target) {
  pg::Result const found = pg::execute(
      "SELECT attname, format_type(atttypid, atttypmod) AS type, atttypid, attnotnull, attgenerated <> '' AS generated"
      " FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
      {pg::Param::oid(target->oid)});
  for (const pg::Row &row : found)
    target->columns.push_back({row.text("attname"), row.text("type"), row.oid("atttypid"), row.boolean("attnotnull"),
                               row.boolean("generated")});
}

Kind read_kind(Target *target) {
  pg::Result const found = pg::execute(facts_sql, {pg::Param::oid(target->oid)});
  pg::Row const row = found.only();
  target->schema = row.text("nspname");
  target->name = row.text("relname");
  target->owner = row.oid("relowner");
  target->owner_name = pg::role_name(target->owner);
  return {row.text("relkind"),  row.text("relpersistence"), row.text("method"),    row.boolean("relispartition"),
          row.boolean("typed"), row.boolean("inherits"),    row.boolean("system"), row.boolean("forced"),
          row.boolean("ours"),  row.text("member_of")};
}

void require_rights(Oid caller, const Target &target) {
  if (pg::is_member(caller, target.owner)) return;
  throw Error(
      sqlstate::insufficient_privilege, "must be owner of table \"" + target.label() + "\"",
      "It belongs to role \"" + target.owner_name + "\", of which \"" + pg::role_name(caller) + "\" is not a member.",
      "Ask for membership in that role, or have one of its members plan the backfill.");
}

std::string bare_ident(const std::string &name) {
  bool const plain = !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
                     name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
  return plain ? name : quote_ident(name);
}

}  // namespace

const Column *Target::find_column(const std::string &column) const {
  for (const Column &candidate : columns)
    if (candidate.name == column) return &candidate;
  return nullptr;
}

std::string Target::label() const {
  if (schema.starts_with("pg_temp")) return bare_ident(name);
  return bare_ident(schema) + "." + bare_ident(name);
}

Target find_target(const std::string &table) {
  pg::require_writable("a backfill cannot be planned");
  Oid const caller = pg::current_role();
  Target target;
  target.oid = resolve(table);
  if (target.oid == 0) throw no_such_table(table);
  Kind kind = pg::as_extension([&] { return read_kind(&target); });
  require_rights(caller, target);
  require_ordinary(target.label(), kind);
  if (!pg::lock_relation(target.oid, pg::LockMode::access_share) || resolve(table) != target.oid)
    throw Error(sqlstate::object_in_use, "table \"" + table + "\" is being replaced by another session",
                "Its name led to another table while it was being locked.", "Plan again.");
  pg::as_extension([&] {
    kind = read_kind(&target);
    read_columns(&target);
    read_size(&target);
  });
  require_rights(caller, target);
  require_replaceable(target.label(), kind);
  return target;
}

const Column &require_column(const Target &target, const std::string &column, const std::string &path) {
  if (const Column *found = target.find_column(column)) return *found;
  std::vector<std::string> names;
  for (const Column &candidate : target.columns) names.push_back(candidate.name);
  std::string const near = nearest_word(column, names);
  throw Error(sqlstate::undefined_column,
              "column \"" + column + "\" of table \"" + target.label() + "\" does not exist",
              "It is named by " + path + ".",
              near.empty() ? "The columns are " + listed(names) + "." : "Did you mean \"" + near + "\"?");
}

namespace {

struct UniqueIndex {
  std::string name;
  std::vector<std::string> columns;
  bool primary, immediate, valid, partial, expression, nullable, overlapping;
  bool usable() const { return immediate && valid && !partial && !expression && !nullable && !overlapping; }
  std::string flaw() const {
    return !immediate    ? "is deferrable"
           : !valid      ? "is not valid"
           : partial     ? "is partial"
           : expression  ? "is over an expression"
           : nullable    ? "has a column that may be null"
           : overlapping ? "is WITHOUT OVERLAPS"
                         : "";
  }
};

std::vector<UniqueIndex> unique_indexes(Oid table) {
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT c.relname, i.indisprimary, i.indimmediate, i.indisvalid AND i.indisready AND i.indislive AS valid,"
        " i.indpred IS NOT NULL AS partial, i.indexprs IS NOT NULL AS expression, i.indisexclusion AS overlapping,"
        " coalesce(bool_or(NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint u WHERE u.conrelid = i.indrelid"
        "   AND u.contype = 'n' AND NOT u.convalidated AND a.attnum = ANY (u.conkey))), false) AS nullable,"
        " coalesce(array_agg(a.attname::text ORDER BY k.n) FILTER (WHERE a.attname IS NOT NULL), '{}') AS columns"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)"
        " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0"
        " WHERE i.indrelid = $1 AND i.indisunique AND k.n <= i.indnkeyatts"
        " GROUP BY i.indexrelid, c.oid"
        " ORDER BY i.indisprimary DESC, c.relname",
        {pg::Param::oid(table)});
    std::vector<UniqueIndex> indexes;
    for (const pg::Row &row : found)
      indexes.push_back({row.text("relname"), row.texts("columns"), row.boolean("indisprimary"),
                         row.boolean("indimmediate"), row.boolean("valid"), row.boolean("partial"),
                         row.boolean("expression"), row.boolean("nullable"), row.boolean("overlapping")});
    return indexes;
  });
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

Error no_usable_key(const Target &target, const std::vector<UniqueIndex> &indexes,
                    const std::vector<std::string> &wanted) {
  std::string detail = wanted.empty() ? "The table has no primary key that holds at once."
                                      : "No unique index is over exactly (" + listed(wanted) + ").";
  std::string hint =
      "Changed rows are found again by their key: add a primary key, or a unique index on NOT NULL columns.";
  for (const UniqueIndex &index : indexes) {
    bool const meant = wanted.empty() ? index.primary : same_set(index.columns, wanted);
    if (meant && !index.usable()) detail = "Index \"" + index.name + "\" " + index.flaw() + ".";
    if (wanted.empty() && index.usable()) {
      std::string columns;
      for (const std::string &column : index.columns) columns += (columns.empty() ? "" : ", ") + column;
      hint = "The unique index \"" + index.name + "\" would do: say strategy: {key: [" + columns + "]}.";
      break;
    }
  }
  return Error(sqlstate::object_not_in_prerequisite_state, "table \"" + target.label() + "\" has no usable key", detail,
               hint);
}

}  // namespace

std::vector<std::string> find_key(const Target &target, const std::vector<std::string> &wanted) {
  for (std::size_t i = 0; i < wanted.size(); i++) {
    (void)require_column(target, wanted[i], "strategy.key");
    if (std::find(wanted.begin(), wanted.begin() + static_cast<long>(i), wanted[i]) !=
        wanted.begin() + static_cast<long>(i))
      throw Error("42701", "column \"" + wanted[i] + "\" stands twice in strategy.key",
                  "A key names each of its columns once.", "Remove one of them.");
  }
  std::vector<UniqueIndex> const indexes = unique_indexes(target.oid);
  for (const UniqueIndex &index : indexes)
    if (index.usable() && (wanted.empty() ? index.primary : same_set(index.columns, wanted))) return index.columns;
  throw no_usable_key(target, indexes, wanted);
}

bool has_leading_index(const Target &target, const std::string &column) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid = $1 AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL AND a.attname = "
        "$2::name)",
        {pg::Param::oid(target.oid), column});
  });
}

ColumnHistogram read_histogram(const Target &target, const Column &column, const std::string &time_zone) {
  bool const calendar = column.type_oid == 1082 || column.type_oid == 1114 || column.type_oid == 1184;
  std::string const ordinal = calendar ? "extract(epoch FROM v::text::" + column.type + ")::float8" : "v::text::float8";
  return pg::as_extension([&] {
    if (!time_zone.empty()) pg::set_local("TimeZone", time_zone);
    pg::Result const found = pg::execute(
        "SELECT null_frac,"
        " (SELECT array_agg((" +
            ordinal +
            ")::text ORDER BY n) FROM unnest(histogram_bounds::text::text[]) WITH ORDINALITY AS b(v, n)) AS bounds,"
            " (SELECT array_agg((" +
            ordinal +
            ")::text ORDER BY n) FROM unnest(most_common_vals::text::text[]) WITH ORDINALITY AS b(v, n)) AS common,"
            " most_common_freqs::text[] AS freqs"
            " FROM pg_stats WHERE schemaname = $1::name AND tablename = $2::name AND attname = $3::name AND NOT "
            "inherited",
        {target.schema, target.name, column.name});
    ColumnHistogram histogram;
    if (found.empty()) return histogram;
    pg::Row const row = found[0];
    histogram.null_frac = row.number("null_frac");
    for (const std::string &bound : row.texts("bounds")) histogram.bounds.push_back(std::stod(bound));
    std::vector<std::string> const common = row.texts("common"), freqs = row.texts("freqs");
    for (std::size_t i = 0; i < common.size() && i < freqs.size(); i++)
      histogram.common.emplace_back(std::stod(common[i]), std::stod(freqs[i]));
    return histogram;
  });
}

}  // namespace backfill
