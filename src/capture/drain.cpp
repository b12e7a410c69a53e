// Draining a log: why it is done as it is, is told in docs/design.md, "Capture and drain".
//
//   forward   in one snapshot: take log rows (deleting exactly those); delete their keys from the shadow; insert what
//             the live rows with these keys look like now.
//   purge     in one snapshot: delete every logged key from the shadow, and leave the log.
//   reverse   see drain_reverse.cpp.
//
// The log is touched as the extension, the shadow and live as the owner.
#include "capture/drain.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "capture/capture.hpp"
#include "capture/conflict.hpp"
#include "capture/log.hpp"
#include "catalog/placement.hpp"
#include "core/sql_text.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"

namespace backfill {

namespace {

constexpr int purge_at_once = 100000;  // keys a pass over the shadow; bounds memory

std::string shadow_name(const Job &job, const TableShape &shape) { return qualified(shape.schema, job.shadow_name); }

// Log rows, each an op and a key; a marker has no key.
struct Taken {
  std::int64_t rows = 0;
  bool marker = false;
  std::vector<KeyText> keys;
};

Taken read_taken(const pg::Result &result, std::size_t keys) {
  Taken taken;
  taken.rows = static_cast<std::int64_t>(result.size());
  taken.keys.reserve(result.size());
  for (std::size_t row = 0; row < result.size(); row++) {
    const auto &values = result.values[row];
    if (values[0] == "t") {
      taken.marker = true;
      continue;
    }
    KeyText key;
    for (std::size_t i = 1; i <= keys; i++) key.push_back(values[i].value_or(""));
    taken.keys.push_back(std::move(key));
  }
  return taken;
}

// Deletes at most `limit` of the log rows that the snapshot sees, and returns them.  By ctid: neither commit order nor
// anything in the rows says which are there.
Taken take(const Job &job, std::size_t keys, std::optional<std::int64_t> limit) {
  std::string const log = log_name(job), columns = "op, " + key_list(keys, "k");
  return pg::as_extension([&] {
    if (!limit) return read_taken(pg::execute("DELETE FROM " + log + " RETURNING " + columns), keys);
    return read_taken(pg::execute("DELETE FROM " + log + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + log +
                                      " LIMIT $1)) RETURNING " + columns,
                                  {pg::Param(static_cast<long long>(*limit))}),
                      keys);
  });
}

// Returns the number of distinct keys.
std::int64_t delete_from_shadow(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                                const std::vector<pg::Param> &keys) {
  return pg::query_integer("WITH k AS MATERIALIZED (SELECT * FROM " + keys_item(key) + "), gone AS (DELETE FROM ONLY " +
                               shadow_name(job, shape) + " AS s USING k WHERE " + key_matches(shape, "s", "k") +
                               ") SELECT count(*) FROM k",
                           keys);
}

std::int64_t insert_into_shadow(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                                const std::vector<pg::Param> &keys) {
  std::string columns;
  for (const std::string &column : shadow_columns(shape))
    columns += (columns.empty() ? "" : ", ") + quote_ident(column);
  return static_cast<std::int64_t>(pg::execute("INSERT INTO " + shadow_name(job, shape) + " (" + columns +
                                                   ") OVERRIDING SYSTEM VALUE " +
                                                   rows_for_keys(job, shape, keys_item(key)),
                                               keys)
                                       .processed);
}

// How many live rows have these keys and belong into the shadow.
std::int64_t count_live(const Job &job, const TableShape &shape, const std::vector<KeyColumn> &key,
                        const std::vector<pg::Param> &keys) {
  std::string const among = placement_of(job).builds_whole ? "" : " WHERE " + in_scope_sql(job, shape, "l");
  return pg::query_integer("SELECT count(*) FROM ONLY " + qualified(shape.schema, shape.table) + " AS l JOIN " +
                               keys_item(key) + " ON " + key_matches(shape, "l", "k") + among,
                           keys);
}

// Only a join or a query can lose a row.
bool may_drop(const Job &job) { return job.spec.transform.is_query() || !job.spec.transform.join.empty(); }

// Whatever is in the shadow may be wrong: empty it, and forget the log rows this snapshot sees, because the chunks that
// will fill the shadow again see what they tell.
DrainResult start_over(const Job &job, const TableShape &shape, std::int64_t taken) {
  note_file(job);
  taken += static_cast<std::int64_t>(
      pg::as_extension([&] { return pg::execute("DELETE FROM " + log_name(job)).processed; }));
  as_job_owner(job, [&] { pg::execute("TRUNCATE ONLY " + shadow_name(job, shape)); });
  return {.taken = taken, .keys = 0, .truncated = true};
}

// Within one snapshot.
DrainResult drain_seen(const Job &job, const TableShape &shape, std::optional<std::int64_t> limit) {
  if (was_altered(job)) {
    DrainResult result = start_over(job, shape, 0);
    result.altered = true;
    return result;
  }
  std::vector<KeyColumn> const key = read_key(job, job.live);
  Taken const taken = take(job, key.size(), limit);
  if (taken.marker) return start_over(job, shape, taken.rows);
  if (taken.keys.empty()) return {.taken = taken.rows};
  fault("drain", "taken");

  std::vector<pg::Param> const keys = key_params(taken.keys, key.size());
  DrainResult result{.taken = taken.rows};
  as_job_owner(job, [&] {
    result.keys = delete_from_shadow(job, shape, key, keys);
    fault("drain", "deleted");
    std::int64_t const written = insert_into_shadow(job, shape, key, keys);
    if (may_drop(job)) result.dropped = std::max<std::int64_t>(0, count_live(job, shape, key, keys) - written);
  });
  return result;
}

}  // namespace

DrainResult drain_batch(const Job &job, const TableShape &shape, std::int64_t limit) {
  return retry_with_all(limit, [&](std::optional<std::int64_t> at_most) {
    return pg::with_snapshot([&] { return drain_seen(job, shape, at_most); });
  });
}

DrainResult drain_all(const Job &job, const TableShape &shape) { return drain_seen(job, shape, std::nullopt); }

DrainResult purge_logged_keys(const Job &job, const TableShape &shape) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  std::string const page = "SELECT op, " + key_list(key.size(), "k") + ", ctid FROM " + log_name(job) +
                           " WHERE ctid > $1 ORDER BY ctid LIMIT $2";
  return pg::with_snapshot([&] {
    if (was_rewritten(job)) return start_over(job, shape, 0);
    DrainResult result;
    std::string after = "(0,0)";
    while (true) {
      pg::Result const rows = pg::as_extension([&] {
        return pg::execute(page, {pg::Param::of_type(27, after), pg::Param(purge_at_once)});
      });
      Taken const seen = read_taken(rows, key.size());
      if (seen.marker) return start_over(job, shape, 0);
      if (seen.rows == 0) return result;
      std::vector<pg::Param> const keys = key_params(seen.keys, key.size());
      as_job_owner(job, [&] { delete_from_shadow(job, shape, key, keys); });
      result.taken += seen.rows;
      result.keys += static_cast<std::int64_t>(seen.keys.size());
      after = *rows.values.back().back();
    }
  });
}

}  // namespace backfill
