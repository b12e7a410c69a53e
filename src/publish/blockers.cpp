// Everything is read from pg_locks and pg_stat_activity as they are now.  What the server itself would say (a lock that
// conflicts, an autovacuum that is cancelled by whoever waits for it) is told here as the server has it:
//
//   conflicts   the table of lock modes of the manual
//   autovacuum  gives way after deadlock_timeout, which is 10 ms in a try; the one that prevents wraparound does not
#include "publish/blockers.hpp"

#include <algorithm>
#include <optional>

#include "pg/role.hpp"
#include "pg/worker.hpp"

namespace backfill {

namespace {

// The server reads a session's state and its snapshot one after the other: a session that is busy may seem to be idle
// with a snapshot.  One that is so twice, so far apart (ms), and has done nothing in between, is.
constexpr long between_looks = 3;

// $1, $2: relations wanted and modes, as numbers.
constexpr char holders_sql[] = R"(
WITH mode (name, label, level, conflicts) AS (VALUES
       ('AccessShareLock', 'ACCESS SHARE', 1, '{8}'::int[]),
       ('RowShareLock', 'ROW SHARE', 2, '{7,8}'),
       ('RowExclusiveLock', 'ROW EXCLUSIVE', 3, '{5,6,7,8}'),
       ('ShareUpdateExclusiveLock', 'SHARE UPDATE EXCLUSIVE', 4, '{4,5,6,7,8}'),
       ('ShareLock', 'SHARE', 5, '{3,4,6,7,8}'),
       ('ShareRowExclusiveLock', 'SHARE ROW EXCLUSIVE', 6, '{3,4,5,6,7,8}'),
       ('ExclusiveLock', 'EXCLUSIVE', 7, '{2,3,4,5,6,7,8}'),
       ('AccessExclusiveLock', 'ACCESS EXCLUSIVE', 8, '{1,2,3,4,5,6,7,8}')),
     locks AS MATERIALIZED (SELECT * FROM pg_locks WHERE locktype IN ('relation', 'transactionid')),
     held AS (
       SELECT l.pid, l.virtualtransaction, l.granted, l.relation, m.label, m.level
         FROM unnest($1::oid[], $2::int[]) AS w (relation, level)
         JOIN locks l ON l.locktype = 'relation' AND l.relation = w.relation
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         JOIN mode m ON m.name = l.mode AND w.level = ANY (m.conflicts)
        WHERE l.pid IS DISTINCT FROM pg_backend_pid())
SELECT DISTINCT ON (h.granted, a.pid, p.gid)
       a.pid, a.usename, a.backend_type, a.state, a.application_name, p.gid, h.granted, h.label AS lock,
       format('%I.%I', n.nspname, c.relname) AS relation, coalesce(v.phase, i.phase) AS phase,
       round(100.0 * v.heap_blks_scanned / nullif(v.heap_blks_total, 0)) AS percent,
       a.query LIKE 'autovacuum:%(to prevent wraparound)' AS wraparound, a.query LIKE 'autovacuum: ANALYZE%' AS analyze,
       h.level = 4 AS maintains,
       (1000 * extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)))::bigint AS open_ms
  FROM held h
  JOIN pg_class c ON c.oid = h.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity a ON a.pid = h.pid
  LEFT JOIN pg_stat_progress_vacuum v ON v.pid = h.pid
  LEFT JOIN pg_stat_progress_create_index i ON i.pid = h.pid
  LEFT JOIN locks own ON h.pid IS NULL AND own.locktype = 'transactionid' AND own.pid IS NULL
   AND own.virtualtransaction = h.virtualtransaction
  LEFT JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
 WHERE a.pid IS NOT NULL OR p.gid IS NOT NULL
 ORDER BY h.granted DESC, a.pid, p.gid, h.level DESC)";

// A wait that has only just begun has no time yet.
constexpr char waiting_sql[] = R"(
WITH waits AS MATERIALIZED (
  SELECT pid, min(waitstart) AS since, bool_or(locktype = 'virtualxid') AS for_snapshot FROM pg_locks
   WHERE NOT granted AND NOT (locktype = 'object' AND classid = 'backfill.job'::regclass) GROUP BY pid)
