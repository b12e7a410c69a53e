// The letters of a key are merged in SQL; whether a key that came and went is there now is asked of the archive, and
// whether a value without a place is still there of live.
#include "capture/carried.hpp"

#include <algorithm>

#include "catalog/placement.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// One row a key: k1 ..., op, cols (never null).
std::string merged_sql(const std::string &from, std::size_t keys) {
  std::string const k = key_list(keys, "k");
  return "SELECT " + k +
         ", CASE WHEN marker THEN 't' WHEN change > 0 THEN 'i' WHEN change < 0 THEN 'd' WHEN moved THEN 'b'"
         " ELSE 'u' END::\"char\" AS op,"
         " ARRAY(SELECT DISTINCT c::int2 FROM unnest(string_to_array(numbers, ',')) AS c WHERE c <> '' ORDER BY 1) AS"
         " cols FROM (SELECT " +
         k +
         ", bool_or(op = 't') AS marker, bool_or(op IN ('i', 'd', 'b')) AS moved,"
         " sum(CASE op WHEN 'i' THEN 1 WHEN 'd' THEN -1 ELSE 0 END) AS change,"
         " string_agg(array_to_string(cols, ','), ',') AS numbers FROM " +
         from + " GROUP BY " + k + ") AS merged";
}

bool was_truncated(const Job &job) {
  return pg::query_boolean("SELECT EXISTS (SELECT FROM " + log_name(job) + " WHERE op = 't')");
}

std::string live_sql(const TableShape &shape) { return "ONLY " + qualified(shape.schema, shape.table) + " AS l"; }

std::vector<KeyText> keys_of(const pg::Result &rows, std::size_t keys) {
  std::vector<KeyText> found;
  found.reserve(rows.size());
  for (const auto &values : rows.values) {
    KeyText key;
    for (std::size_t i = 0; i < keys; i++) key.push_back(values[i].value_or(""));
    found.push_back(std::move(key));
  }
  return found;
}

// Of keys that came and went, how many the version that would be in service has.
std::int64_t count_present(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                           const std::vector<KeyText> &keys) {
  if (keys.empty()) return 0;
  std::string const &table = placement_of(job).in_place ? shape.table : job.archive_name;
  return as_job_owner(job, [&] {
    return pg::query_integer("SELECT count(*) FROM ONLY " + qualified(shape.schema, table) + " AS a JOIN " +
                                 keys_item(key) + " ON " + key_matches(shape, "a", "k"),
                             key_params(keys, key.size()));
  });
}

std::vector<std::int64_t> integers(const pg::Row &row, std::size_t count) {
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 1; i <= count; i++) numbers.push_back(row.integer(("c" + std::to_string(i)).c_str()));
  return numbers;
}

// All rows were inserted since.
std::vector<std::int64_t> count_in_all(const Job &job, const TableShape &shape,
                                       const std::vector<UnplacedColumn> &columns) {
  std::vector<std::string> counts;
  for (std::size_t i = 0; i < columns.size(); i++)
    counts.push_back("count(*) FILTER (WHERE " + given_by_writer(columns[i]) + ") AS c" + std::to_string(i + 1));
  pg::Result const found =
      as_job_owner(job, [&] { return pg::execute("SELECT " + joined(counts, ", ") + " FROM " + live_sql(shape)); });
  return integers(found.only(), columns.size());
}

}  // namespace

std::vector<UnplacedColumn> unplaced_columns(const Job &job) {
  // A constant as pg_get_expr writes it: a number, true or false, a literal with its type.
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(
        "SELECT l.attname, l.attnum, l.attgenerated <> '' AS generated, format_type(l.atttypid, l.atttypmod) AS type,"
        " substring(pg_get_expr(d.adbin, d.adrelid) FROM"
        "   '^(?:\\(?-?[0-9.]+\\)?|true|false|''(?:[^'']|'''')*''::[^()'']+(?:\\([0-9, ]+\\))?)$') AS constant"
        "  FROM pg_attribute l LEFT JOIN pg_attrdef d ON d.adrelid = l.attrelid AND d.adnum = l.attnum"
        " WHERE l.attrelid = $1 AND l.attnum > 0 AND NOT l.attisdropped"
        "   AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $2 AND a.attname = l.attname"
        "                      AND a.attnum > 0 AND NOT a.attisdropped) ORDER BY l.attnum",
        {pg::Param::oid(job.live), pg::Param::oid(job.archive)});
  });
  std::vector<UnplacedColumn> columns;
  for (const pg::Row row : found) {
    UnplacedColumn column{
        row.text("attname"), static_cast<int>(row.integer("attnum")), false, row.boolean("generated"), row.text("type"),
        row.text("constant")};
    for (const auto &added : job.spec.transform.add_columns)
      if (added.first == column.name) column.by_backfill = true;
    columns.push_back(std::move(column));
  }
  return columns;
}

std::string given_by_writer(const UnplacedColumn &column) {
  if (column.generated) return "false";
  std::string const value = "l." + quote_ident(column.name);
  std::string const given = "pg_catalog.num_nonnulls(" + value + ") = 1";
  if (column.constant.empty()) return given;
  return "(" + given + " AND NOT pg_catalog.record_image_eq(ROW(" + value + "), ROW(CAST(" + column.constant + " AS " +
         column.type + "))))";
}

