// Every part is a comparison of two catalogs and the statements that make the second like the first; where they agree
// already nothing is run, so that no lock is asked for in vain.
//
// The statements are the extension's; a constraint is validated as the owner, since ALTER TABLE evaluates it as whoever
// runs it, and expressions of indexes are evaluated as the owner by the server itself.
#include "copy/shape.hpp"

#include <functional>
#include <optional>
#include <set>

#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/clone_index.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"

namespace backfill {
namespace {

using pg::Param;

std::vector<Param> both(const Versions &versions) { return {Param::oid(versions.from), Param::oid(versions.to)}; }

std::string alter(const Versions &versions) { return "ALTER TABLE " + table_sql(versions.to) + " "; }

std::string comment_sql(const pg::Row &row, const char *column) {
  return row.null(column) ? std::string("NULL") : quote_literal(row.text(column));
}

// ---- settings ----

void align_columns(const Versions &versions) {
  const pg::Result rows = pg::execute(R"(
    SELECT f.attname, f.attrelid AS from, t.attrelid AS to, coalesce(f.attstattarget, -1) AS target,
           coalesce(f.attstattarget, -1) <> coalesce(t.attstattarget, -1) AS retarget,
           CASE f.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END AS storage,
           f.attstorage <> t.attstorage AS restore,
           CASE f.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE 'default' END AS compression,
           f.attcompression <> t.attcompression AS recompress,
           (SELECT string_agg(format('%s = %s', split_part(o, '=', 1), quote_literal(split_part(o, '=', 2))), ', ')
              FROM unnest(f.attoptions) AS o
             WHERE split_part(o, '=', 1) IN ('n_distinct', 'n_distinct_inherited')
               AND o <> ALL (coalesce(t.attoptions, '{}'))) AS options,
           (SELECT string_agg(split_part(o, '=', 1), ', ') FROM unnest(t.attoptions) AS o
             WHERE split_part(o, '=', 1) IN ('n_distinct', 'n_distinct_inherited')
               AND NOT EXISTS (SELECT FROM unnest(f.attoptions) AS k WHERE split_part(k, '=', 1) = split_part(o, '=', 1)))
             AS no_options,
           col_description(f.attrelid, f.attnum) AS comment,
           col_description(f.attrelid, f.attnum) IS DISTINCT FROM col_description(t.attrelid, t.attnum) AS recomment
    FROM pg_attribute f JOIN pg_attribute t ON t.attrelid = $2 AND t.attname = f.attname AND t.atttypid = f.atttypid
    WHERE f.attrelid = $1 AND f.attnum > 0 AND NOT f.attisdropped AND NOT t.attisdropped ORDER BY f.attnum)",
                                      both(versions));
  for (const pg::Row row : rows) {
    const std::string name = quote_ident(row.text("attname")), column = alter(versions) + "ALTER COLUMN " + name;
    if (row.boolean("retarget")) pg::execute(column + " SET STATISTICS " + row.text("target"));
    if (row.boolean("restore")) pg::execute(column + " SET STORAGE " + row.text("storage"));
    if (row.boolean("recompress")) pg::execute(column + " SET COMPRESSION " + row.text("compression"));
    if (!row.null("options")) pg::execute(column + " SET (" + row.text("options") + ")");
    if (!row.null("no_options")) pg::execute(column + " RESET (" + row.text("no_options") + ")");
    if (row.boolean("recomment"))
      pg::execute("COMMENT ON COLUMN " + table_sql(versions.to) + "." + name + " IS " + comment_sql(row, "comment"));
  }
}

void align_options(const Versions &versions, bool autovacuum) {
  std::vector<std::string> set, reset;
  std::set<std::string> wanted, same;
  for (const Option &option : options_of(versions.from)) {
    if (option.autovacuum && !autovacuum) continue;
    wanted.insert(option.name);
    same.insert(option.name + "=" + option.value);
    set.push_back(option.name + " = " + quote_literal(option.value));
  }
  std::size_t found = 0;
  for (const Option &option : options_of(versions.to)) {
    if (option.autovacuum && !autovacuum) continue;
    if (wanted.count(option.name) == 0) reset.push_back(option.name);
    if (same.count(option.name + "=" + option.value) > 0) found++;
  }
  if (found < same.size()) pg::execute(alter(versions) + "SET (" + joined(set) + ")");
  if (!reset.empty()) pg::execute(alter(versions) + "RESET (" + joined(reset) + ")");
}

void align_marks(const Job &job, const Versions &versions) {
  constexpr char marks_sql[] = R"(
    SELECT c.relreplident,
           (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) AS identity_index,
           (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisclustered AND i.indisvalid) AS cluster_index
    FROM pg_class c WHERE c.oid = $1)";
  const pg::Result wanted = pg::execute(marks_sql, {Param::oid(versions.from)});
  const pg::Result present = pg::execute(marks_sql, {Param::oid(versions.to)});
  const pg::Row want = wanted.only(), have = present.only();
  const auto twin = [&](const char *column) -> std::string {
    const std::string name = want.null(column) ? "" : versions.twin(job, want.text(column));
    return name.empty() || !pg::query_boolean(
                               "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                               " WHERE i.indrelid = $1 AND c.relname = $2)",
                               {Param::oid(versions.to), name})
               ? ""
               : name;
  };
  const std::string kind = want.text("relreplident"), index = twin("identity_index"), cluster = twin("cluster_index");
  if (kind == "i" && !index.empty() && (have.text("relreplident") != "i" || have.text("identity_index") != index))
    pg::execute(alter(versions) + "REPLICA IDENTITY USING INDEX " + quote_ident(index));
  if (kind != "i" && kind != have.text("relreplident"))
    pg::execute(alter(versions) + "REPLICA IDENTITY " + (kind == "f" ? "FULL" : kind == "n" ? "NOTHING" : "DEFAULT"));
  if (want.null("cluster_index") && !have.null("cluster_index")) pg::execute(alter(versions) + "SET WITHOUT CLUSTER");
  if (!cluster.empty() && have.text("cluster_index") != cluster)
    pg::execute(alter(versions) + "CLUSTER ON " + quote_ident(cluster));
}

