// Publishing by writing the rows that differ to the table in service, and taking that back.
//
//   publish    1  before the lock, in one snapshot: drain; the archive gets every row in scope that differs from the
//                 shadow's, as it is now (class Before)
//              2  before the lock, and again under it: the keys that wait in the log are drained, and of these keys the
//                 archive is made anew: so it always has exactly the rows that differ
//              3  EXCLUSIVE on the table: writers wait, readers do not; nobody has a row of it locked
//              4  rows of the archive are updated from the shadow, column by column; only those that the transform sets
//              5  capture is turned around: what writers do from now on is carried into the archive
//   rollback   the reverse log is drained, capture turned back, and the archive's columns written, where they still differ
//
// docs/design.md, section 7, "In place", says why this loses no write.  User triggers do not fire for what is written
// (session_replication_role = replica), and plan/written.hpp keeps away whatever they would have to judge.
#include <algorithm>

#include "capture/capture.hpp"
#include "capture/carried.hpp"
#include "capture/drain.hpp"
#include "capture/log.hpp"
#include "catalog/cutover.hpp"
#include "catalog/suspension.hpp"
#include "copy/shadow.hpp"
#include "copy/shape.hpp"
#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/acl.hpp"
#include "pg/fault.hpp"
#include "pg/replica_identity.hpp"
#include "pg/role.hpp"
#include "pg/snapshot.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "plan/written.hpp"
#include "publish/cutover.hpp"
#include "publish/downstream.hpp"
#include "publish/preconditions.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"
#include "publish/service.hpp"
#include "publish/way_back.hpp"

namespace backfill {

namespace {

constexpr long long blocks_at_once = 32;  // of the archive, between two looks at the clock
constexpr std::int64_t little = 100;      // log rows: no need to drain once more before the lock
constexpr int passes_ahead = 10;

std::string rows_text(std::int64_t rows) { return format_count(rows) + (rows == 1 ? " row" : " rows"); }

// The tables, and the pieces that statements about them are made of.  Run as_job_owner.
class Tables {
 public:
  explicit Tables(const Job &job)
      : job_(job),
        shape_(read_shape(job)),
        key_(read_key(job, job.live)),
        written_(written_columns(job.live, job.spec, job.key)),
        live_(qualified(shape_.schema, shape_.table)),
        shadow_(qualified(job.target_schema, job.shadow_name)),
        archive_(qualified(job.target_schema, job.archive_name)) {
    // Of a query all columns count, but not those added since publish.
    std::erase_if(written_, [&](const std::string &name) {
      return std::none_of(shape_.columns.begin(), shape_.columns.end(),
                          [&](const TableShape::Column &column) { return column.name == name; });
    });
  }

  const Job &job() const { return job_; }
  const TableShape &shape() const { return shape_; }
  const std::vector<KeyColumn> &key() const { return key_; }
  const std::string &archive() const { return archive_; }

  // INSERT of the rows in scope that differ: all, or those with the keys of keys_item().
  std::string keep_sql(bool by_key) const {
    std::string names, values;
    for (const TableShape::Column &column : shape_.columns) {
      names += (names.empty() ? "" : ", ") + quote_ident(column.name);
      values += (values.empty() ? "l." : ", l.") + quote_ident(column.name);
    }
    return "INSERT INTO " + archive_ + " (" + names + ") SELECT " + values + " FROM " + live_rows(by_key) +
           " JOIN ONLY " + shadow_ + " AS s ON " + same_key("s", "l") + " WHERE " + differ("l", "s");
  }
  std::string forget_sql() const {
    return "DELETE FROM ONLY " + archive_ + " AS a USING " + keys_item(key_) + " WHERE " +
           key_matches(shape_, "a", "k");
  }
  // How many rows one side has and the other has not.
  std::string unpaired_sql(bool by_key) const {
    std::string const shadow = by_key ? "(SELECT s.* FROM ONLY " + shadow_ + " AS s JOIN " + keys_item(key_) + " ON " +
                                            key_matches(shape_, "s", "k") + ") AS s"
                                      : "ONLY " + shadow_ + " AS s";
    std::string const first = quote_ident(shape_.key[0].name);
    return "SELECT count(*) FROM " + live_rows(by_key) + " FULL JOIN " + shadow + " ON " + same_key("s", "l") +
           " WHERE l." + first + " IS NULL OR s." + first + " IS NULL";
  }
  // UPDATE of the rows that the archive's blocks [lo, lo + blocks_at_once) name.
  std::string write_sql(long long lo) const {
    return "UPDATE ONLY " + live_ + " AS l SET " + assignments("s") + " FROM ONLY " + archive_ + " AS a JOIN ONLY " +
           shadow_ + " AS s ON " + same_key("s", "a") + " WHERE " + same_key("l", "a") + " AND " + in_blocks(lo);
  }
  std::string restore_sql(long long lo) const {
    return "UPDATE ONLY " + live_ + " AS l SET " + assignments("a") + " FROM ONLY " + archive_ + " AS a WHERE " +
           same_key("l", "a") + " AND " + differ("l", "a") + " AND " + in_blocks(lo);
  }