Carried count_carried(const Job &job, const TableShape &shape) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  Carried carried;
  carried.truncated = pg::as_extension([&] { return was_truncated(job); });
  if (carried.truncated) {
    carried.inserted = as_job_owner(job, [&] { return pg::query_integer("SELECT count(*) FROM " + live_sql(shape)); });
    return carried;
  }
  std::string const merged = merged_sql(log_name(job), key.size());
  std::int64_t doubtful = 0;
  pg::Result const both = pg::as_extension([&] {
    pg::Result const counts = pg::execute("SELECT op, count(*) AS keys FROM (" + merged + ") AS m GROUP BY op");
    for (const pg::Row row : counts) {
      std::int64_t const keys = row.integer("keys");
      switch (row.text("op")[0]) {
        case 'i': carried.inserted = keys; break;
        case 'd': carried.deleted = keys; break;
        case 'u': carried.updated = keys; break;
        default: doubtful = keys;
      }
    }
    if (doubtful == 0) return pg::Result();
    return pg::execute("SELECT " + key_list(key.size(), "k") + " FROM (" + merged + ") AS m WHERE op = 'b'");
  });
  carried.updated += count_present(job, shape, key, keys_of(both, key.size()));
  return carried;
}

std::string describe(const Carried &carried) {
  auto const rows = [](std::int64_t count) { return std::to_string(count) + (count == 1 ? " row" : " rows"); };
  if (carried.truncated) return "all of its " + rows(carried.inserted) + ", as it was truncated";
  return rows(carried.inserted) + " inserted, " + std::to_string(carried.updated) + " updated, " +
         std::to_string(carried.deleted) + " deleted";
}

std::vector<std::int64_t> count_unplaced(const Job &job, const TableShape &shape,
                                         const std::vector<UnplacedColumn> &columns) {
  std::vector<std::int64_t> none(columns.size(), 0);
  if (columns.empty()) return none;
  std::vector<KeyColumn> const key = read_key(job, job.live);
  if (pg::as_extension([&] { return was_truncated(job); })) return count_in_all(job, shape, columns);

  std::vector<std::string> numbers, counts;
  for (std::size_t i = 0; i < columns.size(); i++) {
    std::string const number = std::to_string(columns[i].attnum);
    numbers.push_back(number);
    counts.push_back("count(*) FILTER (WHERE " + number + " = ANY (f.cols) AND pg_catalog.num_nonnulls(l." +
                     quote_ident(columns[i].name) + ") = 1) AS c" + std::to_string(i + 1));
  }
  pg::Result const marked = pg::as_extension([&] {
    return pg::execute("SELECT " + key_list(key.size(), "k") + ", cols::text AS cols FROM (" +
                           merged_sql(log_name(job), key.size()) + ") AS m WHERE cols && $1::int2[]",
                       {numbers});
  });
  if (marked.empty()) return none;
  std::vector<pg::Param> params = key_params(keys_of(marked, key.size()), key.size());
  std::vector<std::string> cols;
  for (const pg::Row row : marked) cols.push_back(row.text("cols"));
  params.emplace_back(cols);
  std::string arrays, names, values, same;
  for (std::size_t i = 0; i < key.size(); i++) {
    std::string const name = "k" + std::to_string(i + 1);
    arrays += "pg_catalog.unnest($" + std::to_string(i + 1) + "), ";
    names += name + ", ";
    values += name + "::" + key[i].type + (key[i].collation.empty() ? "" : " COLLATE " + key[i].collation) + " AS " +
              name + ", ";
  }
  pg::Result const found = as_job_owner(job, [&] {
    return pg::execute("SELECT " + joined(counts, ", ") + " FROM (SELECT " + values +
                           "cols::pg_catalog.int2[] AS cols FROM ROWS FROM (" + arrays + "pg_catalog.unnest($" +
                           std::to_string(key.size() + 1) + ")) AS u(" + names + "cols)) AS f JOIN " + live_sql(shape) +
                           " ON " + key_matches(shape, "l", "f"),
                       params);
  });
  return integers(found.only(), columns.size());
}

std::int64_t carry_again(const Job &job) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  std::string const k = key_list(key.size(), "k");
  return pg::as_extension([&]() -> std::int64_t {
    auto const placed = pg::query_value(
        "SELECT array_agg(l.attnum)::text FROM pg_attribute l JOIN pg_attribute a ON a.attrelid = $2"
        "   AND a.attname = l.attname AND NOT a.attisdropped AND a.attgenerated = ''"
        " WHERE l.attrelid = $1 AND l.attnum > 0 AND NOT l.attisdropped",
        {pg::Param::oid(job.live), pg::Param::oid(job.archive)});
    if (!placed) return 0;
    return static_cast<std::int64_t>(
        pg::execute("INSERT INTO " + reverse_log_name(job) + " (" + k + ", op, cols, lsn) SELECT " + k +
                        ", 'u', ARRAY(SELECT unnest(cols) INTERSECT SELECT unnest($1::int2[])),"
                        " pg_current_wal_insert_lsn() FROM (" +
                        merged_sql(log_name(job), key.size()) + ") AS m WHERE op <> 't' AND cols && $1::int2[]",
                    {*placed})
            .processed);
  });
}

std::int64_t compact_carried_keys(const Job &job) {
  std::size_t const keys = read_key(job, job.live).size();
  std::string const columns = key_list(keys, "k") + ", op, cols";
  return pg::as_extension([&] {
    return static_cast<std::int64_t>(pg::execute("WITH gone AS (DELETE FROM " + log_name(job) + " RETURNING " +
                                                 columns + ") INSERT INTO " + log_name(job) + " (" + columns +
                                                 ") SELECT " + key_list(keys, "k") + ", op, nullif(cols, '{}') FROM (" +
                                                 merged_sql("gone", keys) + ") AS m")
                                         .processed);
  });
}

}  // namespace backfill