// Statistics objects are paired by what they are about, and the order of their OIDs.
constexpr char statistics_pairs_sql[] = R"(
  WITH objects AS (
    SELECT s.*, n.nspname, about, row_number() OVER (PARTITION BY stxrelid, about ORDER BY s.oid) AS place
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
    CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef_columns(s.oid) || ' ' || s.stxkind::text) AS d (about)
    WHERE s.stxrelid IN ($1, $2)),
  old AS (SELECT * FROM objects WHERE stxrelid = $1), copy AS (SELECT * FROM objects WHERE stxrelid = $2))";

void align_statistics(const Versions &versions) {
  const pg::Result rows = pg::execute(std::string(statistics_pairs_sql) + R"(
    SELECT copy.nspname, copy.stxname, pg_get_userbyid(old.stxowner) AS owner, old.stxowner <> copy.stxowner AS reown,
           coalesce(old.stxstattarget, -1) AS target, coalesce(old.stxstattarget, -1) <> coalesce(copy.stxstattarget, -1) AS retarget
    FROM old JOIN copy USING (about, place))",
                                      both(versions));
  for (const pg::Row row : rows) {
    const std::string object = "ALTER STATISTICS " + qualified(row.text("nspname"), row.text("stxname"));
    if (row.boolean("reown")) pg::execute(object + " OWNER TO " + quote_ident(row.text("owner")));
    if (row.boolean("retarget")) pg::execute(object + " SET STATISTICS " + row.text("target"));
  }
}

