#include "publish/blockers.hpp"

#include "pg/role.hpp"

namespace backfill {

namespace {

std::string describe_session(const pg::Row &row) {
  std::string who = "process " + row.text("pid") + " (";
  std::string const user = row.text("usename");
  who += user.empty() ? row.text("backend_type") : user;
  if (!row.null("state")) who += ", " + row.text("state");
  if (!row.null("seconds")) who += " for " + row.text("seconds") + " s";
  return who + ")";
}

std::string describe_prepared(const pg::Row &row) { return "prepared transaction \"" + row.text("gid") + "\""; }

constexpr char session_columns[] =
    "a.pid, a.usename, a.backend_type, a.state,"
    " extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::bigint AS seconds";

// Activity is read once a transaction unless told otherwise.
void read_activity_anew() { pg::execute("SELECT pg_stat_clear_snapshot()"); }

// A prepared transaction holds its locks without a process; the lock on its own id tells which one it is.
std::vector<std::string> prepared_on(Oid relation) {
  std::vector<std::string> found;
  pg::Result const holders = pg::execute(
      "SELECT DISTINCT p.gid FROM pg_locks l JOIN pg_locks own ON own.locktype = 'transactionid' AND own.pid IS NULL"
      " AND own.virtualtransaction = l.virtualtransaction JOIN pg_prepared_xacts p ON p.transaction = own.transactionid"
      " WHERE l.relation = $1 AND l.pid IS NULL AND p.database = current_database() ORDER BY 1",
      {pg::Param::oid(relation)});
  for (const pg::Row &row : holders) found.push_back(describe_prepared(row));
  return found;
}

std::string joined(const std::vector<std::string> &parts) {
  std::string text;
  for (const std::string &part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

}  // namespace

std::string lock_holders(Oid relation) {
  return pg::as_extension([&] {
    read_activity_anew();
    std::vector<std::string> found;
    for (const pg::Row &row :
         pg::execute(std::string("SELECT DISTINCT ") + session_columns +
                         " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                         " WHERE l.relation = $1 AND l.granted AND l.pid <> pg_backend_pid() ORDER BY a.pid",
                     {pg::Param::oid(relation)}))
      found.push_back(describe_session(row));
    for (std::string &gid : prepared_on(relation)) found.push_back(std::move(gid));
    return joined(found);
  });
}

std::vector<std::string> snapshot_holders(const std::vector<Job> &jobs) {
  return pg::as_extension([&] {
    read_activity_anew();
    std::optional<std::string> horizon;
    for (const Job &job : jobs)
      if (job.copy_horizon && (!horizon || std::stoull(*job.copy_horizon) > std::stoull(*horizon)))
        horizon = job.copy_horizon;
    std::vector<std::string> found;
    for (const pg::Row &row :
         pg::execute(std::string("SELECT ") + session_columns +
                         " FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()"
                         " AND a.backend_xmin IS NOT NULL AND a.backend_type NOT IN ('autovacuum worker')"
                         " AND (a.state LIKE 'idle in transaction%'"
                         " OR age(a.backend_xmin) > age($1::xid8::xid)) ORDER BY a.pid",
                     {horizon}))
      found.push_back(describe_session(row));
    for (const Job &job : jobs)
      for (std::string &gid : prepared_on(job.live)) found.push_back(std::move(gid));
    return found;
  });
}

}  // namespace backfill