SELECT a.pid, a.usename, a.backend_type, a.state, a.application_name, w.for_snapshot,
       (1000 * extract(epoch FROM clock_timestamp() - a.xact_start))::bigint AS open_ms,
       (1000 * extract(epoch FROM clock_timestamp() - coalesce(w.since, clock_timestamp())))::bigint AS waits_ms
  FROM waits w JOIN pg_stat_activity a USING (pid)
 WHERE a.backend_type NOT IN ('backfill', 'autovacuum worker') AND pg_backend_pid() = ANY (pg_blocking_pids(w.pid))
 ORDER BY w.since)";

// Activity is read once a transaction unless told otherwise.
void read_activity_anew() { pg::execute("SELECT pg_stat_clear_snapshot()"); }

std::string seconds(const pg::Row &row) { return std::to_string(row.integer("open_ms") / 1000) + " s"; }

void add(std::string &text, const std::string &part) { text += (text.empty() ? "" : ", ") + part; }

std::string progress(const pg::Row &row) {
  if (row.null("phase")) return {};
  return row.text("phase") + (row.null("percent") ? "" : " " + row.text("percent") + " %");
}

// Who a process is: its role, or what kind of process where nobody is behind it.
std::string identity(const pg::Row &row) {
  std::string const type = row.text("backend_type");
  if (type == "client backend") return row.text("usename");
  return type == "backfill" ? row.text("application_name") : type;
}

Blocker session(const pg::Row &row) {
  Blocker blocker;
  blocker.who = "process " + row.text("pid");
  add(blocker.what, identity(row));
  if (!row.null("state")) add(blocker.what, row.text("state"));
  if (!row.null("open_ms")) add(blocker.what, "open for " + seconds(row));
  return blocker;
}

Blocker autovacuum(const pg::Row &row) {
  Blocker blocker;
  blocker.who = "process " + row.text("pid");
  blocker.what = row.boolean("wraparound") ? "autovacuum to prevent wraparound, which does not give way"
                 : row.boolean("analyze")  ? "autovacuum, analyzing"
                                           : "autovacuum";
  if (std::string const how_far = progress(row); !how_far.empty()) add(blocker.what, how_far);
  if (!row.null("open_ms")) add(blocker.what, "running for " + seconds(row));
  blocker.lasting = row.boolean("wraparound");
  return blocker;
}

Blocker prepared(const pg::Row &row) {
  Blocker blocker;
  blocker.who = "prepared transaction \"" + row.text("gid") + "\"";
  add(blocker.what, "prepared " + seconds(row) + " ago");
  blocker.lasting = true;
  return blocker;
}

Blocker holder(const pg::Row &row, std::int64_t long_open) {
  Blocker blocker;
  if (row.null("pid")) {
    blocker = prepared(row);
  } else if (row.text("backend_type") == "autovacuum worker") {
    blocker = autovacuum(row);
  } else {
    blocker = session(row);
    std::string const how_far = progress(row);
    if (!how_far.empty()) add(blocker.what, how_far);
    blocker.lasting = row.boolean("maintains") || !how_far.empty() || row.integer("open_ms") > long_open;
  }
  blocker.holds = row.boolean("granted");
  if (!blocker.holds) blocker.lasting = false;
  add(blocker.what, (blocker.holds ? "holds " : "waits for ") + row.text("lock") + " on " + row.text("relation"));
  return blocker;
}

// A prepared transaction holds its locks without a process.
std::vector<Blocker> prepared_on(const std::vector<Job> &jobs) {
  std::vector<LockRequest> wanted;
  for (const Job &job : jobs) wanted.push_back({job.live, pg::LockMode::access_exclusive});
  std::vector<Blocker> found = lock_holders(wanted, 0);
  std::erase_if(found, [](const Blocker &blocker) { return !blocker.who.starts_with("prepared"); });
  return found;
}

struct SnapshotHolder {
  Blocker blocker;
  std::string mark;  // the process, its snapshot, and since when it is in this state
};