void align_comments(const Job &job, const Versions &versions) {
  const std::string to = table_sql(versions.to);
  const pg::Result table = pg::execute(
      "SELECT obj_description($1, 'pg_class') AS comment, obj_description($1, 'pg_class') IS DISTINCT FROM"
      " obj_description($2, 'pg_class') AS differs",
      both(versions));
  if (table.only().boolean("differs"))
    pg::execute("COMMENT ON TABLE " + to + " IS " + comment_sql(table.only(), "comment"));
  const pg::Result checks = pg::execute(
      "SELECT f.conname, obj_description(f.oid, 'pg_constraint') AS comment FROM pg_constraint f JOIN pg_constraint t"
      " ON t.conrelid = $2 AND t.conname = f.conname AND t.contype = f.contype WHERE f.conrelid = $1 AND f.contype = "
      "'c'"
      " AND obj_description(f.oid, 'pg_constraint') IS DISTINCT FROM obj_description(t.oid, 'pg_constraint')",
      both(versions));
  for (const pg::Row row : checks)
    pg::execute("COMMENT ON CONSTRAINT " + quote_ident(row.text("conname")) + " ON " + to + " IS " +
                comment_sql(row, "comment"));
  const pg::Result indexes = pg::execute(
      "SELECT n.nspname, x.relname, obj_description(x.oid, 'pg_class') AS comment, k.oid IS NOT NULL AS constrains,"
      " obj_description(k.oid, 'pg_constraint') AS constraint_comment FROM pg_index i"
      " JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace"
      " LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')"
      " WHERE i.indrelid = $1",
      {Param::oid(versions.from)});
  for (const pg::Row row : indexes) {
    const std::string name = versions.twin(job, row.text("relname"));
    const pg::Result twin = pg::execute(
        "SELECT obj_description(x.oid, 'pg_class') AS comment, obj_description(k.oid, 'pg_constraint') AS "
        "constraint_comment"
        " FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = x.oid"
        " AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') WHERE i.indrelid = $1 AND x.relname = $2",
        {Param::oid(versions.to), name});
    if (twin.empty()) continue;
    if (twin[0].get("comment") != row.get("comment"))
      pg::execute("COMMENT ON INDEX " + qualified(row.text("nspname"), name) + " IS " + comment_sql(row, "comment"));
    if (row.boolean("constrains") && twin[0].get("constraint_comment") != row.get("constraint_comment"))
      pg::execute("COMMENT ON CONSTRAINT " + quote_ident(name) + " ON " + to + " IS " +
                  comment_sql(row, "constraint_comment"));
  }
}

// ---- indexes ----

struct Index {
  std::string name, schema;
  Oid oid = 0;
  bool valid = false, spared = false;  // spared: primary, or unique on the job's key
  std::string definition;              // but for its name and table
  std::string statement;
};

// attnums are told by names, so definitions of two tables compare.
std::vector<Index> indexes_of(const Job &job, Oid table) {
  const pg::Result rows = pg::execute(R"(
    SELECT x.oid, x.relname, n.nspname, i.indisvalid,
           i.indisprimary OR (i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
             AND (SELECT array_agg(a.attname::text ORDER BY a.attname COLLATE "C") FROM pg_attribute a
                   WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
                 = (SELECT array_agg(k ORDER BY k COLLATE "C") FROM unnest($2::text[]) AS k)) AS spared,
           concat_ws(' ', i.indisunique, substring(pg_get_indexdef(x.oid) FROM ' USING .*$'), k.contype,
                     pg_get_constraintdef(k.oid)) AS definition,
           coalesce('ALTER TABLE ' || i.indrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' '
                      || pg_get_constraintdef(k.oid), pg_get_indexdef(x.oid)) AS statement
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = $1 ORDER BY x.relname COLLATE "C")",
                                      {Param::oid(table), Param(job.key)});
  std::vector<Index> indexes;
  for (const pg::Row row : rows)
    indexes.push_back({row.text("relname"), row.text("nspname"), row.oid("oid"), row.boolean("indisvalid"),
                       row.boolean("spared"), row.text("definition"), row.text("statement")});
  return indexes;
}

const Index *find(const std::vector<Index> &indexes, const std::function<bool(const Index &)> &fits) {
  for (const Index &index : indexes)
    if (fits(index)) return &index;
  return nullptr;
}

// An index that was renamed since has a twin under another name.
void rename_twins(const Job &job, const Versions &versions) {
  std::vector<Index> twins = indexes_of(job, versions.to);
  const std::vector<Index> indexes = indexes_of(job, versions.from);
  std::set<std::string> taken;
  for (const Index &index : indexes) taken.insert(versions.twin(job, index.name));
  for (const Index &index : indexes) {
    const std::string name = versions.twin(job, index.name);
    if (find(twins, [&](const Index &twin) { return twin.name == name; }) != nullptr) continue;
    const Index *const other = find(twins, [&](const Index &twin) {
      return twin.definition == index.definition && taken.count(twin.name) == 0 && twin.valid == index.valid;
    });
    if (other == nullptr) continue;
    pg::execute("ALTER INDEX " + qualified(other->schema, other->name) + " RENAME TO " + quote_ident(name));
    twins = indexes_of(job, versions.to);
  }
}