 private:
  std::string live_rows(bool by_key) const {
    return "(SELECT l.* FROM ONLY " + live_ + " AS l" +
           (by_key ? " JOIN " + keys_item(key_) + " ON " + key_matches(shape_, "l", "k") : std::string()) + " WHERE " +
           in_scope_sql(job_, shape_, "l") + ") AS l";
  }
  std::string same_key(const char *a, const char *b) const {
    std::string same;
    for (const TableShape::Column &column : shape_.key) {
      std::string const name = quote_ident(column.name);
      same += (same.empty() ? "" : " AND ") + (a + ("." + name)) + " " + column.equals + " " + b + "." + name;
    }
    return same;
  }
  std::string image(const std::string &alias) const {
    std::string columns;
    for (const std::string &column : written_)
      columns += (columns.empty() ? "" : ", ") + alias + "." + quote_ident(column);
    return "ROW(" + columns + ")::record";
  }
  std::string differ(const char *a, const char *b) const { return image(a) + " OPERATOR(pg_catalog.*<>) " + image(b); }
  std::string assignments(const std::string &from) const {
    std::string list;
    for (const std::string &column : written_)
      list += (list.empty() ? "" : ", ") + quote_ident(column) + " = " + from + "." + quote_ident(column);
    return list;
  }
  static std::string in_blocks(long long lo) {
    return "a.ctid >= '(" + std::to_string(lo) + ",0)'::pg_catalog.tid AND a.ctid < '(" +
           std::to_string(lo + blocks_at_once) + ",0)'::pg_catalog.tid";
  }

  const Job &job_;
  TableShape shape_;
  std::vector<KeyColumn> key_;
  std::vector<std::string> written_;
  std::string live_, shadow_, archive_;
};

Oid oid_of(const std::string &table) {
  return static_cast<Oid>(
      pg::as_extension([&] { return pg::query_integer("SELECT coalesce(to_regclass($1)::oid, 0)::bigint", {table}); }));
}

Error rows_come_or_go(const Job &job, std::int64_t rows) {
  return Error(sqlstate::object_not_in_prerequisite_state,
               "backfill \"" + job.name + "\" cannot be published: rows would come or go",
               rows_text(rows) + " in scope " + (rows == 1 ? "is" : "are") +
                   " only in the table or only in the new version; strategy merge updates rows, and nothing else.",
               "Look at backfill_diff; correct the transform, or cancel the backfill and plan it with strategy: {type: "
               "swap}.");
}

// The archive while it is made: the rows in scope that differ from the new version, as they are.  It is the ground of the
// tries, made once and kept in step; from its first moment nobody else drains.
class Before {
 public:
  explicit Before(const Job &job) : tables_(job) {}

  // What may take long.  Raises Overtaken, or 55000 where rows would come or go.
  void catch_up(bool anew) {
    const Job &job = tables_.job();
    lock_job_in_time(job.id, pg::JobLock::drain);
    with_patience(limits_of({job}).lock_timeout, [&] {
      if (anew) {
        drain_backlog(job, true);
        make();
      }
      (void)follow();
    });
  }

