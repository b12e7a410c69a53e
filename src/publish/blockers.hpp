// Who is in the way: holders of locks, of old snapshots, and prepared transactions, told without their queries.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "pg/lock.hpp"

namespace backfill {

using pg::Oid;

// A relation to be locked, and how.
struct LockRequest {
  Oid relation = 0;
  pg::LockMode mode = pg::LockMode::access_exclusive;
};

// Somebody in the way.
struct Blocker {
  std::string who;       // process 4711, prepared transaction "p1"
  std::string what;      // anna, idle in transaction, open for 12 s, holds ACCESS SHARE on public.flights
  bool holds = true;     // false: waits for the lock itself, before us
  bool lasting = false;  // will not be gone within a try: to wait for him is to make others wait behind us
};
std::string describe(const Blocker &blocker);                // process 4711 (anna, …)
std::string describe(const std::vector<Blocker> &blockers);  // joined by commas; "" for nobody

// Others that hold a lock which conflicts with one of those wanted, each once with his strongest; where nobody does, those
// that wait for such a lock before us.  Lasting are prepared transactions; vacuums, unless it is an autovacuum that
// gives way to whoever waits; and transactions open for longer than `long_open` ms.
std::vector<Blocker> lock_holders(const std::vector<LockRequest> &wanted, std::int64_t long_open);

// Others that wait for this transaction.  Not the extension's own processes, nor an autovacuum, nor whoever waits for a
// job's lock, which is never for long.  Who waits for our snapshot to go, as CREATE INDEX CONCURRENTLY does on whatever
// table, counts only where he is among those `met` in the way.
struct Waiting {
  std::vector<Blocker> who;
  std::int64_t longest = 0;  // ms, for which one of them has waited
};
Waiting waiting_for_us(const std::vector<Blocker> &met);
// One of the extension's own: what we wait for it to do will not be done.
bool own_process_waits_for_us();

// The process that holds a lock of the job; nobody when it is free.
std::vector<Blocker> job_lock_holders(int job, pg::JobLock purpose);

// Sessions of this database whose snapshot the new version would look wrong to: one from before the copy of any of the
// jobs had ended, or one kept open between statements (REPEATABLE READ, an open cursor); and prepared transactions that
// hold locks on the targets.
std::vector<Blocker> snapshot_holders(const std::vector<Job> &jobs);

}  // namespace backfill