std::vector<SnapshotHolder> look_for_snapshots(const std::vector<Job> &jobs) {
  std::optional<std::string> horizon;
  for (const Job &job : jobs)
    if (job.copy_horizon && (!horizon || std::stoull(*job.copy_horizon) > std::stoull(*horizon)))
      horizon = job.copy_horizon;
  read_activity_anew();
  std::vector<SnapshotHolder> found;
  for (const pg::Row &row :
       pg::execute("SELECT a.pid, a.usename, a.backend_type, a.state, a.application_name,"
                   " (1000 * extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start)))::bigint"
                   " AS open_ms, concat_ws(' ', a.pid, a.backend_xmin, a.state_change) AS mark FROM pg_stat_activity a"
                   " WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()"
                   " AND a.backend_xmin IS NOT NULL AND a.backend_type NOT IN ('autovacuum worker')"
                   " AND (a.state LIKE 'idle in transaction%' OR a.state = 'disabled'"
                   " OR age(a.backend_xmin) > age($1::xid8::xid)) ORDER BY a.pid",
                   {horizon})) {
    found.push_back({session(row), row.text("mark")});
    add(found.back().blocker.what, "holds a snapshot");
  }
  return found;
}

}  // namespace

std::string describe(const Blocker &blocker) { return blocker.who + " (" + blocker.what + ")"; }

std::string describe(const std::vector<Blocker> &blockers) {
  std::string text;
  for (const Blocker &blocker : blockers) add(text, describe(blocker));
  return text;
}

std::vector<Blocker> lock_holders(const std::vector<LockRequest> &wanted, std::int64_t long_open) {
  std::vector<std::string> relations, modes;
  for (const LockRequest &request : wanted) {
    relations.push_back(std::to_string(request.relation));
    modes.push_back(std::to_string(static_cast<int>(request.mode)));
  }
  return pg::as_extension([&] {
    read_activity_anew();
    std::vector<Blocker> found;
    for (const pg::Row &row : pg::execute(holders_sql, {relations, modes})) found.push_back(holder(row, long_open));
    if (std::any_of(found.begin(), found.end(), [](const Blocker &blocker) { return blocker.holds; }))
      std::erase_if(found, [](const Blocker &blocker) { return !blocker.holds; });
    return found;
  });
}

Waiting waiting_for_us(const std::vector<Blocker> &met) {
  return pg::as_extension([&] {
    read_activity_anew();
    Waiting waiting;
    for (const pg::Row &row : pg::execute(waiting_sql)) {
      Blocker one = session(row);
      bool const in_the_way =
          std::any_of(met.begin(), met.end(), [&](const Blocker &other) { return other.who == one.who; });
      if (row.boolean("for_snapshot") && !in_the_way) continue;
      add(one.what, "waits for this transaction");
      waiting.who.push_back(std::move(one));
      waiting.longest = std::max(waiting.longest, row.integer("waits_ms"));
    }
    return waiting;
  });
}

bool own_process_waits_for_us() {
  return pg::as_extension([] {
    read_activity_anew();
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE backend_type = 'backfill' AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))");
  });
}

std::vector<Blocker> job_lock_holders(int job, pg::JobLock purpose) {
  return pg::as_extension([&] {
    int const pid = pg::job_lock_holder(job, purpose);
    read_activity_anew();
    std::vector<Blocker> found;
    for (const pg::Row &row :
         pg::execute("SELECT pid, usename, backend_type, state, application_name,"
                     " (1000 * extract(epoch FROM clock_timestamp() - xact_start))::bigint AS open_ms"
                     " FROM pg_stat_activity WHERE pid = $1 AND pid <> pg_backend_pid()",
                     {pid}))
      found.push_back(session(row));
    return found;
  });
}

std::vector<Blocker> snapshot_holders(const std::vector<Job> &jobs) {
  return pg::as_extension([&] {
    std::vector<SnapshotHolder> const first = look_for_snapshots(jobs);
    std::vector<Blocker> found;
    if (!first.empty()) {
      pg::sleep_interruptibly(between_looks);
      for (const SnapshotHolder &holder : look_for_snapshots(jobs))
        if (std::any_of(first.begin(), first.end(),
                        [&](const SnapshotHolder &before) { return before.mark == holder.mark; }))
          found.push_back(holder.blocker);
    }
    for (Blocker &blocker : prepared_on(jobs)) found.push_back(std::move(blocker));
    return found;
  });
}

}  // namespace backfill
