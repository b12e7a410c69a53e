// What publishing would change (or, after publish, has changed), in scope: rows, columns, samples.
//
//   1. pair the rows of both versions by key, in one snapshot, the keys that wait in the log left out;
//   2. count: rows added, removed, changed, unchanged; of each column how many values change, become null, stop
//      being null;
//   3. show the first few rows before and after.
//
// Rows out of scope are not read: the check `exact` proves them unchanged.  Samples are rows of the table, so this is
// for members of its owner only, and goes nowhere but to the caller.
#include <algorithm>

#include "audit/audit.hpp"
#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "core/utf8.hpp"

namespace backfill {

namespace {

constexpr std::size_t columns_a_statement = 200;
constexpr std::size_t samples = 5, sampled_columns = 8, value_width = 40;

struct ColumnDiff {
  std::string name;
  std::int64_t changed = 0, emptied = 0, filled = 0;
};

struct Diff {
  std::int64_t added = 0, removed = 0, changed = 0, unchanged = 0, pending = 0;
  std::vector<ColumnDiff> columns;                // those with a change
  std::vector<std::vector<std::string>> sampled;  // key = value ..., then "column: before -> after"
};

std::string of(const char *alias, const std::string &column) { return std::string(alias) + "." + quote_ident(column); }

// A condition: the values differ, as images: 1.0 is not 1.00, and types without = can be compared.
std::string value_differs(const TableShape::Column &column) {
  if (column.added) return "num_nulls(" + of("a", column.name) + ") = 0";
  return "ROW(" + of("b", column.name) + ")::record OPERATOR(pg_catalog.*<>) ROW(" + of("a", column.name) + ")::record";
}

std::string row_differs(const TableShape &shape) {
  std::string before, after, filled;
  for (const TableShape::Column &column : shape.columns) {
    if (column.added) {
      filled += " OR " + value_differs(column);
      continue;
    }
    before += (before.empty() ? "" : ", ") + of("b", column.name);
    after += (after.empty() ? "" : ", ") + of("a", column.name);
  }
  return "(ROW(" + before + ")::record OPERATOR(pg_catalog.*<>) ROW(" + after + ")::record" + filled + ")";
}

// FROM: b before, a after.
std::string pairs(const Scene &scene) {
  return "(SELECT * FROM " + scene.live + " WHERE " + scene.rows + ") AS b\nFULL JOIN (SELECT * FROM " + scene.table +
         " WHERE " + scene.rows + ") AS a ON " + same_key(scene.shape, "a", "b");
}

std::string is_missing(const Scene &scene, const char *alias) {
  return of(alias, scene.shape.key[0].name) + " IS NULL";
}

// Both there, and different.
std::string changed_pair(const Scene &scene) {
  return "NOT (" + is_missing(scene, "a") + ") AND NOT (" + is_missing(scene, "b") + ") AND " +
         row_differs(scene.shape);
}

void count_pairs(const Scene &scene, Diff &diff) {
  pg::Result const found = scene.query("SELECT count(*) FILTER (WHERE " + is_missing(scene, "b") +
                                       ") AS added,\n"
                                       "       count(*) FILTER (WHERE " +
                                       is_missing(scene, "a") +
                                       ") AS removed,\n"
                                       "       count(*) FILTER (WHERE " +
                                       changed_pair(scene) +
                                       ") AS changed,\n"
                                       "       count(*) AS total\nFROM " +
                                       pairs(scene));
  pg::Row const row = found.only();
  diff.added = row.integer("added");
  diff.removed = row.integer("removed");
  diff.changed = row.integer("changed");
  diff.unchanged = row.integer("total") - diff.added - diff.removed - diff.changed;
}

// count(*) FILTER's of one column, as an array.
std::string column_counts(const TableShape::Column &column) {
  std::string const after_null = "num_nulls(" + of("a", column.name) + ") > 0";
  if (column.added)
    return "count(*) FILTER (WHERE NOT " + after_null + "), 0, count(*) FILTER (WHERE NOT " + after_null + ")";
  std::string const before_null = "num_nulls(" + of("b", column.name) + ") > 0";
  return "count(*) FILTER (WHERE " + value_differs(column) + "), count(*) FILTER (WHERE " + after_null + " AND NOT " +
         before_null + "), count(*) FILTER (WHERE " + before_null + " AND NOT " + after_null + ")";
}

void count_columns(const Scene &scene, Diff &diff) {
  const std::vector<TableShape::Column> &columns = scene.shape.columns;
  for (std::size_t first = 0; first < columns.size(); first += columns_a_statement) {
    std::size_t const last = std::min(first + columns_a_statement, columns.size());
    std::string counts;
    for (std::size_t i = first; i < last; i++) counts += (i > first ? ",\n       " : "") + column_counts(columns[i]);
    pg::Result const found = scene.query("SELECT ARRAY[" + counts + "]::text[] AS counts\nFROM " + pairs(scene) +
                                         "\nWHERE " + changed_pair(scene));
    std::vector<std::string> const values = found.only().texts("counts");
    for (std::size_t i = first; i < last; i++) {
      std::size_t const at = (i - first) * 3;
      ColumnDiff const column{columns[i].name, std::stoll(values[at]), std::stoll(values[at + 1]),
                              std::stoll(values[at + 2])};
      if (column.changed > 0) diff.columns.push_back(column);
    }
  }
}

std::string shown(const std::optional<std::string> &value) {
  if (!value) return "null";
  std::string text;
  for (const char c : *value) text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  if (text.size() <= value_width) return text;
  return std::string(utf8_prefix(text, value_width)) + "...";
}

void take_samples(const Scene &scene, Diff &diff) {
  std::size_t const shown_columns = std::min(diff.columns.size(), sampled_columns);
  std::string list, order;
  std::size_t const keys = scene.shape.key.size();
  for (std::size_t i = 0; i < keys; i++) {
    std::string const key = of("a", scene.shape.key[i].name);
    list += (i > 0 ? ", " : "") + key + "::text";
    order += (i > 0 ? ", " : "") + key;
  }
  for (std::size_t i = 0; i < shown_columns; i++) {
    std::string const &name = diff.columns[i].name;
    bool const added = std::any_of(scene.shape.columns.begin(), scene.shape.columns.end(),
                                   [&](const auto &column) { return column.name == name && column.added; });
    list += ", " + (added ? std::string("NULL") : of("b", name) + "::text") + ", " + of("a", name) + "::text";
  }
  pg::Result const rows = scene.query("SELECT " + list + "\nFROM " + pairs(scene) + "\nWHERE " + changed_pair(scene) +
                                      "\nORDER BY " + order + " LIMIT " + std::to_string(samples));
  for (const auto &values : rows.values) {
    std::string key;
    for (std::size_t i = 0; i < keys; i++)
      key += (i > 0 ? ", " : "") + scene.shape.key[i].name + " = " + shown(values[i]);
    std::vector<std::string> lines = {key};
    for (std::size_t i = 0; i < shown_columns; i++) {
      const auto &before = values[keys + 2 * i], &after = values[keys + 2 * i + 1];
      if (before != after) lines.push_back(diff.columns[i].name + ": " + shown(before) + " -> " + shown(after));
    }
    diff.sampled.push_back(std::move(lines));
  }
}

// ---- telling it ----

std::string padded(const std::string &text, std::size_t width) {
  std::size_t const letters = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  return text + std::string(width > letters ? width - letters : 0, ' ');
}

std::string right(const std::string &text, std::size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

void tell_rows(const Diff &diff, std::vector<std::string> &lines) {
  constexpr std::size_t label = 12;
  std::string const counts[] = {format_count(diff.added), format_count(diff.removed), format_count(diff.changed),
                                format_count(diff.unchanged)};
  constexpr const char *labels[] = {"added", "removed", "changed", "unchanged"};
  std::size_t width = 0;
  for (const std::string &count : counts) width = std::max(width, count.size());
  lines.emplace_back("Rows in scope");
  for (std::size_t i = 0; i < 4; i++) lines.push_back("  " + padded(labels[i], label) + right(counts[i], width));
}

void tell_columns(const Diff &diff, std::vector<std::string> &lines) {
  if (diff.columns.empty()) return;
  std::size_t width = 6;
  for (const ColumnDiff &column : diff.columns) width = std::max(width, column.name.size());
  lines.emplace_back("");
  lines.push_back("Columns" + std::string(width - 5, ' ') + "       changed   became null   filled where null");
  for (const ColumnDiff &column : diff.columns)
    lines.push_back("  " + padded(column.name, width) + right(format_count(column.changed), 14) +
                    right(format_count(column.emptied), 14) + right(format_count(column.filled), 20));
}

void tell_samples(const Diff &diff, std::vector<std::string> &lines) {
  if (diff.sampled.empty()) return;
  lines.emplace_back("");
  lines.emplace_back("First changed rows, before -> after");
  for (const auto &sample : diff.sampled) {
    lines.push_back("  " + sample[0]);
    for (std::size_t i = 1; i < sample.size(); i++) lines.push_back("      " + sample[i]);
  }
}

std::vector<std::string> tell(const Job &job, const TableShape &shape, const Diff &diff) {
  bool const published = job.archive != 0;
  std::string const table = shape.schema + "." + shape.table;
  std::vector<std::string> lines = {
      "Backfill \"" + job.name +
          "\": " + (published ? "what publishing has changed in " + table : "what publishing would change in " + table),
      ""};
  tell_rows(diff, lines);
  tell_columns(diff, lines);
  tell_samples(diff, lines);
  lines.emplace_back("");
  if (diff.pending > 0)
    lines.push_back(format_count(diff.pending) + (diff.pending == 1 ? " key" : " keys") +
                    " written meanwhile and not drained yet left out.");
  lines.emplace_back(job.start ? "Rows out of scope are not read here: the check exact proves them unchanged."
                               : "Every row of the table is in scope.");
  return lines;
}

void require_comparable(const Job &job) {
  bool const built = job.state == "ready" || job.state == "published" || (job.shadow != 0 && job.audit > 0);
  if (built && job.active()) return;
  throw Error(
      sqlstate::object_not_in_prerequisite_state, "backfill \"" + job.name + "\" has nothing to compare",
      job.active() ? "It is " + job.state + ", and its new version is not complete." : "It is " + job.state + ".",
      job.active() ? "Run it first: SELECT backfill_run(" + quote_literal(job.name) + ");"
                   : "Ask for the diff before the archive is dropped.");
}

}  // namespace

std::vector<std::string> diff(const Job &job) {
  require_comparable(job);
  TableShape const shape = read_shape(job);
  Diff found;
  with_scene(job, shape, false, {}, [&](const Scene &scene) {
    found.pending = scene.pending;
    count_pairs(scene, found);
    if (found.changed == 0) return;
    count_columns(scene, found);
    take_samples(scene, found);
  });
  return tell(job, shape, found);
}

}  // namespace backfill
