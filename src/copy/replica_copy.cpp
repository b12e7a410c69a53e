// A batch is: COPY of the very SELECT that would be run here, into the shadow, and a last look: only a server that is still a
// standby, on the timeline of this one, has read what this one wrote.
//
// The connection is the worker's, kept from batch to batch.  What it is connected to is established when it is opened; what
// may change is asked before and after each batch.
#include "copy/replica_copy.hpp"

#include "copy/batch_copy.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/replica.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"

namespace backfill {

namespace {

constexpr long connect_ms = 10000;

std::string connected_to;  // the name of the server, while there is a connection

std::string label(const Job &job) { return "replica " + quote_ident(job.spec.read_from.server); }

// ---- connecting ----

// What a text means is the same there: what pg/role.hpp and as_job_owner() pin here.  And nothing may stop the work there
// but the replica's own needs.
std::string pin_settings(const Job &job) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"application_name", "backfill " + job.name},
      {"search_path", job.search_path},
      {"TimeZone", job.time_zone},
      {"default_transaction_isolation", "read committed"},
      {"default_transaction_read_only", "on"},
      {"synchronize_seqscans", "off"},
      {"jit", "off"},
      {"statement_timeout", "0"},
      {"lock_timeout", "0"},
      {"transaction_timeout", "0"},
      {"idle_in_transaction_session_timeout", "0"},
      {"idle_session_timeout", "0"},
      {"client_connection_check_interval", "1s"},
  };
  for (const pg::PinnedSetting &pinned : pg::pinned_settings()) settings.emplace_back(pinned.name, pinned.value);
  for (std::size_t i = 0; i + 1 < job.settings.size(); i += 2)
    settings.emplace_back(job.settings[i], job.settings[i + 1]);
  std::string list;
  for (const auto &[name, value] : settings)
    list += (list.empty() ? "(" : ", (") + quote_literal(name) + ", " + quote_literal(value) + ")";
  return "SELECT pg_catalog.count(pg_catalog.set_config(name, value, false)) FROM (VALUES " + list +
         ") AS pinned (name, value) WHERE pg_catalog.current_setting(name, true) IS NOT NULL";
}

// Before any name of the job's search_path can mean something.
void require_same_system(const Job &job, const ServerFacts &here) {
  const auto there = pg::ask_replica(
      "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
      " pg_catalog.current_setting('server_version_num')::pg_catalog.int4 / 10000,"
      " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())");
  const std::string home = *there[0] + "/" + *there[2];
  if (*there[1] != std::to_string(here.major) || home != job.home)
    throw pg::ReplicaError("08004", "it is not a standby of this server, or this is not the same database",
                           "System and database there are " + home + " of version " + *there[1] + ", here " + job.home +
                               " of version " + std::to_string(here.major) + ".");
}

void connect(const Job &job, const ServerFacts &here) {
  const pg::ForeignServer server =
      pg::transaction([&] { return pg::find_foreign_server(job.spec.read_from.server, job.owner); });
  pg::open_replica(server, connect_ms);
  require_same_system(job, here);
  pg::ask_replica(pin_settings(job));
  connected_to = server.name;
}

// ---- looking ----

constexpr char standby_sql[] =
    "SELECT pg_catalog.pg_is_in_recovery(),"
    // What it receives, which only members of pg_read_all_stats are shown; and what it has at least replayed.
    " COALESCE((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver), 0),"
    " GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),"
    " (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()))";

// A server that has been promoted, or follows one that was, has rows that were never here.
void require_standby(const std::int64_t timeline) {
  const auto there = pg::ask_replica(standby_sql);
  if (*there[0] != "t") throw pg::ReplicaError("08004", "it is no standby: it was promoted, or is this server itself");
  const std::int64_t received = std::stoll(*there[1]), replayed = std::stoll(*there[2]);
  if ((received != 0 && received != timeline) || replayed > timeline)
    throw pg::ReplicaError("08004",
                           "it follows timeline " + std::to_string(std::max(received, replayed)) +
                               ", and this server is on " + std::to_string(timeline),
                           "A server between this one and the replica was promoted.");
}

