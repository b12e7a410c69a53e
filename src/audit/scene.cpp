// Scenes: what a check sees.
//
//   1. take a snapshot;
//   2. as the extension, read the keys that this snapshot sees waiting in the capture log: they travel as
//      parameters, for the owner may not read the log;
//   3. as the owner, run the check's statements behind two common table expressions: "backfill pending", those keys, and the
//      subject (the shadow without them) under the target's own name.  So a check reads as if it were written for
//      the target, and sees the new version.
//
// At plan time there is no shadow: a trial explains the same statements over an empty stand-in with the shadow's
// columns, which parses, types and plans all of a check's SQL.
#include "audit/check.hpp"
#include "catalog/placement.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"

namespace backfill {

namespace {

constexpr Oid text_array = 1009;

std::string relation_name(const Job &job, Oid relation) {
  auto const name =
      pg::query_value("SELECT max(oid::regclass::text) FROM pg_class WHERE oid = $1", {pg::Param::oid(relation)});
  if (!name)
    throw Error(sqlstate::undefined_table, "a table of backfill \"" + job.name + "\" no longer exists",
                "It was dropped since the backfill made it.", "Cancel or finish the backfill, and plan it again.");
  return *name;
}

// "k1, k2" or "k1::text AS k1, ..." and the like: `each` with # replaced by the column's number.
std::string key_list(std::size_t columns, const std::string &each) {
  std::string list;
  for (std::size_t i = 1; i <= columns; i++) {
    if (i > 1) list += ", ";
    for (const char c : each) list += c == '#' ? std::to_string(i) : std::string(1, c);
  }
  return list;
}

// The subject, what it is compared with, and the log of the keys in which they may differ.  After publish the subject
// is live, and the archive is what was before.
struct Sides {
  std::string subject, other, log;
  bool reverse = false;
};

// What the table would be without the backfill: the rows that it wrote as they were, the others as they are.
std::string undone(const Job &job, const TableShape &shape, const std::string &live) {
  std::string columns, of_live, same;
  for (const pg::Row &row : pg::execute("SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = $1 AND"
                                        " attnum > 0 AND NOT attisdropped ORDER BY attnum",
                                        {pg::Param::oid(job.archive)})) {
    columns += (columns.empty() ? "" : ", ") + row.text("name");
    of_live += (of_live.empty() ? "l." : ", l.") + row.text("name");
  }
  for (const TableShape::Column &key : shape.key)
    same += (same.empty() ? "" : " AND ") + ("w." + quote_ident(key.name)) + " " + key.equals + " l." +
            quote_ident(key.name);
  std::string const archive = relation_name(job, job.archive);
  return "(SELECT " + columns + " FROM ONLY " + archive + " UNION ALL SELECT " + of_live + " FROM ONLY " + live +
         " AS l WHERE NOT EXISTS (SELECT FROM ONLY " + archive + " AS w WHERE " + same + "))";
}

Sides sides_of(const Job &job, const TableShape &shape, bool pre) {
  std::string const live = qualified(shape.schema, shape.table);
  if (pre) return {live, live, ""};
  bool const published = job.archive != 0;
  Oid const log = published ? job.reverse_log : job.capture_log;
  return {published ? live : relation_name(job, job.shadow),
          !published                   ? live
          : placement_of(job).in_place ? undone(job, shape, live)
                                       : relation_name(job, job.archive),
          log == 0 ? "" : relation_name(job, log), published};
}

// Phase 2.
void read_pending(const Job &job, const Sides &sides, Scene &scene) {
  if (sides.log.empty()) return;
  std::size_t const columns = job.key.size();
  std::string rows = "SELECT op = 't' AS emptied, " + key_list(columns, "k#::text AS k#") + " FROM " + sides.log;
  if (sides.reverse)  // the key a row had before it moved
    rows += " UNION ALL SELECT false, " + key_list(columns, "o#::text") + " FROM " + sides.log + " WHERE op = 'm'";
  pg::Result const found =
      pg::execute("SELECT count(*) FILTER (WHERE NOT emptied) AS keys, coalesce(bool_or(emptied), false) AS emptied, " +
                  key_list(columns, "array_agg(k#) FILTER (WHERE NOT emptied) AS k#") +
                  " FROM (SELECT DISTINCT * FROM (" + rows + ") AS waiting) AS waiting");
  pg::Row const row = found.only();
  if (row.boolean("emptied"))
    throw Error(sqlstate::object_not_in_prerequisite_state, "a TRUNCATE waits to be drained",
                "Until it is, there is nothing to compare.", "Run the statement again later.");
  scene.pending = row.integer("keys");
  if (scene.pending == 0) return;
  for (std::size_t i = 1; i <= columns; i++)
    scene.pending_keys.push_back(pg::Param::of_type(text_array, row.get(("k" + std::to_string(i)).c_str())));
}

std::string rows_condition(const Job &job, const TableShape &shape, const SceneRange &range, bool with_scope) {
  std::string rows;
  const auto also = [&](const std::string &condition) { rows += (rows.empty() ? "" : " AND ") + condition; };
  if (with_scope && range.in_scope) {
    std::string const scope = in_scope_sql(job, shape);
    if (scope != "true") also("(" + scope + ")");
  }
  if (range.chunk) also(within_chunk(shape, *range.chunk));
  if (!range.where.empty()) also("(" + range.where + "\n)");
  if (!range.sample.empty()) also(range.sample);
  return rows.empty() ? "true" : rows;
}

Scene open_scene(const Job &job, const TableShape &shape, bool pre, const SceneRange &range) {
  Scene scene(job, shape);
  scene.pre = pre;
  scene.table = quote_ident(shape.table);
  scene.rows = rows_condition(job, shape, range, true);
  scene.filter = rows_condition(job, shape, range, false);
  if (range.chunk) scene.chunk = range.chunk->chunk;
  return scene;
}

std::string column_stand_in(const TableShape::Column &column) {
  std::string const value = "NULL::" + column.type;
  return (column.collation.empty() ? value : "(" + value + " COLLATE " + column.collation + ")") + " AS " +
         quote_ident(column.name);
}

std::string stand_in(const TableShape &shape) {
  std::string columns;
  for (const TableShape::Column &column : shape.columns)
    columns += (columns.empty() ? "" : ", ") + column_stand_in(column);
  return "SELECT " + columns + " WHERE false";
}

// What EXPLAIN says is of no interest; the statement's result would have been one row of zeros.
pg::Result explain(const std::string &sql, const std::string &path) {
  try {
    pg::execute("EXPLAIN " + sql);
  } catch (const Error &failure) {
    throw Error(
        failure.sqlstate, "the check at \"" + path + "\" cannot run: " + failure.what(), failure.detail,
        failure.hint.empty() ? "Its SQL is run as the table's owner, with the search_path of the plan." : failure.hint);
  }
  pg::Result zeros;
  zeros.columns = {"measured", "population"};
  zeros.values = {{"0", "0"}};
  return zeros;
}

}  // namespace

std::string Scene::settled(const std::string &alias) const {
  if (pending == 0) return "true";
  return "NOT EXISTS (SELECT FROM \"backfill pending\" AS p WHERE " + key_matches(shape, alias, "p") + ")";
}

std::string Scene::with() const {
  std::string ctes = "WITH ";
  if (pending > 0) {
    std::string casts;
    for (std::size_t i = 1; i <= shape.key.size(); i++) {
      std::string const column = "k" + std::to_string(i);
      casts += (i > 1 ? ", " : "") + ("u." + column) + "::" + shape.key[i - 1].type + " AS " + column;
    }
    ctes += "\"backfill pending\" AS (SELECT " + casts + " FROM unnest(" + key_list(shape.key.size(), "$#::text[]") +
            ") AS u(" + key_list(shape.key.size(), "k#") + ")),\n     ";
  }
  std::string const source =
      trial && !pre ? stand_in(shape)
                    : "SELECT * FROM " + shadow + " AS s" + (pending > 0 ? " WHERE " + settled("s") : std::string());
  return ctes + table + " AS NOT MATERIALIZED (" + source + ")\n";
}

pg::Result Scene::query(const std::string &select) const {
  std::string const text = with() + select;
  sql += (sql.empty() ? "" : ";\n") + text;
  return trial ? explain(text, path) : pg::execute(text, pending_keys);
}

std::string Scene::drained() const { return trial && !pre ? table : shadow + " AS " + table; }

std::int64_t Scene::insert(const std::string &into, const std::string &select) const {
  return static_cast<std::int64_t>(pg::execute("INSERT INTO " + into + "\n" + with() + select, pending_keys).processed);
}

void with_scene(const Job &job, const TableShape &shape, bool pre, const SceneRange &range,
                const std::function<void(const Scene &)> &fn) {
  Scene scene = open_scene(job, shape, pre, range);
  Sides sides;
  pg::with_snapshot([&] {
    pg::as_extension([&] {
      scene.taken_at = *pg::query_value("SELECT clock_timestamp()::text");
      sides = sides_of(job, shape, pre);
      read_pending(job, sides, scene);
    });
    scene.shadow = sides.subject;
    scene.live = scene.pending == 0
                     ? sides.other + " AS " + scene.table
                     : "(SELECT * FROM " + sides.other + " AS s WHERE " + scene.settled("s") + ") AS " + scene.table;
    as_job_owner(job, [&] { fn(scene); });
  });
}

void with_trial(const Job &job, const TableShape &shape, bool pre, const SceneRange &range, const std::string &path,
                const std::function<void(const Scene &)> &fn) {
  Scene scene = open_scene(job, shape, pre, range);
  scene.trial = true;
  scene.path = path;
  std::string const live = qualified(shape.schema, shape.table);
  scene.shadow = pre ? live : "";
  scene.live = live + " AS " + scene.table;
  as_job_owner(job, [&] { fn(scene); });
}

std::string within_chunk(const TableShape &shape, const Step &chunk) {
  std::string const column = quote_ident(shape.table) + "." + quote_ident(shape.chunk_column);
  std::string condition;
  if (chunk.lo) condition = column + " >= " + quote_literal(*chunk.lo) + "::" + shape.chunk_type;
  if (chunk.hi)
    condition +=
        (condition.empty() ? "" : " AND ") + column + " < " + quote_literal(*chunk.hi) + "::" + shape.chunk_type;
  return condition.empty() ? "true" : condition;
}

}  // namespace backfill