  // Drains what waits, and follows it.  Returns the log rows taken.
  std::int64_t follow() {
    DrainResult drained;
    std::int64_t const unpaired = pg::with_one_snapshot([&] {
      std::vector<KeyText> const keys = waiting_keys();
      drained = drain_all(tables_.job(), tables_.shape());
      return keys.empty() || drained.truncated ? std::int64_t{0} : renew(keys);
    });
    judge(drained, unpaired);
    return drained.taken;
  }

  std::int64_t rows() const {
    return as_job_owner(tables_.job(),
                        [&] { return pg::query_integer("SELECT count(*) FROM ONLY " + tables_.archive()); });
  }
  Oid archive() const { return oid_of(tables_.archive()); }
  const Tables &tables() const { return tables_; }

  // It is nobody's while nothing is published.
  void drop() {
    pg::as_extension([&] { pg::execute_quietly("DROP TABLE IF EXISTS " + tables_.archive()); });
  }

 private:
  // Outside of the snapshot: what a drain met is to be kept, and this is no error to everybody.
  void judge(const DrainResult &drained, std::int64_t unpaired) const {
    require_not_overtaken(tables_.job(), drained);
    if (unpaired > 0) throw rows_come_or_go(tables_.job(), unpaired);
  }

  void make() {
    create();
    DrainResult drained;
    std::int64_t const unpaired = pg::with_one_snapshot([&]() -> std::int64_t {
      drained = drain_all(tables_.job(), tables_.shape());
      if (drained.truncated) return 0;
      return as_job_owner(tables_.job(), [&] {
        pg::execute(tables_.keep_sql(false));
        return pg::query_integer(tables_.unpaired_sql(false));
      });
    });
    judge(drained, unpaired);
    const Job &job = tables_.job();
    Oid const archive = oid_of(tables_.archive());
    pg::as_extension([&] {
      for (const Step &step : load_steps(job.id, "key"))
        copy_index(job, static_cast<Oid>(parse_document(step.params).find("index")->integer()),
                   {job.live, archive, archive_index_name});
      pg::execute("ANALYZE " + tables_.archive());
    });
    fault("publish", "kept");
  }

  // Plain columns: nothing is computed or demanded there.
  void create() {
    const Job &job = tables_.job();
    pg::as_extension([&] {
      pg::execute("CREATE TABLE " + tables_.archive() + " (LIKE " + table_sql(job.live) +
                  " INCLUDING STORAGE INCLUDING COMPRESSION)");
      pg::execute("COMMENT ON TABLE " + tables_.archive() + " IS " +
                  quote_literal("What the rows were that backfill " + job.name + " has written, for a rollback"));
      Oid const archive = oid_of(tables_.archive());
      pg::execute("ALTER TABLE " + tables_.archive() + " OWNER TO " + quote_ident(pg::role_name(job.owner)));
      pg::clear_privileges(archive);
      pg::identify_rows(archive);
    });
  }

  // Those that this snapshot sees; a marker of TRUNCATE is met by the drain.
  std::vector<KeyText> waiting_keys() const {
    std::size_t const columns = tables_.key().size();
    pg::Result const rows = pg::as_extension([&] {
      return pg::execute("SELECT DISTINCT " + key_list(columns, "k") + " FROM " + log_name(tables_.job()) +
                         " WHERE op <> 't'");
    });
    std::vector<KeyText> keys;
    for (const auto &values : rows.values) {
      keys.emplace_back();
      for (const auto &value : values) keys.back().push_back(value.value_or(""));
    }
    return keys;
  }

  // Returns how many of these rows one side has and the other has not.
  std::int64_t renew(const std::vector<KeyText> &keys) const {
    std::vector<pg::Param> const params = key_params(keys, tables_.key().size());
    return as_job_owner(tables_.job(), [&] {
      pg::execute(tables_.forget_sql(), params);
      pg::execute(tables_.keep_sql(true), params);
      return pg::query_integer(tables_.unpaired_sql(true), params);
    });
  }