// A name that only a twin has.
bool is_twin_name(const Job &job, const Versions &versions, const std::string &name) {
  const std::string ending = versions.twin(job, "");
  return name.size() >= ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

void drop_widows(const Job &job, const Versions &versions) {
  const std::vector<Index> indexes = indexes_of(job, versions.from);
  for (const Index &twin : indexes_of(job, versions.to)) {
    const Index *const index =
        find(indexes, [&](const Index &candidate) { return versions.twin(job, candidate.name) == twin.name; });
    if (index != nullptr && index->definition == twin.definition) continue;
    if (!twin.valid || twin.spared || !is_twin_name(job, versions, twin.name)) continue;
    const bool constrains = pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1 AND conindid = $2 AND contype IN ('p', 'u', "
        "'x'))",
        {Param::oid(versions.to), Param::oid(twin.oid)});
    pg::execute(constrains ? alter(versions) + "DROP CONSTRAINT " + quote_ident(twin.name)
                           : "DROP INDEX " + qualified(twin.schema, twin.name));
  }
}

// Statistics targets of an expression index's columns.
void copy_index_targets(Oid index, const std::string &copy) {
  const pg::Result rows = pg::execute(
      "SELECT attnum, attstattarget FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND attstattarget >= 0",
      {Param::oid(index)});
  for (const pg::Row row : rows)
    pg::execute("ALTER INDEX " + copy + " ALTER COLUMN " + row.text("attnum") + " SET STATISTICS " +
                row.text("attstattarget"));
}

// ---- what a table demands ----

void loosen_columns(const Versions &versions) {
  const pg::Result rows = pg::execute(R"(
    SELECT f.attname, t.attnotnull AND NOT f.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS value,
           f.attgenerated = '' AND t.attgenerated = '' AND f.attidentity = '' AND t.attidentity = ''
             AND pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM pg_get_expr(e.adbin, e.adrelid) AS redefault
    FROM pg_attribute f JOIN pg_attribute t ON t.attrelid = $2 AND t.attname = f.attname AND NOT t.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = f.attrelid AND d.adnum = f.attnum
    LEFT JOIN pg_attrdef e ON e.adrelid = t.attrelid AND e.adnum = t.attnum
    WHERE f.attrelid = $1 AND f.attnum > 0 AND NOT f.attisdropped ORDER BY f.attnum)",
                                      both(versions));
  for (const pg::Row row : rows) {
    const std::string column = alter(versions) + "ALTER COLUMN " + quote_ident(row.text("attname"));
    if (row.boolean("nullable")) pg::execute(column + " DROP NOT NULL");
    if (row.boolean("redefault"))
      pg::execute(column + (row.null("value") ? " DROP DEFAULT" : " SET DEFAULT " + row.text("value")));
  }
}

void drop_old_checks(const Versions &versions) {
  const pg::Result rows = pg::execute(
      "SELECT t.conname FROM pg_constraint t WHERE t.conrelid = $2 AND t.contype = 'c' AND NOT EXISTS ("
      " SELECT FROM pg_constraint f WHERE f.conrelid = $1 AND f.contype = 'c' AND f.conname = t.conname"
      " AND regexp_replace(pg_get_constraintdef(f.oid), ' NOT VALID$', '')"
      "   = regexp_replace(pg_get_constraintdef(t.oid), ' NOT VALID$', '')) ORDER BY t.conname",
      both(versions));
  for (const pg::Row row : rows) pg::execute(alter(versions) + "DROP CONSTRAINT " + quote_ident(row.text("conname")));
}

// Runs it in a subtransaction; what its rows or its columns do not allow is told.
void attempt(const std::string &what, const std::string &statement, std::vector<std::string> &left,
             const std::function<void()> &work) {
  try {
    pg::subtransaction(work);
  } catch (const Error &failure) {
    const std::string kind = failure.sqlstate.substr(0, 2);
    if (kind == "57" || kind == "40" || kind == "53" || failure.sqlstate == sqlstate::lock_not_available) throw;
    left.push_back(what + " (" + failure.what() + "): " + statement + ";");
  }
}

