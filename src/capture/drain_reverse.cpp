// Draining the reverse log: keep the archive such that a rollback undoes the backfill and only the backfill.
//
//   1. In one snapshot take log rows, all of them where keys moved.
//   2. Replay them by LSN, in memory, to learn of each key touched where its row came from: a row of the archive (its
//      origin, perhaps under another key) with some columns changed since, or a row inserted since.
//   3. In one statement take all rows with these keys (old and new) out of the archive, and put in those that live has
//      now: of a row with an origin only the columns that writers changed come from live, of others all.
//   4. Put the keys into the capture log, each with what became of its row (carried.hpp): after a rollback the shadow's
//      rows are derived again.
//
// Where publishing wrote to the table in service (strategy merge), the archive has only rows that it wrote, as they are to be
// after a rollback.  A row without one there gets none: what writers did to it stays in the table anyway.
//
// Whether a key exists and what it holds is always read from live, as of the snapshot; only the origin is replayed.  So
// a log row taken early or late costs at most that a row is carried whole.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capture/carried.hpp"
#include "capture/conflict.hpp"
#include "capture/drain.hpp"
#include "capture/log.hpp"
#include "catalog/placement.hpp"
#include "core/sql_text.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"

namespace backfill {

namespace {

struct Change {
  char op;
  std::uint64_t lsn;
  KeyText key, old_key;      // old_key: of ops 'm' and 'k' only
  std::vector<int> columns;  // attribute numbers of live
};

// Where the row that now has a key came from.
struct Lineage {
  enum { kept, inserted, gone } fate = kept;
  KeyText origin;         // of kept: the key its row has in the archive
  std::set<int> changed;  // of kept
  std::uint64_t lsn = 0;  // of the last change
};
using Lineages = std::map<KeyText, Lineage>;

std::string joined(const std::set<int> &numbers) {
  std::string text;
  for (int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

KeyText key_text(const pg::Row &row, const char *prefix, std::size_t keys) {
  KeyText key;
  for (std::size_t i = 1; i <= keys; i++) key.push_back(row.text((prefix + std::to_string(i)).c_str()));
  return key;
}

Change read_change(const pg::Row &row, std::size_t keys) {
  Change change;
  change.op = row.text("op")[0];
  change.lsn = std::stoull(row.text("position"));
  change.key = key_text(row, "k", keys);
  if (change.op == 'm' || change.op == 'k') change.old_key = key_text(row, "o", keys);
  for (const std::string &number : row.texts("cols")) change.columns.push_back(std::stoi(number));
  return change;
}

constexpr std::int64_t looks_worth = 8, most_at_once = 10;

// How many log rows to take: `limit`, or more where many wait.  Moves and markers need to be seen with all that the
// snapshot sees (nullopt), so each batch has to look at all of them; by taking a share of them, a backlog is looked at
// in proportion to its rows.
std::optional<std::int64_t> batch_of(const std::string &log, std::int64_t limit) {
  pg::Result const found =
      pg::execute("SELECT count(*) AS waiting, coalesce(bool_or(op IN ('m', 'k', 't')), false) AS moves FROM " + log);
  if (found.only().boolean("moves")) return std::nullopt;
  return std::clamp(found.only().integer("waiting") / looks_worth, limit, limit * most_at_once);
}

// Deletes log rows and returns them by LSN.
std::vector<Change> take(const Job &job, std::size_t keys, std::optional<std::int64_t> limit) {
  std::string const log = reverse_log_name(job);
  std::string const columns =
      "op, cols::text, lsn - '0/0'::pg_lsn AS position, " + key_list(keys, "k") + ", " + key_list(keys, "o");
  pg::Result const rows = pg::as_extension([&] {
    std::optional<std::int64_t> const at_most = limit ? batch_of(log, *limit) : std::nullopt;
    if (!at_most) return pg::execute("DELETE FROM " + log + " RETURNING " + columns);
    return pg::execute(
        "DELETE FROM " + log + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + log + " LIMIT $1)) RETURNING " + columns,
        {pg::Param(static_cast<long long>(*at_most))});
  });
  std::vector<Change> changes;
  changes.reserve(rows.size());
  for (const pg::Row row : rows) changes.push_back(read_change(row, keys));
  std::stable_sort(changes.begin(), changes.end(), [](const Change &a, const Change &b) { return a.lsn < b.lsn; });
  return changes;
}

Lineage &lineage_of(Lineages &lineages, const KeyText &key) {
  auto const [found, fresh] = lineages.try_emplace(key);
  if (fresh) found->second.origin = key;
  return found->second;
}

void change_columns(Lineage &row, const std::vector<int> &columns) {
  // A change of a row that was gone: its insertion was drained before, so it is known to be one.
  if (row.fate == Lineage::gone) row.fate = Lineage::inserted;
  row.changed.insert(columns.begin(), columns.end());
}

Lineages replay(const std::vector<Change> &changes) {
  Lineages lineages;
  for (const Change &change : changes) {
    if (change.op == 'm') {
      Lineage const moved = lineage_of(lineages, change.old_key);
      lineage_of(lineages, change.old_key).fate = Lineage::gone;
      lineage_of(lineages, change.old_key).lsn = change.lsn;
      lineages[change.key] = moved;
    }
    if (change.op == 'k') lineages[change.key] = {Lineage::kept, change.old_key, {}, 0};
    Lineage &row = lineage_of(lineages, change.key);
    row.lsn = change.lsn;
    if (change.op == 'i') row.fate = Lineage::inserted;
    if (change.op == 'd') row.fate = Lineage::gone;
    if (change.op == 'u' || change.op == 'm' || change.op == 'k') change_columns(row, change.columns);
  }
  return lineages;
}

// The lineages on their side: k1 ..., origin1 ... (null where the row is to come whole from live), columns.
std::vector<pg::Param> lineage_params(const Lineages &lineages, std::size_t keys) {
  std::vector<std::vector<std::optional<std::string>>> arrays(2 * keys + 1);
  for (const auto &[key, row] : lineages) {
    for (std::size_t i = 0; i < keys; i++) {
      arrays[i].push_back(key[i]);
      arrays[keys + i].push_back(row.fate == Lineage::kept ? std::optional(row.origin[i]) : std::nullopt);
    }
    arrays[2 * keys].push_back("{" + joined(row.changed) + "}");
  }
  return {arrays.begin(), arrays.end()};
}

// "(SELECT ...) AS f(k1, ..., o1, ..., cols, n)": what lineage_params() say, in the key's types, numbered from 1.
std::string lineage_item(const std::vector<KeyColumn> &key) {
  std::string arrays, names, values;
  for (const char *prefix : {"k", "o"})
    for (std::size_t i = 0; i < key.size(); i++) {
      std::string const name = prefix + std::to_string(i + 1);
      std::string const number = std::to_string((prefix[0] == 'k' ? 0 : key.size()) + i + 1);
      arrays += "pg_catalog.unnest($" + number + "), ";
      names += name + ", ";
      values += name + "::" + key[i].type + (key[i].collation.empty() ? "" : " COLLATE " + key[i].collation) + ", ";
    }
  return "(SELECT " + values + "cols::pg_catalog.int2[], n FROM ROWS FROM (" + arrays + "pg_catalog.unnest($" +
         std::to_string(2 * key.size() + 1) + ")) WITH ORDINALITY AS u(" + names + "cols, n)) AS f(" + names +
         "cols, n)";
}

// A column that live and the archive both have.
struct SharedColumn {
  std::string name;  // quoted
  int attnum;        // in live
  bool is_key;
};

std::vector<SharedColumn> shared_columns(const Job &job, const std::vector<KeyColumn> &key) {
  pg::Result const rows = pg::as_extension([&] {
    return pg::execute(
        "SELECT quote_ident(a.attname) AS name, l.attnum FROM pg_attribute a"
        "  JOIN pg_attribute l ON l.attrelid = $2 AND l.attname = a.attname AND NOT l.attisdropped"
        " WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
        {pg::Param::oid(job.archive), pg::Param::oid(job.live)});
  });
  std::vector<SharedColumn> columns;
  for (const pg::Row row : rows) {
    int const number = static_cast<int>(row.integer("attnum"));
    bool const is_key =
        std::any_of(key.begin(), key.end(), [&](const KeyColumn &column) { return column.attnum == number; });
    columns.push_back({row.text("name"), number, is_key});
  }
  return columns;
}

// `alias`'s key columns equal `other`1, `other`2 ...
std::string same_key(const TableShape &shape, const std::string &alias, const std::string &other) {
  std::string same;
  for (std::size_t i = 0; i < shape.key.size(); i++)
    same += (i > 0 ? " AND " : "") + alias + "." + quote_ident(shape.key[i].name) + " " + shape.key[i].equals + " " +
            other + std::to_string(i + 1);
  return same;
}

// By whatever name it has now.
std::string archive_sql(const Job &job) {
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
        {pg::Param::oid(job.archive)});
    if (found.empty())
      throw Error(sqlstate::undefined_table, "the old version of table \"" + job.target_name + "\" no longer exists",
                  "It was dropped, so there is no way back.",
                  "End the backfill with SELECT backfill_finish(" + quote_literal(job.name) + ");");
    return qualified(found[0].text("nspname"), found[0].text("relname"));
  });
}
std::string live_sql(const TableShape &shape) { return qualified(shape.schema, shape.table); }

// "name AS k1, ..." of the key's columns in a table.
std::string key_as(const TableShape &shape, const std::string &alias) {
  std::string list;
  for (std::size_t i = 0; i < shape.key.size(); i++)
    list += (i > 0 ? ", " : "") + alias + "." + quote_ident(shape.key[i].name) + " AS k" + std::to_string(i + 1);
  return list;
}

std::string same_keys(const TableShape &shape, const std::string &alias, const std::string &other) {
  std::string same;
  for (std::size_t i = 1; i <= shape.key.size(); i++)
    same += (i > 1 ? " AND " : "") + alias + ".k" + std::to_string(i) + " " + shape.key[i - 1].equals + " " + other +
            ".k" + std::to_string(i);
  return same;
}

// Step 3.  The INSERT waits for the whole DELETE by reading its count, so keys may change places.  Answers for each
// lineage, by number: was a row of its key in the archive before, is one there now?
std::string rewrite_sql(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key) {
  std::string const has_origin = "gone." + quote_ident(shape.key[0].name) + " IS NOT NULL";
  std::string names, values;
  for (const SharedColumn &column : shared_columns(job, key)) {
    names += (names.empty() ? "" : ", ") + column.name;
    values += ", " + (column.is_key ? "l." + column.name
                                    : "CASE WHEN " + has_origin + " AND " + std::to_string(column.attnum) +
                                          " <> ALL (f.cols) THEN gone." + column.name + " ELSE l." + column.name +
                                          " END AS " + column.name);
  }
  std::string const archive = archive_sql(job), lineages = lineage_item(key);
  return "WITH gone AS (DELETE FROM ONLY " + archive + " AS a USING " + keys_item(key) + " WHERE " +
         key_matches(shape, "a", "k") + " RETURNING a.*),\nput AS (INSERT INTO " + archive + " AS a (" + names +
         ") OVERRIDING SYSTEM VALUE\nSELECT " + names +
         " FROM (\n  SELECT DISTINCT ON (l.ctid) l.ctid AS \"backfill row\"" + values + "\n  FROM " + lineages +
         "\n  JOIN ONLY " + live_sql(shape) + " AS l ON " + same_key(shape, "l", "f.k") + "\n  " +
         (placement_of(job).in_place ? "" : "LEFT ") + "JOIN gone ON " + same_key(shape, "gone", "f.o") +
         "\n  WHERE (SELECT count(*) FROM gone) IS NOT NULL\n  ORDER BY l.ctid, " + has_origin +
         " DESC) AS rows\nRETURNING " + key_as(shape, "a") +
         ")\nSELECT was.k1 IS NOT NULL AS was, now.k1 IS NOT NULL AS now"
         " FROM " +
         lineages + "\n  LEFT JOIN (SELECT " + key_as(shape, "gone") + " FROM gone) AS was ON " +
         same_keys(shape, "was", "f") + "\n  LEFT JOIN put AS now ON " + same_keys(shape, "now", "f") +
         "\nORDER BY f.n";
}

// What a batch did to the archive's row of a key, for the capture log (carried.hpp).
struct Mark {
  std::string op;         // 'i', 'd', 'u'; 'n' where there is no row and was none
  std::set<int> columns;  // of live, with values that have no place
};

std::vector<Mark> rewrite(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                          const std::vector<pg::Param> &params) {
  std::vector<Mark> marks;
  as_job_owner(job, [&] {
    pg::with_archive_open(job.archive, [&] {
      pg::Result const rows = pg::execute(rewrite_sql(job, shape, key), params);
      marks.reserve(rows.size());
      for (const pg::Row row : rows)
        marks.push_back({row.boolean("was") ? row.boolean("now") ? "u" : "d" : row.boolean("now") ? "i" : "n", {}});
    });
  });
  return marks;
}

// Of rows that come whole from live: which hold values without a place that a writer gave them.
void mark_inserted(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                   const std::vector<pg::Param> &params, const std::vector<UnplacedColumn> &unplaced,
                   std::vector<Mark> &marks) {
  std::string numbers, any;
  for (const UnplacedColumn &column : unplaced) {
    if (column.generated) continue;
    numbers += ", CASE WHEN " + given_by_writer(column) + " THEN '" + std::to_string(column.attnum) + "' END";
    any += (any.empty() ? "" : " OR ") + given_by_writer(column);
  }
  if (any.empty()) return;
  pg::Result const rows = as_job_owner(job, [&] {
    return pg::execute("SELECT f.n, pg_catalog.concat_ws(','" + numbers + ") AS numbers FROM " + lineage_item(key) +
                           " JOIN ONLY " + live_sql(shape) + " AS l ON " + same_key(shape, "l", "f.k") +
                           " WHERE f.o1 IS NULL AND (" + any + ")",
                       params);
  });
  for (const pg::Row row : rows)
    for (const std::string &number : pg::parse_text_array("{" + row.text("numbers") + "}"))
      marks[static_cast<std::size_t>(row.integer("n")) - 1].columns.insert(std::stoi(number));
}

// What a row that moved had been marked with under its old key.
std::map<KeyText, std::set<int>> marks_before(const Job &job, std::size_t keys) {
  std::map<KeyText, std::set<int>> before;
  pg::Result const rows = pg::as_extension([&] {
    return pg::execute("SELECT " + key_list(keys, "k") + ", cols::text[] AS cols FROM " + log_name(job) +
                       " WHERE cols IS NOT NULL");
  });
  for (const pg::Row row : rows)
    for (const std::string &number : row.texts("cols")) before[key_text(row, "k", keys)].insert(std::stoi(number));
  return before;
}

void mark_kept(const Job &job, const Lineages &lineages, std::size_t keys, const std::vector<UnplacedColumn> &unplaced,
               std::vector<Mark> &marks) {
  bool const moves = std::any_of(lineages.begin(), lineages.end(), [](const auto &entry) {
    return entry.second.fate == Lineage::kept && entry.second.origin != entry.first;
  });
  std::map<KeyText, std::set<int>> before;
  if (moves) before = marks_before(job, keys);
  std::size_t n = 0;
  for (const auto &[key, row] : lineages) {
    std::set<int> &columns = marks[n++].columns;
    if (row.fate != Lineage::kept) continue;
    for (const UnplacedColumn &column : unplaced)
      if (!column.generated && row.changed.count(column.attnum) > 0) columns.insert(column.attnum);
    if (row.origin != key) columns.merge(before[row.origin]);
  }
}

// Where the archive has few of the rows, it is the writers' changes that tell what became of a row.
void mark_written(const std::vector<Change> &changes, const Lineages &lineages, std::vector<Mark> &marks) {
  std::map<KeyText, int> gained;
  std::set<KeyText> moved;
  auto const gain = [&](const KeyText &key, int rows) {
    gained[key] += rows;
    moved.insert(key);
  };
  for (const Change &change : changes) {
    if (change.op == 'i' || change.op == 'm') gain(change.key, 1);
    if (change.op == 'd') gain(change.key, -1);
    if (change.op == 'm') gain(change.old_key, -1);
    if (change.op == 'k') gain(change.key, 0);
  }
  std::size_t n = 0;
  for (const auto &[key, row] : lineages) {
    int const rows = gained[key];
    marks[n++].op = rows > 0 ? "i" : rows < 0 ? "d" : moved.count(key) > 0 ? "b" : "u";
  }
}

// Step 4.  A key without a row before and after concerns nobody.
void log_keys_for_shadow(const Job &job, const std::vector<KeyColumn> &key, const Lineages &lineages,
                         const std::vector<Mark> &marks) {
  std::vector<std::vector<std::optional<std::string>>> arrays(key.size() + 2);
  std::size_t n = 0;
  for (const auto &[text, row] : lineages) {
    const Mark &mark = marks[n++];
    if (mark.op == "n") continue;
    for (std::size_t i = 0; i < key.size(); i++) arrays[i].push_back(text[i]);
    arrays[key.size()].push_back(mark.op);
    arrays[key.size() + 1].push_back(mark.columns.empty() ? std::nullopt
                                                          : std::optional("{" + joined(mark.columns) + "}"));
  }
  std::string items, values;
  for (std::size_t i = 1; i <= arrays.size(); i++)
    items += (i > 1 ? ", " : "") + ("unnest($" + std::to_string(i) + ")");
  for (std::size_t i = 0; i < key.size(); i++) values += "k" + std::to_string(i + 1) + "::" + key[i].type + ", ";
  std::string const k = key_list(key.size(), "k");
  pg::as_extension([&] {
    pg::execute("INSERT INTO " + log_name(job) + " (" + k + ", op, cols) SELECT " + values +
                    "op::\"char\", cols::int2[] FROM ROWS FROM (" + items + ") AS u(" + k + ", op, cols)",
                {arrays.begin(), arrays.end()});
  });
}

// Live was truncated: every row it has now was inserted since, and nothing else counts.
DrainResult start_over(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key, std::int64_t taken) {
  std::string names;
  for (const SharedColumn &column : shared_columns(job, key)) names += (names.empty() ? "" : ", ") + column.name;
  as_job_owner(job, [&] {
    pg::with_archive_open(job.archive, [&] {
      pg::execute("TRUNCATE ONLY " + archive_sql(job));
      if (placement_of(job).in_place) return;
      pg::execute("INSERT INTO " + archive_sql(job) + " (" + names + ") OVERRIDING SYSTEM VALUE SELECT " + names +
                  " FROM ONLY " + live_sql(shape));
    });
  });
  pg::as_extension([&] { pg::execute("INSERT INTO " + log_name(job) + " (op) VALUES ('t')"); });
  return {.taken = taken, .unplaced = 1, .truncated = true};
}

// The archive has its own constraints and types, and rows written since publish may not fit them.
Error refused_by_archive(const Job &job, const Error &failure) {
  std::string const archive = archive_sql(job);
  return Error(
      failure.sqlstate,
      "the old version of table \"" + job.target_name +
          "\" cannot hold what was written since publish: " + failure.what(),
      "Nothing is lost: the table in service has it.  Until this is put right, changes wait in the log and the "
      "backfill cannot be rolled back.",
      "Change the rows concerned, or change " + archive +
          " with ALTER TABLE so that it can hold them; or keep the new version "
          "with SELECT backfill_finish(" +
          quote_literal(job.name) + ");");
}

// Data exceptions, violated constraints, types that do not convert.
bool is_refusal(const Error &failure) {
  std::string const kind = failure.sqlstate.substr(0, 2);
  return kind == "22" || kind == "23" || failure.sqlstate == sqlstate::datatype_mismatch || failure.sqlstate == "42846";
}

DrainResult drain_seen(const Job &job, const TableShape &shape, std::optional<std::int64_t> limit) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  std::vector<Change> const changes = take(job, key.size(), limit);
  std::int64_t const taken = static_cast<std::int64_t>(changes.size());
  if (changes.empty()) return {};
  if (std::any_of(changes.begin(), changes.end(), [](const Change &change) { return change.op == 't'; }))
    return start_over(job, shape, key, taken);

