// Each signal is one small query on what the server shows of itself; only those with a limit are asked.  Of several standbys,
// slots, disks the worst is told.
#include "run/signals.hpp"

#include <algorithm>

#include "core/units.hpp"
#include "pg/disk.hpp"
#include "pg/role.hpp"
#include "pg/worker.hpp"
#include "plan/disk.hpp"

namespace backfill {

namespace {

// Where throttle.free_disk does not say how much.
constexpr std::int64_t wal_segments_kept_free = 32, bytes_kept_free = 512 << 20;
constexpr std::int64_t page = 8192;  // of WAL: positions that differ by less are the same to us

std::string seconds(std::int64_t milliseconds) { return format_duration(static_cast<double>(milliseconds) / 1000); }

// Clients that wait for a backfill are active by name only.
constexpr char sessions_sql[] = R"(
SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call') AND pid <> pg_backend_pid()
   AND NOT (wait_event_type = 'Extension' AND query ~* 'backfill_wait'))";

void look_at_sessions(const Throttle &throttle, std::vector<Excess> &out) {
  if (!throttle.active_sessions) return;
  std::int64_t const active = pg::query_integer(sessions_sql);
  if (active > *throttle.active_sessions)
    out.push_back({"active_sessions", format_count(active) + (active == 1 ? " active session" : " active sessions") +
                                          ", limit " + format_count(*throttle.active_sessions)});
}

void look_at_slots(const Throttle &throttle, std::vector<Excess> &out) {
  if (throttle.slot_retained == 0) return;
  pg::Result const worst = pg::execute(
      "SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS retained"
      " FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY restart_lsn LIMIT 1");
  if (worst.empty() || worst[0].integer("retained") <= throttle.slot_retained) return;
  out.push_back({"slot_retained", format_bytes(worst[0].integer("retained")) + " of WAL retained by replication slot " +
                                      worst[0].text("slot_name") + ", limit " + format_bytes(throttle.slot_retained)});
}

// The xmin of a vacuum holds nobody back.
constexpr char oldest_sql[] = R"(
SELECT who, (extract(epoch FROM clock_timestamp() - since) * 1000)::bigint AS age FROM (
  SELECT format('process %s (%s)', pid, coalesce(usename, backend_type)) AS who, xact_start AS since
    FROM pg_stat_activity
   WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
     AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
     AND backend_type NOT IN ('backfill', 'autovacuum worker', 'parallel worker')
  UNION ALL
  SELECT format('prepared transaction "%s"', gid), prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS held ORDER BY since LIMIT 1)";

void look_at_snapshots(const Throttle &throttle, std::vector<Excess> &out) {
  if (throttle.oldest_snapshot == 0) return;
  pg::Result const oldest = pg::execute(oldest_sql);
  if (oldest.empty() || oldest[0].integer("age") <= throttle.oldest_snapshot) return;
  out.push_back({"oldest_snapshot", "a snapshot of " + oldest[0].text("who") + ", " +
                                        seconds(oldest[0].integer("age")) + " old, limit " +
                                        seconds(throttle.oldest_snapshot)});
}

// How far below the limit a disk is, as a share of the limit; not positive: it is not.
double shortage(const Throttle &throttle, const pg::DiskSpace &space) {
  double const limit = wanted_free(throttle, space.total);
  return limit > 0 ? 1 - static_cast<double>(space.free) / limit : 0;
}

// Without room for WAL the server stops, without room in its tablespace whoever writes to the table fails: the last of it is
// not ours, also where throttle.free_disk says nothing.  Nobody asked for this look, so a disk that does not tell holds nobody.
void look_at_last_room(const Job &job, std::vector<Excess> &out) {
  std::string reason;
  auto const look = [&](const std::string &name, const std::optional<pg::DiskSpace> &space, std::int64_t needed) {
    if (reason.empty() && space && space->free < needed)
      reason = format_bytes(space->free) + " of disk free for " + name + ", limit " + format_bytes(needed) +
               " where throttle.free_disk is not set";
  };
  look("pg_wal", pg::space_if_told(pg::wal_disk), wal_segments_kept_free * pg::wal_segment_bytes());
  for (const Place &place : places_of(job.live)) {
    std::optional<pg::DiskSpace> const space = pg::space_if_told([&] { return pg::tablespace_disk(place.tablespace); });
    look("tablespace " + place.name, space, space ? std::min(bytes_kept_free, space->total / 100) : 0);
  }
  if (!reason.empty()) out.push_back({"free_disk", reason});
}

void look_at_disks(const Job &job, std::vector<Excess> &out) {
  const Throttle &throttle = job.spec.throttle;
  if (throttle.free_disk == 0 && throttle.free_disk_percent <= 0) return look_at_last_room(job, out);
  double worst = 0;
  std::string reason;
  auto const look = [&](const std::string &name, const pg::DiskSpace &space) {
    double const now = shortage(throttle, space);
    if (now <= worst) return;
    worst = now;
    reason = format_bytes(space.free) + " of disk free for " + name + ", limit " +
             (throttle.free_disk > 0 ? format_bytes(throttle.free_disk) : format_percent(throttle.free_disk_percent));
  };
  look("pg_wal", pg::wal_disk());
  for (const Place &place : places_of(job.live))
    look("tablespace " + place.name, pg::tablespace_disk(place.tablespace));
  if (worst > 0) out.push_back({"free_disk", reason});
}

// `written` is when the segment that a standby is in was filled, where that is not the newest: so long at least it is behind,
// also before we have seen anything.
// What a logical subscriber has confirmed is no replay, and a base backup or an archiver does not replay at all.
constexpr char replicas_sql[] = R"(
SELECT coalesce(nullif(r.application_name, ''), host(r.client_addr), r.pid::text) AS name,
       (r.replay_lsn - pg_lsn '0/0')::bigint AS replayed,
       coalesce((extract(epoch FROM r.replay_lag) * 1000)::bigint, 0) AS told,
       CASE WHEN pg_walfile_name(r.replay_lsn) < pg_walfile_name(pg_current_wal_flush_lsn())
            THEN (SELECT (extract(epoch FROM clock_timestamp() - f.modification) * 1000)::bigint
                    FROM pg_stat_file('pg_wal/' || pg_walfile_name(r.replay_lsn), true) AS f) END AS written
  FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE r.state IN ('catchup', 'streaming') AND r.replay_lsn IS NOT NULL AND s.slot_type IS DISTINCT FROM 'logical')";

}  // namespace

