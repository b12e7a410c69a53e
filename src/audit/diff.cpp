// What publishing would change (or, after publish, has changed), in scope or in one chunk: rows, columns, samples.
//
//   1. hold both versions still against DDL and swaps (ACCESS SHARE), and see which columns they share;
//   2. pair their rows by key, in one snapshot, the keys that wait in the log left out; count in that one join rows
//      added, removed and changed, of each column how many values change, become null, stop being null, and by how much
//      numbers move.  Only pairs that differ are looked at column by column; what is unchanged is what is left of the
//      new version's rows;
//   3. read the first few rows of each kind.
//
// Rows out of scope are not read: the check `exact` proves them unchanged.  Samples are rows of the table, so this is
// for members of its owner only, and they go nowhere but to the caller.
#include "audit/diff.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "audit/check.hpp"
#include "audit/diff_text.hpp"
#include "core/joined.hpp"
#include "core/range_text.hpp"
#include "core/sql_text.hpp"
#include "core/utf8.hpp"
#include "pg/lock.hpp"

namespace backfill {

namespace {

// A statement can name 1664 values; a percentile sorts the values of its column.
constexpr std::size_t columns_a_statement = 200, sorts_a_statement = 16;
constexpr std::size_t sampled_columns = 8, value_width = 40;
constexpr std::int64_t most_samples = 100;

using Column = TableShape::Column;

std::string of(const char *alias, const std::string &column) { return std::string(alias) + "." + quote_ident(column); }

// ---- what is compared ----

struct Compared {
  std::vector<Column> columns;        // that both have with one type, and those the job adds
  std::vector<std::string> left_out;  // the others
};

std::map<std::string, std::string> column_types(Oid relation) {
  return pg::as_extension([&] {
    std::map<std::string, std::string> types;
    pg::Result const found = pg::execute(
        "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
        {pg::Param::oid(relation)});
    for (const pg::Row &row : found) types[row.text("attname")] = row.text("atttypid");
    return types;
  });
}

Compared compare_columns(const Job &job, const TableShape &shape) {
  bool const published = job.archive != 0;
  std::map<std::string, std::string> before = column_types(published ? job.archive : job.live);
  std::map<std::string, std::string> const after = column_types(published ? job.live : job.shadow);
  Compared compared;
  for (const Column &column : shape.columns) {
    auto const there = before.find(column.name);
    auto const here = after.find(column.name);
    bool const same = there != before.end() && here != after.end() && there->second == here->second;
    if (same || (column.added && there == before.end()))
      compared.columns.push_back(column);
    else
      compared.left_out.push_back(column.name);
    if (there != before.end()) before.erase(there);
  }
  for (const auto &[name, type] : before) compared.left_out.push_back(name);
  return compared;
}

// Before publish the versions are of one shape, or publishing will be refused; afterwards the table may well change.
Compared require_comparable_columns(const Job &job, const TableShape &shape) {
  Compared compared = compare_columns(job, shape);
  bool const key_compared = std::all_of(shape.key.begin(), shape.key.end(), [&](const Column &key) {
    return std::find(compared.left_out.begin(), compared.left_out.end(), key.name) == compared.left_out.end();
  });
  if (compared.left_out.empty() || (job.archive != 0 && key_compared)) return compared;
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "the versions of backfill \"" + job.name + "\" cannot be compared: the table was altered",
              "Columns that only one version has, or with another type: " + joined(compared.left_out) + ".",
              job.archive != 0 ? "Undo that, or compare the tables by hand."
                               : "Undo that, or cancel the backfill with SELECT backfill_cancel(" +
                                     quote_literal(job.name) + "); and plan it again.");
}

// ---- the join ----

// A condition: the values differ, as images: 1.0 is not 1.00, and types without = can be compared.
std::string value_differs(const Column &column) {
  if (column.added) return "num_nulls(" + of("a", column.name) + ") = 0";
  return "ROW(" + of("b", column.name) + ")::record OPERATOR(pg_catalog.*<>) ROW(" + of("a", column.name) + ")::record";
}

std::string row_differs(const std::vector<Column> &columns) {
  std::string before, after, filled;
  for (const Column &column : columns) {
    if (column.added) {
      filled += " OR " + value_differs(column);
      continue;
    }
    before += (before.empty() ? "" : ", ") + of("b", column.name);
    after += (after.empty() ? "" : ", ") + of("a", column.name);
  }
  return "(ROW(" + before + ")::record OPERATOR(pg_catalog.*<>) ROW(" + after + ")::record" + filled + ")";
}

// FROM items: b before, a after.
std::string before(const Scene &scene) { return "(SELECT * FROM " + scene.live + " WHERE " + scene.rows + ") AS b"; }
std::string after(const Scene &scene) { return "(SELECT * FROM " + scene.table + " WHERE " + scene.rows + ") AS a"; }
std::string same_keys(const Scene &scene) { return same_key(scene.shape, "a", "b"); }

std::string is_missing(const Scene &scene, const char *alias) {
  return of(alias, scene.shape.key[0].name) + " IS NULL";
}

// new - old as float8, or null where it is not finite or beyond what its mean could hold; "" for types without numbers.
std::string shift_of(const Column &column) {
  static const std::string numbers[] = {"smallint", "integer", "bigint", "numeric"};
  static const std::string floats[] = {"real", "double precision"};
  static const std::string times[] = {"date", "timestamp without time zone", "timestamp with time zone",
                                      "time without time zone", "interval"};
  auto const is_one_of = [&](const auto &types) {
    return std::find(std::begin(types), std::end(types), column.base_type) != std::end(types);
  };
  if (column.added) return "";
  std::string const b = of("b", column.name), a = of("a", column.name);
  auto const within = [](const std::string &value) { return "abs(" + value + ") < 1e140"; };
  if (is_one_of(floats))
    return "CASE WHEN " + within(a + "::float8") + " AND " + within(b + "::float8") + " THEN " + a + "::float8 - " + b +
           "::float8 END";
  std::string exact;
  if (is_one_of(numbers)) exact = "(" + a + "::numeric - " + b + "::numeric)";
  if (is_one_of(times)) exact = "(extract(epoch FROM " + a + ") - extract(epoch FROM " + b + "))";
  if (exact.empty()) return "";
  return "CASE WHEN " + within(exact) + " THEN round(" + exact + ", 20)::float8 END";
}

bool is_time(const Column &column) {
  return column.base_type == "date" || column.base_type == "interval" || column.base_type.starts_with("time");
}

// A run of columns that one statement measures.
struct Part {
  std::size_t first = 0, last = 0, sorts = 0;
};

Part next_part(const std::vector<Column> &columns, std::size_t first) {
  Part part{first, first, 0};
  for (; part.last < columns.size() && part.last - first < columns_a_statement; part.last++) {
    if (shift_of(columns[part.last]).empty()) continue;
    if (part.sorts == sorts_a_statement) break;
    part.sorts++;
  }
  return part;
}

// c1 ...: null where the value is the same, else 1 changed, 2 now null, 3 was null; d1 ...: by how much.
std::string differences(const Scene &scene, const Compared &compared, const Part &part) {
  std::string list = is_missing(scene, "b") + " AS came, " + is_missing(scene, "a") + " AS gone";
  std::string const paired = "NOT " + is_missing(scene, "b") + " AND NOT " + is_missing(scene, "a");
  auto const null_in = [](const char *alias, const Column &column) {
    return "num_nulls(" + of(alias, column.name) + ") > 0";
  };
  for (std::size_t i = part.first; i < part.last; i++) {
    Column const &column = compared.columns[i];
    std::string const number = std::to_string(i), differs = "(" + paired + ") AND " + value_differs(column);
    std::string const kind = column.added ? "3"
                                          : "CASE WHEN " + null_in("a", column) + " THEN 2 WHEN " +
                                                null_in("b", column) + " THEN 3 ELSE 1 END";
    list += ",\n          CASE WHEN " + differs + " THEN " + kind + " END AS c" + number;
    std::string const shift = shift_of(column);
    if (!shift.empty()) list += ",\n          CASE WHEN " + differs + " THEN " + shift + " END AS d" + number;
  }
  return "(SELECT " + list + "\n     FROM " + before(scene) + "\n     FULL JOIN " + after(scene) + " ON " +
         same_keys(scene) + "\n    WHERE " + is_missing(scene, "a") + " OR " + is_missing(scene, "b") + " OR " +
         row_differs(compared.columns) + "\n   OFFSET 0) AS d";
}

std::string measures(const Compared &compared, const Part &part) {
  std::string list;
  for (std::size_t i = part.first; i < part.last; i++) {
    std::string const c = "d.c" + std::to_string(i), d = "d.d" + std::to_string(i);
    list += ",\n       ARRAY[count(" + c + "), count(*) FILTER (WHERE " + c + " = 2), count(*) FILTER (WHERE " + c +
            " = 3)]::text[]";
    if (!shift_of(compared.columns[i]).empty()) {
      std::string const percentile = "(percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY abs(" + d + ")))";
      list += " || ARRAY[count(" + d + "), avg(abs(" + d + ")), " + percentile + "[1], " + percentile +
              "[2], max(abs(" + d + ")), avg(" + d + ")]::text[]";
    }
    list += " AS m" + std::to_string(i);
  }
  return list;
}

void take_measures(const Column &column, const std::vector<std::string> &values, Difference &difference) {
  auto const count = [&](std::size_t at) { return std::stoll(values[at]); };
  auto const number = [&](std::size_t at) { return std::strtod(values[at].c_str(), nullptr); };
  ColumnDifference found{column.name, count(0), count(1), count(2), {}};
  if (found.changed == 0) return;
  if (values.size() > 3 && count(3) > 0)
    found.shift = {count(3), number(4), number(5), number(6), number(7), number(8), is_time(column)};
  difference.columns.push_back(std::move(found));
}

// Each sort of a percentile, and the hash of the join, takes work_mem: many of them get less each.
void share_memory(std::size_t sorts) {
  pg::set_local("work_mem",
                *pg::query_value("SELECT greatest(least(pg_size_bytes(current_setting('work_mem')), 64 * 1024 * 1024)"
                                 " / $1, 1024 * 1024) / 1024 || 'kB'",
                                 {static_cast<long long>(1 + sorts / 4)}));
}

void measure_part(const Scene &scene, const Compared &compared, const Part &part, Difference &difference) {
  pg::Result const found = scene.query(
      "SELECT count(*) FILTER (WHERE d.came) AS added, count(*) FILTER (WHERE d.gone) AS removed,\n"
      "       count(*) FILTER (WHERE NOT d.came AND NOT d.gone) AS changed,\n"
      "       (SELECT count(*) FROM " +
      after(scene) + ") AS rows" + measures(compared, part) + "\n  FROM " + differences(scene, compared, part));
  pg::Row const row = found.only();
  difference.added = row.integer("added");
  difference.removed = row.integer("removed");
  difference.changed = row.integer("changed");
  difference.unchanged = row.integer("rows") - difference.added - difference.changed;
  for (std::size_t i = part.first; i < part.last; i++)
    take_measures(compared.columns[i], row.texts(("m" + std::to_string(i)).c_str()), difference);
}

void measure(const Scene &scene, const Compared &compared, Difference &difference) {
  Part part = next_part(compared.columns, 0);
  share_memory(part.sorts);
  measure_part(scene, compared, part, difference);
  while (difference.changed > 0 && part.last < compared.columns.size()) {
    part = next_part(compared.columns, part.last);
    share_memory(part.sorts);
    measure_part(scene, compared, part, difference);
  }
}

// ---- samples ----

std::string shown(const std::optional<std::string> &value) {
  if (!value) return "null";
  std::string text;
  for (const char c : *value) text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  if (text.size() <= value_width) return text;
  return std::string(utf8_prefix(text, value_width)) + "...";
}

std::string key_columns(const Scene &scene, const char *alias, const char *cast) {
  std::string list;
  for (const Column &key : scene.shape.key) list += (list.empty() ? "" : ", ") + of(alias, key.name) + cast;
  return list;
}

std::string key_text(const Scene &scene, const std::vector<std::optional<std::string>> &values) {
  std::string text;
  for (std::size_t i = 0; i < scene.shape.key.size(); i++)
    text += (i > 0 ? ", " : "") + scene.shape.key[i].name + " = " + shown(values[i]);
  return text;
}

// Keys that one version has and the other has not.
std::vector<std::string> sample_keys(const Scene &scene, bool added, std::int64_t samples) {
  const char *const alias = added ? "a" : "b";
  pg::Result const rows = scene.query(
      "SELECT " + key_columns(scene, alias, "::text") + "\nFROM " + (added ? after(scene) : before(scene)) +
      "\nWHERE NOT EXISTS (SELECT FROM " + (added ? before(scene) : after(scene)) + " WHERE " + same_keys(scene) +
      ")\nORDER BY " + key_columns(scene, alias, "") + " LIMIT " + std::to_string(samples));
  std::vector<std::string> keys;
  for (const auto &values : rows.values) keys.push_back(key_text(scene, values));
  return keys;
}

std::vector<DiffSamples::Row> sample_changes(const Scene &scene, const Compared &compared, const Difference &difference,
                                             std::int64_t samples) {
  std::size_t const width = std::min(difference.columns.size(), sampled_columns), keys = scene.shape.key.size();
  std::string list = key_columns(scene, "a", "::text");
  for (std::size_t i = 0; i < width; i++) {
    std::string const &name = difference.columns[i].name;
    bool const added = std::any_of(compared.columns.begin(), compared.columns.end(),
                                   [&](const Column &column) { return column.name == name && column.added; });
    list += ", " + (added ? std::string("NULL") : of("b", name) + "::text") + ", " + of("a", name) + "::text";
  }
  pg::Result const rows = scene.query("SELECT " + list + "\nFROM " + before(scene) + "\nJOIN " + after(scene) + " ON " +
                                      same_keys(scene) + "\nWHERE " + row_differs(compared.columns) + "\nORDER BY " +
                                      key_columns(scene, "a", "") + " LIMIT " + std::to_string(samples));
  std::vector<DiffSamples::Row> sampled;
  for (const auto &values : rows.values) {
    DiffSamples::Row row{key_text(scene, values), {}};
    for (std::size_t i = 0; i < width; i++) {
      const auto &was = values[keys + 2 * i], &is = values[keys + 2 * i + 1];
      if (was != is) row.changes.push_back({difference.columns[i].name, shown(was), shown(is)});
    }
    sampled.push_back(std::move(row));
  }
  return sampled;
}

DiffSamples take_samples(const Scene &scene, const Compared &compared, const Difference &difference,
                         std::int64_t samples) {
  DiffSamples taken;
  if (samples == 0) return taken;
  if (difference.changed > 0) taken.changed = sample_changes(scene, compared, difference, samples);
  if (difference.added > 0) taken.added = sample_keys(scene, true, samples);
  if (difference.removed > 0) taken.removed = sample_keys(scene, false, samples);
  return taken;
}

// ---- what may be asked ----

Step find_chunk(const Job &job, std::int64_t number) {
  for (const Step &chunk : range_chunks(job))
    if (chunk.chunk == number) return chunk;
  std::vector<Step> const blocks = load_steps(job.id, "blocks");
  bool const of_blocks =
      std::any_of(blocks.begin(), blocks.end(), [&](const Step &chunk) { return chunk.chunk == number; });
  throw Error(
      sqlstate::invalid_parameter_value,
      "backfill \"" + job.name + "\" has no chunk " + std::to_string(number) + (of_blocks ? " to compare by" : ""),
      of_blocks ? "It is a range of blocks, and the new version has its rows elsewhere." : "",
      "List those to compare by: SELECT chunk, lo, hi FROM backfill.chunks WHERE name = " + quote_literal(job.name) +
          " AND kind = 'range'; or leave the chunk out.");
}

// A chunk can be looked at as soon as it is done: what is not drained yet is left out on both sides.
void require_comparable(const Job &job, const std::optional<Step> &chunk) {
  bool const built = job.state == "ready" || job.state == "published" || (job.shadow != 0 && job.audit > 0);
  bool const chunk_done = chunk && job.shadow != 0 && chunk->status == "done";
  if (job.active() && (built || chunk_done)) return;
  throw Error(sqlstate::object_not_in_prerequisite_state, "backfill \"" + job.name + "\" has nothing to compare",
              !job.active() ? "It is " + job.state + "."
              : chunk       ? "Chunk " + std::to_string(*chunk->chunk) + " is " + chunk->status + "."
                            : "It is " + job.state + ", and its new version is not complete.",
              !job.active()            ? "Ask for the diff before the archive is dropped."
              : job.state == "running" ? "Wait for it: CALL backfill_wait(" + quote_literal(job.name) + ");"
                                       : "Run it first: SELECT backfill_run(" + quote_literal(job.name) + ");");
}

// The job as it is while nobody can swap or alter its tables: a swap takes ACCESS EXCLUSIVE on them.
Job hold_still(const std::string &name) {
  for (Job job = job_for_caller(name);;) {
    for (Oid const relation : {job.live, job.shadow, job.archive})
      if (relation != 0) pg::lock_relation(relation, pg::LockMode::access_share);
    Job now = job_for_caller(name);
    if (now.id == job.id && now.live == job.live && now.shadow == job.shadow && now.archive == job.archive) return now;
    job = std::move(now);
  }
}

std::string which_rows(const Job &job, const std::optional<Step> &chunk) {
  if (chunk)
    return "chunk " + std::to_string(*chunk->chunk) + " (" +
           range_text(chunk->lo.value_or(""), chunk->hi.value_or("")) + ")";
  return job.start ? "scope" : "the table";
}

}  // namespace

std::vector<std::string> diff(const std::string &name, std::optional<std::int64_t> chunk, std::int64_t samples) {
  if (samples < 0 || samples > most_samples)
    throw Error(sqlstate::invalid_parameter_value, "samples must be 0 to " + std::to_string(most_samples), {},
                "Leave it out for 5.");
  Job const job = hold_still(name);
  SceneRange range;
  if (chunk) range.chunk = find_chunk(job, *chunk);
  require_comparable(job, range.chunk);
  TableShape const shape = read_shape(job);
  Compared const compared = require_comparable_columns(job, shape);
  Difference found;
  DiffSamples sampled;
  found.audit = job.audit;
  found.published = job.archive != 0;
  with_scene(job, shape, false, range, [&](const Scene &scene) {
    found.pending = scene.pending;
    found.at = scene.taken_at;
    measure(scene, compared, found);
    sampled = take_samples(scene, compared, found, samples);
  });
  if (!chunk) store_difference(job.id, found);
  return diff_text(job, {shape.schema + "." + shape.table, which_rows(job, range.chunk), compared.left_out}, found,
                   sampled);
}

}  // namespace backfill