// From PostgreSQL 18 on, NOT NULL is a constraint with a name.
void tighten_columns(const Job &job, const Versions &versions, std::vector<std::string> &left) {
  const pg::Result rows = pg::execute(
      "SELECT f.attname, (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'n'"
      "   AND k.conkey = ARRAY[f.attnum] AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = $2"
      "   AND o.conname = k.conname)) AS constraint_name FROM pg_attribute f JOIN pg_attribute t ON t.attrelid = $2 "
      "AND t.attname = f.attname"
      " AND NOT t.attisdropped WHERE f.attrelid = $1 AND f.attnum > 0 AND NOT f.attisdropped"
      " AND f.attnotnull AND NOT t.attnotnull ORDER BY f.attnum",
      both(versions));
  for (const pg::Row row : rows) {
    const std::string name = quote_ident(row.text("attname"));
    const std::string column =
        row.null("constraint_name")
            ? " ALTER COLUMN " + name + " SET NOT NULL"
            : " ADD CONSTRAINT " + quote_ident(row.text("constraint_name")) + " NOT NULL " + name;
    attempt("NOT NULL of column " + row.text("attname"),
            "ALTER TABLE " + qualified(job.target_schema, job.target_name) + column, left, [&] {
              pg::as_owner(
                  job.owner, [&] { pg::execute(alter(versions) + column); }, job.search_path);
            });
  }
}

void add_new_checks(const Job &job, const Versions &versions, std::vector<std::string> &left) {
  const pg::Result rows = pg::execute(R"(
    SELECT f.conname, f.convalidated, regexp_replace(pg_get_constraintdef(f.oid), ' NOT VALID$', '') AS definition,
           EXISTS (SELECT FROM pg_constraint t WHERE t.conrelid = $2 AND t.conname = f.conname) AS there,
           EXISTS (SELECT FROM pg_constraint t WHERE t.conrelid = $2 AND t.conname = f.conname AND t.convalidated) AS holds
    FROM pg_constraint f
    WHERE f.conrelid = $1 AND f.contype = 'c' AND NOT EXISTS (
      SELECT FROM unnest(f.conkey) AS k JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k
       WHERE NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = $2 AND t.attname = a.attname AND NOT t.attisdropped))
    ORDER BY f.conname)",
                                      both(versions));
  for (const pg::Row row : rows) {
    const std::string name = quote_ident(row.text("conname")), target = qualified(job.target_schema, job.target_name);
    if (!row.boolean("there"))
      pg::execute(alter(versions) + "ADD CONSTRAINT " + name + " " + row.text("definition") + " NOT VALID");
    if (!row.boolean("convalidated") || row.boolean("holds")) continue;
    attempt("constraint " + name + ", which holds for new rows only",
            "ALTER TABLE " + target + " VALIDATE CONSTRAINT " + name, left, [&] {
              pg::as_owner(
                  job.owner, [&] { pg::execute(alter(versions) + "VALIDATE CONSTRAINT " + name); }, job.search_path);
            });
  }
}

// Columns that `to` lacks are no place for an index.
bool needs_missing_column(const Versions &versions, Oid object, const char *catalog) {
  return pg::query_boolean(
      std::string("SELECT EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum ="
                  " d.refobjsubid WHERE d.classid = '") +
          catalog +
          "'::regclass AND d.objid IN (SELECT $3::oid UNION ALL SELECT k.oid FROM pg_constraint k WHERE k.conindid = "
          "$3)"
          " AND d.refobjid = $1 AND NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = $2"
          " AND t.attname = a.attname AND NOT t.attisdropped))",
      {Param::oid(versions.from), Param::oid(versions.to), Param::oid(object)});
}

void build_new_indexes(const Job &job, const Versions &versions, std::vector<std::string> &left) {
  const std::vector<Index> twins = indexes_of(job, versions.to);
  for (const Index &index : indexes_of(job, versions.from)) {
    const std::string name = versions.twin(job, index.name);
    if (!index.valid || find(twins, [&](const Index &twin) { return twin.name == name; }) != nullptr) continue;
    if (needs_missing_column(versions, index.oid, "pg_class") ||
        needs_missing_column(versions, index.oid, "pg_constraint"))
      continue;
    attempt("index " + quote_ident(index.name), index.statement, left, [&] { copy_index(job, index.oid, versions); });
  }
}