// The server's own figure is the finer one while replay goes on, ours holds when it stands still.
void Signals::look_at_replicas(const Throttle &throttle, std::vector<Excess> &out) {
  if (throttle.replica_lag == 0) return;
  std::int64_t const now = pg::now_ms();
  std::int64_t const end = pg::query_integer("SELECT (pg_current_wal_flush_lsn() - pg_lsn '0/0')::bigint");
  wal_.note(end, now);
  std::int64_t least = end, worst = throttle.replica_lag;
  std::string name;
  pg::Result const replicas = pg::execute(replicas_sql);
  for (const pg::Row &row : replicas) {
    std::int64_t const replayed = row.integer("replayed");
    least = std::min(least, replayed);
    if (end - replayed < page) continue;  // it has it all; what it was behind before is past
    std::int64_t const lag = std::max({wal_.lag(replayed, now), row.integer("told"), row.integer("written")});
    if (lag <= worst) continue;
    worst = lag;
    name = row.text("name");
  }
  wal_.forget(least);
  if (!name.empty())
    out.push_back(
        {"replica_lag", "replica lag " + seconds(worst) + " of " + name + ", limit " + seconds(throttle.replica_lag)});
}

std::vector<Excess> Signals::look(const Job &job) {
  return pg::as_extension([&] {
    std::vector<Excess> out;
    look_at_replicas(job.spec.throttle, out);
    look_at_sessions(job.spec.throttle, out);
    look_at_slots(job.spec.throttle, out);
    look_at_disks(job, out);
    look_at_snapshots(job.spec.throttle, out);
    return out;
  });
}

std::optional<std::string> closed_window(const Job &job) {
  if (job.spec.throttle.windows.empty()) return std::nullopt;
  std::vector<std::string> days, opens, closes;
  for (const Window &window : job.spec.throttle.windows) {
    days.push_back(window.days);
    opens.push_back(window.opens_text());
    closes.push_back(window.closes_text());
  }
  return pg::as_extension([&]() -> std::optional<std::string> {
    pg::Result const found = pg::execute(
        "SELECT next <= now() AS open, to_char(next AT TIME ZONE $4, 'YYYY-MM-DD HH24:MI') AS opens"
        " FROM backfill.window_opens($1, $2::interval[], $3::interval[], $4, now()) AS next",
        {days, opens, closes, job.time_zone});
    if (found[0].boolean("open")) return std::nullopt;
    return "its window, opens at " + found[0].text("opens") + " " + job.time_zone;
  });
}

}  // namespace backfill