  Tables tables_;
};

Error too_long(const Job &job, const std::string &verb, const std::string &what, const std::string &hint) {
  return Error(sqlstate::object_not_in_prerequisite_state, "could not " + verb + " " + job.name + " within max_lock",
               what + "  Writers would wait meanwhile for longer than publish.max_lock (" +
                   std::to_string(job.spec.publish.max_lock) + " ms).  Nothing was changed.",
               hint);
}

std::string longer(const Job &job) {
  return "Cancel the backfill and plan it with a larger publish.max_lock, or with strategy: {type: swap}: " +
         std::string("SELECT backfill_cancel(") + quote_literal(job.name) + ");";
}

void require_short(const Before &before, std::int64_t rows) {
  const Job &job = before.tables().job();
  double const seconds = seconds_to_write(job.live, static_cast<double>(rows));
  if (seconds * 1000 <= static_cast<double>(job.spec.publish.max_lock)) return;
  throw too_long(job, "publish",
                 rows_text(rows) + " differ, and writing them is expected to take " + format_duration(seconds) + ".",
                 longer(job));
}

// Runs statement(lo) over the archive, piece by piece; as the owner, without his triggers.  Each row of the table is looked
// up by its key, whatever the planner would think of a table that it has not seen yet.  Returns the rows written.
template <typename Statement>
std::int64_t write_rows(const Tables &tables, Oid archive, const std::string &verb, Try &attempt, Statement statement) {
  const Job &job = tables.job();
  std::int64_t written = 0;
  pg::as_extension([&] {
    long long const blocks = pg::query_integer(
        "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint", {pg::Param::oid(archive)});
    for (long long lo = 0; lo < blocks; lo += blocks_at_once) {
      written += static_cast<std::int64_t>(as_job_owner(job, [&] {
        for (const char *const way : {"enable_hashjoin", "enable_mergejoin", "enable_material"})
          pg::set_local(way, "off");
        pg::set_local("session_replication_role", "replica");
        return pg::execute(statement(lo)).processed;
      }));
      try {
        attempt.require_time("write the rows");
      } catch (const Busy &) {  // the next try would take as long
        throw too_long(
            job, verb, rows_text(written) + " were written when the time was used up.",
            verb == "publish" ? longer(job) : "Keep it with SELECT backfill_finish(" + quote_literal(job.name) + ");");
      }
    }
  });
  return written;
}

// Writers are shut out one way or the other: DDL first, then all.
void lock_out_ddl(const Job &job, const std::string &state, Try &attempt) {
  interrupt_refreshes(job);
  attempt.lock_job(job.id, pg::JobLock::drain);
  require_state(job, state);
  attempt.lock({job.live, pg::LockMode::share_update_exclusive}, true);
}

Job as_published(const Job &job, Oid archive) {
  Job now = job;
  now.state = "published";
  now.archive = archive;
  return now;
}

Job as_ready(const Job &job) {
  Job now = job;
  now.state = "ready";
  now.archive = 0;
  return now;
}

std::int64_t put_into_service(const Job &job, Before &before, Try &attempt) {
  lock_out_ddl(job, "ready", attempt);
  require_writable(job);
  Oid const archive = before.archive();
  Job const now = as_published(job, archive);
  create_reverse_log(now);
  for (int pass = 0; pass < passes_ahead && before.follow() >= little; pass++) {
  }
  require_short(before, before.rows());
  fault("publish", "prepared");

  attempt.lock_all({{job.live, pg::LockMode::exclusive}});
  fault("publish", "locked");
  if (pending_keys(job) > 2 * final_drain_limit) throw Busy("more keys are waiting than fit into max_lock");
  (void)before.follow();
  fault("publish", "drained");
  std::int64_t const rows = before.rows();
  attempt.require_time("write the rows");
  std::int64_t const written = write_rows(before.tables(), archive, "publish", attempt,
                                          [&](long long lo) { return before.tables().write_sql(lo); });
  if (written != rows)
    throw Error(sqlstate::internal_error,
                std::to_string(written) + " of " + std::to_string(rows) + " rows were written");
  fault("publish", "moved");
  // Of our own writes the log need not know: shadow and table agree.
  pg::as_extension([&] { pg::execute("DELETE FROM " + log_name(job)); });
  install_reverse_capture(now);
  install_guard(now);
  fault("publish", "captured");
  return rows;
}

std::string told(const Job &job, std::int64_t rows, const std::string &until) {
  return rows_text(rows) + " written, what they were is " + display_name(job.target_schema, job.archive_name) +
         " until " + until;
}

std::int64_t take_out_of_service(const Job &job, const Tables &tables, Try &attempt) {
  lock_out_ddl(job, "published", attempt);
  require_written_undoable(job);
  for (int pass = 0; pass < passes_ahead && drain_reverse(job, tables.shape(), final_drain_limit).taken >= little;
       pass++) {
  }
  fault("rollback", "prepared");
  attempt.lock_all({{job.archive, pg::LockMode::access_exclusive}, {job.live, pg::LockMode::exclusive}});
  fault("rollback", "locked");
  if (pending_keys(job) > 2 * final_drain_limit) throw Busy("more keys are waiting than fit into max_lock");
  while (drain_reverse(job, tables.shape(), final_drain_limit).taken >= final_drain_limit)
    attempt.require_time("drain what was left");
  fault("rollback", "drained");
  attempt.require_time("write the rows");
  // From here on what is written is logged for the shadow, these rows among it.
  install_capture(as_ready(job));
  std::int64_t const restored =
      write_rows(tables, job.archive, "roll back", attempt, [&](long long lo) { return tables.restore_sql(lo); });
  fault("rollback", "moved");
  pg::as_extension([&] {
    pg::execute("DROP TABLE " + tables.archive());
    pg::execute_quietly("DROP TABLE IF EXISTS " + reverse_log_name(job));
  });
  fault("rollback", "captured");
  return restored;
}

}  // namespace

std::string publish_in_place(const std::vector<Job> &jobs) {
  const Job &job = jobs.front();
  if (jobs.size() > 1)
    throw Error(sqlstate::feature_not_supported, "a backfill of strategy merge is published by itself",
                "Rows are written to the table in service, which is no swap.",
                "Publish one after the other, in one transaction where they belong together.");
  require_read_committed("backfill_publish");
  require_writable(job);
  require_free_archive_name(job);
  suspend_cron_jobs(job);
  fault("publish", "begun");

  Before before(job);
  std::int64_t rows = 0;
  std::string until;
  try {
    Tries const tries = with_tries(
        limits_of(jobs), "publish " + job.name,
        [&](Try &attempt) {
          rows = put_into_service(job, before, attempt);
          until = retention_end(job);
          record_published(job, {job.live, job.shadow, before.archive()}, until,
                           describe(attempt.so_far()) + "; " + told(job, rows, until), rows);
          drop_twins(job, set_after_steps(job.id, pg::as_extension([&] { return after_in_place(job); })));
          fault("publish", "recorded");
        },
        [&](bool anew) { before.catch_up(anew); });
    pg::set_local("synchronous_commit", "local");
    fault_at_commit("publish");
    return "published " + job.name + " " + describe(tries) + "; " + told(job, rows, until) + tell_refreshes(job) +
           "; undo with SELECT backfill_rollback(" + quote_literal(job.name) + ");";
  } catch (const Overtaken &overtaken) {
    before.drop();
    return start_over(job, overtaken);
  }
}

std::string roll_back_in_place(const Job &job, const std::vector<std::string> &discard) {
  if (!discard.empty())
    throw Error(sqlstate::invalid_parameter_value, "there is nothing to discard of column \"" + discard.front() + "\"",
                "The table stays where it is, with all its columns.", "Leave discard out.");
  require_way_back_in_place(job);
  suspend_cron_jobs(job);

  Tables const tables(job);
  std::int64_t const written = rows_published(job.id);
  std::string story;
  Tries const tries = with_tries(
      limits_of({job}), "roll back " + job.name,
      [&](Try &attempt) {
        std::int64_t const restored = take_out_of_service(job, tables, attempt);
        story = rows_text(restored) + " restored, " + format_count(std::max<std::int64_t>(0, written - restored)) +
                " left as they were written since publish";
        record_rolled_back(job, {job.live, job.shadow, 0}, describe(attempt.so_far()) + "; " + story);
        drop_twins(job, set_after_steps(job.id, pg::as_extension([&] { return after_in_place(job); })));
        fault("rollback", "recorded");
      },
      [&](bool) { drain_backlog(job, false); });
  return describe(tries) + "; " + story;
}

std::vector<Step> after_in_place(const Job &job) { return after_downstream(publishing(job)); }

void require_way_back_in_place(const Job &job) {
  require_archive(job);
  require_written_undoable(job);
}

}  // namespace backfill