  Lineages const lineages = replay(changes);
  std::vector<pg::Param> const params = lineage_params(lineages, key.size());
  std::vector<Mark> marks = rewrite(job, shape, key, params);
  bool const in_place = placement_of(job).in_place;
  if (in_place) mark_written(changes, lineages, marks);
  std::vector<UnplacedColumn> const unplaced = in_place ? std::vector<UnplacedColumn>() : unplaced_columns(job);
  if (!unplaced.empty()) {
    mark_inserted(job, shape, key, params, unplaced, marks);
    mark_kept(job, lineages, key.size(), unplaced, marks);
  }
  log_keys_for_shadow(job, key, lineages, marks);
  return {
      .taken = taken,
      .keys = static_cast<std::int64_t>(lineages.size()),
      .unplaced = std::count_if(marks.begin(), marks.end(), [](const Mark &mark) { return !mark.columns.empty(); })};
}

DrainResult drain_once(const Job &job, const TableShape &shape, std::optional<std::int64_t> limit) {
  try {
    return pg::with_snapshot([&] { return drain_seen(job, shape, limit); });
  } catch (const Error &failure) {
    if (!is_refusal(failure)) throw;
    throw refused_by_archive(job, failure);
  }
}

// What replay() makes of a log, as rows that it makes the same of: one a key.  'k' says where the row of a key comes from
// without moving it there, since rows that changed places cannot be told by moves, one after the other.
void write_back(const Job &job, std::size_t keys, const Lineages &lineages) {
  std::vector<std::vector<std::optional<std::string>>> arrays(2 * keys + 3);
  for (const auto &[key, row] : lineages) {
    bool const kept = row.fate == Lineage::kept, elsewhere = kept && row.origin != key;
    for (std::size_t i = 0; i < keys; i++) {
      arrays[i].push_back(key[i]);
      arrays[keys + i].push_back(elsewhere ? std::optional(row.origin[i]) : std::nullopt);
    }
    arrays[2 * keys].push_back(elsewhere ? "k" : kept ? "u" : row.fate == Lineage::inserted ? "i" : "d");
    arrays[2 * keys + 1].push_back(kept ? std::optional("{" + joined(row.changed) + "}") : std::nullopt);
    arrays[2 * keys + 2].push_back(std::to_string(row.lsn));
  }
  std::string const log = reverse_log_name(job), names = key_list(keys, "k") + ", " + key_list(keys, "o");
  std::string items, values;
  for (std::size_t i = 1; i <= arrays.size(); i++)
    items += (i > 1 ? ", " : "") + ("unnest($" + std::to_string(i) + ")");
  std::vector<KeyColumn> const key = read_key(job, job.live);
  for (const char *prefix : {"k", "o"})
    for (std::size_t i = 0; i < keys; i++) values += prefix + std::to_string(i + 1) + "::" + key[i].type + ", ";
  pg::execute("INSERT INTO " + log + " (" + names + ", op, cols, lsn) SELECT " + values +
                  "op::\"char\", cols::int2[], '0/0'::pg_lsn + lsn::numeric FROM ROWS FROM (" + items + ") AS u(" +
                  names + ", op, cols, lsn)",
              {arrays.begin(), arrays.end()});
}

}  // namespace

void compact_reverse_log(const Job &job) {
  std::size_t const keys = read_key(job, job.live).size();
  pg::with_snapshot([&] {
    pg::as_extension([&] {
      std::vector<Change> const changes = take(job, keys, std::nullopt);
      if (std::any_of(changes.begin(), changes.end(), [](const Change &change) { return change.op == 't'; }))
        pg::execute("INSERT INTO " + reverse_log_name(job) + " (op, lsn) VALUES ('t', pg_current_wal_insert_lsn())");
      else
        write_back(job, keys, replay(changes));
    });
  });
}

DrainResult drain_reverse(const Job &job, const TableShape &shape, std::int64_t limit) {
  return retry_with_all(limit, [&](std::optional<std::int64_t> at_most) { return drain_once(job, shape, at_most); });
}

}  // namespace backfill