void match_statistics(const Job &job, const Versions &versions, std::vector<std::string> &left) {
  const pg::Result gone =
      pg::execute(std::string(statistics_pairs_sql) +
                      " SELECT copy.nspname, copy.stxname FROM copy WHERE NOT EXISTS (SELECT FROM old"
                      " WHERE old.about = copy.about AND old.place = copy.place)",
                  both(versions));
  for (const pg::Row row : gone)
    if (is_twin_name(job, versions, row.text("stxname")))
      pg::execute("DROP STATISTICS " + qualified(row.text("nspname"), row.text("stxname")));
  const pg::Result fresh = pg::execute(
      std::string(statistics_pairs_sql) +
          " SELECT old.oid, old.nspname, old.stxname, pg_get_statisticsobjdef_columns(old.oid) AS columns,"
          " pg_get_statisticsobjdef(old.oid) AS statement, pg_get_userbyid(old.stxowner) AS owner,"
          " (SELECT string_agg(CASE k WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' WHEN 'm' THEN 'mcv' END, "
          "', ')"
          "    FROM unnest(old.stxkind) AS k) AS kinds,"
          " obj_description(old.oid, 'pg_statistic_ext') AS comment FROM old WHERE NOT EXISTS (SELECT FROM copy"
          " WHERE old.about = copy.about AND old.place = copy.place)",
      both(versions));
  for (const pg::Row row : fresh) {
    if (needs_missing_column(versions, row.oid("oid"), "pg_statistic_ext")) continue;
    const std::string name = qualified(row.text("nspname"), versions.twin(job, row.text("stxname")));
    attempt("statistics object " + row.text("stxname"), row.text("statement"), left, [&] {
      pg::execute("CREATE STATISTICS " + name + (row.null("kinds") ? "" : " (" + row.text("kinds") + ")") + " ON " +
                  row.text("columns") + " FROM " + table_sql(versions.to));
      pg::execute("ALTER STATISTICS " + name + " OWNER TO " + quote_ident(row.text("owner")));
      if (!row.null("comment")) pg::execute("COMMENT ON STATISTICS " + name + " IS " + comment_sql(row, "comment"));
    });
  }
}

}  // namespace

std::string table_sql(Oid relation) {
  const pg::Result found = pg::execute(
      "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
      {Param::oid(relation)});
  return qualified(found.only().text("nspname"), found.only().text("relname"));
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

void align_settings(const Job &job, const Versions &versions, bool autovacuum) {
  pg::as_extension([&] {
    align_columns(versions);
    align_options(versions, autovacuum);
    align_marks(job, versions);
    align_statistics(versions);
    align_comments(job, versions);
  });
}

void loosen(const Job &job, const Versions &versions) {
  pg::as_extension([&] {
    rename_twins(job, versions);
    drop_widows(job, versions);
    drop_old_checks(versions);
    loosen_columns(versions);
  });
}

std::vector<std::string> tighten(const Job &job, const Versions &versions) {
  return pg::as_extension([&] {
    std::vector<std::string> left;
    build_new_indexes(job, versions, left);
    add_new_checks(job, versions, left);
    tighten_columns(job, versions, left);
    match_statistics(job, versions, left);
    return left;
  });
}

void copy_index(const Job &job, Oid index, const Versions &versions) {
  pg::as_extension([&] {
    const pg::Result found = pg::execute(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indexrelid = $1 AND i.indrelid = $2",
        {Param::oid(index), Param::oid(versions.from)});
    const std::string table = qualified(job.target_schema, job.target_name);
    if (found.empty())
      throw Error(sqlstate::undefined_object, "an index of table " + table + " was dropped since the plan",
                  "The backfill was to build a copy of the index with OID " + std::to_string(index) + ".",
                  "Cancel the backfill and plan it again.");
    const std::string name = versions.twin(job, found.only().text("relname"));
    const auto built = [&] {
      return pg::execute(
          "SELECT c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
          " WHERE i.indrelid = $1 AND c.relname = $2",
          {Param::oid(versions.to), name});
    };
    if (!built().empty()) return;
    if (!found.only().boolean("indisvalid")) {
      pg::warning(
          "index " + quote_ident(found.only().text("relname")) + " of table " + table + " is invalid and was left out",
          {}, "Drop it, or REINDEX it before the backfill is planned.");
      return;
    }
    // Functions of expressions and predicates may rely on it, as they do when rows are written.
    pg::set_local("search_path", job.search_path);
    pg::clone_index(index, versions.to, name);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    copy_index_targets(index, table_sql(built().only().oid("oid")));
    align_comments(job, versions);
  });
}

}  // namespace backfill
