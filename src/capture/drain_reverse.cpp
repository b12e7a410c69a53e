// Draining the reverse log: keep the archive such that a rollback undoes the backfill and only the backfill.
//
//   1. In one snapshot take log rows, all of them where keys moved.
//   2. Replay them by LSN, in memory, to learn of each key touched where its row came from: a row of the archive (its
//      origin, perhaps under another key) with some columns changed since, or a row inserted since.
//   3. In one statement take all rows with these keys (old and new) out of the archive, and put in those that live has
//      now: of a row with an origin only the columns that writers changed come from live, of others all.
//   4. Put the keys into the capture log: after a rollback the shadow's rows are derived again.
//
// Whether a key exists and what it holds is always read from live, as of the snapshot; only the origin is replayed.  So
// a log row taken early or late costs at most that a row is carried whole.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capture/conflict.hpp"
#include "capture/drain.hpp"
#include "capture/log.hpp"
#include "core/sql_text.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"

namespace backfill {

namespace {

struct Change {
  char op;
  std::uint64_t lsn;
  KeyText key, old_key;      // old_key: of op 'm' only
  std::vector<int> columns;  // attribute numbers of live
};

// Where the row that now has a key came from.
struct Lineage {
  enum { kept, inserted, gone } fate = kept;
  KeyText origin;         // of kept: the key its row has in the archive
  std::set<int> changed;  // of kept
};
using Lineages = std::map<KeyText, Lineage>;

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
  if (change.op == 'm') change.old_key = key_text(row, "o", keys);
  for (const std::string &number : row.texts("cols")) change.columns.push_back(std::stoi(number));
  return change;
}

// Deletes log rows and returns them by LSN.  Moves and markers need to be seen with all that the snapshot sees.
std::vector<Change> take(const Job &job, std::size_t keys, std::optional<std::int64_t> limit) {
  std::string const log = reverse_log_name(job);
  std::string const columns =
      "op, cols::text, lsn - '0/0'::pg_lsn AS position, " + key_list(keys, "k") + ", " + key_list(keys, "o");
  pg::Result const rows = pg::as_extension([&] {
    if (!limit || pg::query_boolean("SELECT EXISTS (SELECT FROM " + log + " WHERE op IN ('m', 't'))"))
      return pg::execute("DELETE FROM " + log + " RETURNING " + columns);
    return pg::execute(
        "DELETE FROM " + log + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + log + " LIMIT $1)) RETURNING " + columns,
        {pg::Param(static_cast<long long>(*limit))});
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
      lineages[change.key] = moved;
    }
    Lineage &row = lineage_of(lineages, change.key);
    if (change.op == 'i') row.fate = Lineage::inserted;
    if (change.op == 'd') row.fate = Lineage::gone;
    if (change.op == 'u' || change.op == 'm') change_columns(row, change.columns);
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
    std::string changed;
    for (int number : row.changed) changed += (changed.empty() ? "" : ",") + std::to_string(number);
    arrays[2 * keys].push_back("{" + changed + "}");
  }
  return {arrays.begin(), arrays.end()};
}

// "(SELECT ...) AS f(k1, ..., o1, ..., cols)": what lineage_params() say, in the key's types.
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
  return "(SELECT " + values + "cols::pg_catalog.int2[] FROM ROWS FROM (" + arrays + "pg_catalog.unnest($" +
         std::to_string(2 * key.size() + 1) + ")) AS u(" + names + "cols)) AS f(" + names + "cols)";
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

std::string archive_sql(const Job &job, const TableShape &shape) { return qualified(shape.schema, job.archive_name); }
std::string live_sql(const TableShape &shape) { return qualified(shape.schema, shape.table); }

// Step 3.  The INSERT waits for the whole DELETE by reading its count, so keys may change places.
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
  return "WITH gone AS (DELETE FROM ONLY " + archive_sql(job, shape) + " AS a USING " + keys_item(key) + " WHERE " +
         key_matches(shape, "a", "k") + " RETURNING a.*)\nINSERT INTO " + archive_sql(job, shape) + " (" + names +
         ") OVERRIDING SYSTEM VALUE\nSELECT " + names +
         " FROM (\n  SELECT DISTINCT ON (l.ctid) l.ctid AS \"backfill row\"" + values + "\n  FROM " +
         lineage_item(key) + "\n  JOIN ONLY " + live_sql(shape) + " AS l ON " + same_key(shape, "l", "f.k") +
         "\n  LEFT JOIN gone ON " + same_key(shape, "gone", "f.o") +
         "\n  WHERE (SELECT count(*) FROM gone) IS NOT NULL\n  ORDER BY l.ctid, " + has_origin + " DESC) AS rows";
}

void log_keys_for_shadow(const Job &job, const std::vector<KeyColumn> &key, const std::vector<pg::Param> &keys) {
  pg::as_extension([&] {
    pg::execute("INSERT INTO " + log_name(job) + " (" + key_list(key.size(), "k") + ", op) SELECT " +
                    key_list(key.size(), "k") + ", 'u' FROM " + keys_item(key),
                keys);
  });
}

// Live was truncated: every row it has now was inserted since, and nothing else counts.
DrainResult start_over(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key, std::int64_t taken) {
  std::string names;
  for (const SharedColumn &column : shared_columns(job, key)) names += (names.empty() ? "" : ", ") + column.name;
  as_transform(job, [&] {
    pg::with_archive_open(job.archive, [&] {
      pg::execute("TRUNCATE ONLY " + archive_sql(job, shape));
      pg::execute("INSERT INTO " + archive_sql(job, shape) + " (" + names + ") OVERRIDING SYSTEM VALUE SELECT " +
                  names + " FROM ONLY " + live_sql(shape));
    });
  });
  pg::as_extension([&] { pg::execute("INSERT INTO " + log_name(job) + " (op) VALUES ('t')"); });
  return {.taken = taken, .keys = 0, .truncated = true};
}

DrainResult drain_once(const Job &job, const TableShape &shape, std::optional<std::int64_t> limit) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  return pg::with_snapshot([&]() -> DrainResult {
    std::vector<Change> const changes = take(job, key.size(), limit);
    std::int64_t const taken = static_cast<std::int64_t>(changes.size());
    if (changes.empty()) return {};
    if (std::any_of(changes.begin(), changes.end(), [](const Change &change) { return change.op == 't'; }))
      return start_over(job, shape, key, taken);

    Lineages const lineages = replay(changes);
    std::vector<pg::Param> const params = lineage_params(lineages, key.size());
    as_transform(
        job, [&] { pg::with_archive_open(job.archive, [&] { pg::execute(rewrite_sql(job, shape, key), params); }); });
    log_keys_for_shadow(job, key, {params.begin(), params.begin() + static_cast<std::ptrdiff_t>(key.size())});
    return {.taken = taken, .keys = static_cast<std::int64_t>(lineages.size())};
  });
}

}  // namespace

DrainResult drain_reverse(const Job &job, const TableShape &shape, std::int64_t limit) {
  return retry_with_all(limit, [&](std::optional<std::int64_t> at_most) { return drain_once(job, shape, at_most); });
}

std::int64_t compact_carried_keys(const Job &job) {
  std::string const columns = "op, " + key_list(read_key(job, job.live).size(), "k");
  return pg::as_extension([&] {
    return static_cast<std::int64_t>(pg::execute("WITH gone AS (DELETE FROM " + log_name(job) + " RETURNING " +
                                                 columns + ") INSERT INTO " + log_name(job) + " (" + columns +
                                                 ") SELECT DISTINCT " + columns + " FROM gone")
                                         .processed);
  });
}

}  // namespace backfill