struct Lag {
  bool marked;
  std::string replayed;
  std::int64_t bytes, ms;
};

Lag look(const Job &job, const ReplicaState &state, const ServerFacts &here) {
  const std::string lsn = quote_literal(here.lsn) + "::pg_catalog.pg_lsn";
  const auto row =
      pg::ask_replica("SELECT backfill.is_replayed(" + std::to_string(job.id) + ", " + quote_literal(state.mark) +
                      "), replayed, GREATEST(pg_catalog.pg_wal_lsn_diff(" + lsn +
                      ", replayed), 0)::pg_catalog.int8, CASE WHEN replayed OPERATOR(pg_catalog.>=) " + lsn +
                      " THEN 0 ELSE COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
                      "pg_catalog.pg_last_xact_replay_timestamp()) OPERATOR(pg_catalog.*) 1000, 0)::pg_catalog.int8 END"
                      " FROM pg_catalog.pg_last_wal_replay_lsn() AS replayed");
  return {row[0] == "t", row[1].value_or("0/0"), std::stoll(row[2].value_or("0")), std::stoll(row[3].value_or("0"))};
}

std::string behind(const Lag &lag) {
  return format_bytes(lag.bytes) + " and " + format_duration(static_cast<double>(lag.ms) / 1000) + " behind";
}

std::optional<std::string> lag_problem(const Job &job, const ReplicaState &state, const ServerFacts &here) {
  const Lag lag = look(job, state, here);
  if (!lag.marked)
    return label(job) + " to replay past " + state.marked_at + ", where capture began: it is at " + lag.replayed +
           ", " + behind(lag);
  const auto &limit = job.spec.read_from.max_lag;
  if (limit && lag.ms > *limit)
    return label(job) + " to come within max_lag (" + format_duration(static_cast<double>(*limit) / 1000) +
           "): it is " + behind(lag);
  return std::nullopt;
}

// ---- copying ----

// Types in their binary form, where all have one, down to what they are made of.
bool has_binary_form(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_boolean(R"(
      WITH RECURSIVE part AS (
        SELECT a.atttypid AS type FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT x.type FROM part JOIN pg_type t ON t.oid = part.type
        CROSS JOIN LATERAL (SELECT t.typbasetype UNION SELECT t.typelem
          UNION SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
          UNION SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid
          UNION SELECT c.atttypid FROM pg_attribute c WHERE c.attrelid = t.typrelid AND c.attnum > 0 AND NOT c.attisdropped
        ) AS x (type) WHERE x.type <> 0)
      SELECT bool_and(t.typsend <> 0 AND t.typreceive <> 0) FROM part JOIN pg_type t ON t.oid = part.type)",
                             {pg::Param::oid(job.shadow)});
  });
}

}  // namespace

std::optional<std::string> replica_problem(const Job &job, const ReplicaState &state) {
  const auto told = [&](const Error &failure) {
    pg::close_replica();
    return label(job) + ": " + failure.what() + (failure.detail.empty() ? "" : ". " + failure.detail);
  };
  try {
    const ServerFacts here = pg::transaction([] { return this_server(); });
    if (!pg::replica_is_open() || connected_to != job.spec.read_from.server) connect(job, here);
    require_standby(here.timeline);
    return lag_problem(job, state, here);
  } catch (const pg::ReplicaError &failure) {
    return told(failure);
  } catch (const Error &failure) {
    if (failure.sqlstate == sqlstate::query_canceled) throw;  // it is this worker that was
    return told(failure);
  }
}

std::int64_t copy_batch_from_replica(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                                     const std::optional<std::string> &hi) {
  pg::StreamTarget target;
  target.table = job.shadow;
  target.columns = shadow_columns(shape);
  target.binary = has_binary_form(job);
  target.condition = within_chunk_sql(job, shape, chunk);
  const std::string source = chunk_select(job, shape, chunk, lo, hi);
  const pg::Streamed done = as_job_owner(job, [&] { return pg::copy_from_replica(source, target); });
  require_standby(this_server().timeline);
  if (done.stored != done.sent) refuse_strays(chunk, done.sent, done.sent - done.stored);
  return done.stored;
}

}  // namespace backfill
