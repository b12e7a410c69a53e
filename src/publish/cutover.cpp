// One try: first what can be done while others work (prepare_swaps), then what they wait for (lock_for_swaps, drain_rest,
// exchange_tables).  docs/design.md, section 7, says why in this order.
#include "publish/cutover.hpp"

#include <algorithm>

#include "capture/capture.hpp"
#include "capture/drain.hpp"
#include "catalog/evidence.hpp"
#include "core/sql_text.hpp"
#include "pg/acl.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/worker.hpp"
#include "publish/movers.hpp"
#include "publish/preconditions.hpp"
#include "publish/refresh.hpp"

namespace backfill {

namespace {

// Keys a statement of the backlog's drain; small enough to react to a cancel.
constexpr std::int64_t backlog_batch = 20000;

// Draining ahead of the last lock ends with a pass that found this little, or after so many passes.
constexpr std::int64_t little = 100;
constexpr int passes_ahead = 10;

// As fault points call it.
[[maybe_unused]] const char *verb(const Swap &swap) { return swap.forward ? "publish" : "rollback"; }

DrainResult drain_once(const Job &job, const TableShape &shape, bool forward, std::int64_t limit) {
  DrainResult const result = forward ? drain_batch(job, shape, limit) : drain_reverse(job, shape, limit);
  if (forward) require_not_overtaken(job, result);
  return result;
}

// Everything that depends on the table, its row type, its identity sequences, or on a view of these, as one text to compare:
// quick to read, as it is read under the last lock.
std::string dependents_of(Oid table) {
  return *pg::query_value(
      "WITH RECURSIVE bound (classid, objid) AS ("
      "  SELECT d.classid, d.objid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype"
      "  CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, c.oid), ('pg_type', t.oid), ('pg_type', t.typarray)"
      "  UNION ALL SELECT 'pg_class', s.objid FROM pg_depend s WHERE s.classid = 'pg_class'::regclass"
      "  AND s.refclassid = 'pg_class'::regclass AND s.refobjid = c.oid AND s.deptype = 'i' AND s.refobjsubid > 0)"
      "  AS x (class, object) JOIN pg_depend d ON d.refclassid = x.class AND d.refobjid = x.object WHERE c.oid = $1"
      "  UNION SELECT d.classid, d.objid FROM bound b"
      "  JOIN pg_rewrite r ON b.classid = 'pg_rewrite'::regclass AND r.oid = b.objid"
      "  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.ev_class)"
      " SELECT coalesce(string_agg(DISTINCT classid || '.' || objid, ' '), '') FROM bound",
      {pg::Param::oid(table)});
}

// So that under the last lock almost nothing is left to drain.
bool drain_ahead(const Cutover &cutover) {
  for (int pass = 0; pass < passes_ahead; pass++)
    if (drain_once(cutover.swap.job, cutover.shape, cutover.swap.forward, final_drain_limit).taken < little)
      return true;
  return false;
}

// Deferred uniqueness is checked now: a table with trigger events still to be fired cannot be altered.
void fire_deferred(const Swap &swap) {
  std::string constraints;
  for (const pg::Row &row : pg::execute("SELECT conname FROM pg_constraint WHERE conrelid = $1 AND condeferrable",
                                        {pg::Param::oid(swap.in)}))
    constraints += (constraints.empty() ? "" : ", ") + qualified(swap.schema, row.text("conname"));
  if (!constraints.empty()) pg::execute("SET CONSTRAINTS " + constraints + " IMMEDIATE");
}

// Whoever could use the one can use the other; until a version is in service nobody but the owner has business there.
void move_privileges(const Swap &swap) {
  pg::copy_privileges(swap.out, swap.in);
  for (const auto &[old, twin] : identity_twins(swap)) pg::copy_privileges(old, twin);
  if (!swap.forward) pg::clear_privileges(swap.out);
}

// In which order the locks of a swap are taken: what enters service, which nobody waits for; the dependents; what leaves it.
// Each relation once, in the strongest mode asked for: a lock that has to be raised can meet another that has.
std::vector<LockRequest> locks_in_order(const std::vector<Cutover> &cutovers) {
  std::vector<LockRequest> locks, last;
  auto const find = [](std::vector<LockRequest> &list, Oid relation) {
    return std::find_if(list.begin(), list.end(), [&](const LockRequest &one) { return one.relation == relation; });
  };
  for (const Cutover &cutover : cutovers) last.push_back({cutover.swap.out, pg::LockMode::access_exclusive});
  for (const Cutover &cutover : cutovers) locks.push_back({cutover.swap.in, pg::LockMode::access_exclusive});
  for (const Cutover &cutover : cutovers)
    for (const LockRequest &request : dependent_locks(cutover.swap)) {
      if (find(last, request.relation) != last.end()) continue;
      auto const known = find(locks, request.relation);
      if (known == locks.end())
        locks.push_back(request);
      else
        known->mode = std::max(known->mode, request.mode);
    }
  locks.insert(locks.end(), last.begin(), last.end());
  return locks;
}

// Whoever began with one since they were waited for.
void require_no_old_snapshots(const std::vector<Swap> &swaps) {
  std::vector<Job> jobs;
  for (const Swap &swap : swaps) jobs.push_back(swap.job);
  std::vector<Blocker> holders = snapshot_holders(jobs);
  if (!holders.empty())
    throw Busy(std::move(holders), "transactions are open that would not see the rows of the new version");
}

}  // namespace

void require_state(const Job &job, const std::string &required) {
  std::optional<Job> const now = load_job(job.id, true);
  if (now && now->state == required) return;
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "backfill \"" + job.name + "\" is " + (now ? now->state : "gone") + " by now",
              "Another session changed it meanwhile.", "Look at backfill.events.");
}

void require_not_overtaken(const Job &job, const DrainResult &drained) {
  if (drained.truncated) throw Overtaken::by_start_over(job.id, drained.altered);
  if (drained.dropped > 0 && audit_counted_every_row(job.id)) throw Overtaken::by_lost_rows(job.id, drained.dropped);
}

std::vector<Cutover> prepare_swaps(const std::vector<Swap> &swaps, const std::string &required, Try &attempt,
                                   const std::function<void(const Swap &)> &check) {
  for (const Swap &swap : swaps) interrupt_refreshes(swap.job);  // they read the table; the swap has them done again
  for (const Swap &swap : swaps) attempt.lock_job(swap.job.id, pg::JobLock::drain);
  for (const Swap &swap : swaps) require_state(swap.job, required);
  for (const Swap &swap : swaps)
    for (Oid const table : {swap.out, swap.in}) attempt.lock({table, pg::LockMode::share_update_exclusive}, true);
  require_no_old_snapshots(swaps);
  std::vector<Cutover> cutovers;
  for (const Swap &swap : swaps) {
    check(swap);
    take_in_dependents(swap.job);
    cutovers.push_back({swap, read_shape(swap.job), {}, {}, {}, {}, false});
  }
  fault(verb(swaps.front()), "prepared");
  return cutovers;
}

void lock_for_swaps(std::vector<Cutover> &cutovers, Try &attempt) {
  std::vector<LockRequest> const locks = locks_in_order(cutovers);
  attempt.look_ahead(locks);
  // From here on nobody replaces a view or alters a sequence under our hands.
  for (Cutover &cutover : cutovers) {
    hold_dependents(cutover.swap);
    cutover.dependents = dependents_of(cutover.swap.out);
    cutover.statements = moving_statements(cutover.swap);
    if (cutover.swap.forward)
      cutover.before = definitions_before(cutover.swap);
    else
      recall_definitions(cutover.swap.job, cutover.statements);
    cutover.after = after_steps(cutover.swap);
  }
  for (Cutover &cutover : cutovers) cutover.little_left = drain_ahead(cutover);
  fault(verb(cutovers.front().swap), "ahead");

  attempt.lock_in_order(locks);
  for (const Cutover &cutover : cutovers)
    if (dependents_of(cutover.swap.out) != cutover.dependents) throw Busy("a dependent appeared or went meanwhile");
  fault(verb(cutovers.front().swap), "locked");
}

void exchange_tables(const std::vector<Cutover> &cutovers, Try &attempt) {
  pg::as_extension([&] {
    for (const Cutover &cutover : cutovers) {
      const Swap &swap = cutover.swap;
      move_privileges(swap);
      pg::execute("ALTER TABLE " + swap.target_sql() + " RENAME TO " + quote_ident(swap.out_name));
      pg::execute("ALTER TABLE " + qualified(swap.schema, swap.in_name) + " RENAME TO " + quote_ident(swap.name));
    }
    fault(verb(cutovers.front().swap), "renamed");
    for (const Cutover &cutover : cutovers)
      for (const std::string &statement : cutover.statements) {
        attempt.require_time("move what depends on the table");
        pg::execute(statement);
      }
    fault(verb(cutovers.front().swap), "moved");
  });
}

std::int64_t drain_backlog(const Job &job, bool forward) {
  std::int64_t keys = 0;
  if (pending_keys(job) <= final_drain_limit) return keys;
  lock_job_in_time(job.id, pg::JobLock::drain);
  with_patience(limits_of({job}).lock_timeout, [&] {
    TableShape const shape = read_shape(job);
    while (pending_keys(job) > final_drain_limit) {
      DrainResult const drained = drain_once(job, shape, forward, backlog_batch);
      keys += drained.keys;
      if (drained.taken == 0) break;
      pg::check_for_interrupts();
    }
  });
  return keys;
}

DrainResult drain_rest(const Cutover &cutover, Try &attempt) {
  const Swap &swap = cutover.swap;
  DrainResult rest;
  if (!cutover.little_left && pending_keys(swap.job) > 2 * final_drain_limit)
    throw Busy("more keys are waiting than fit into max_lock");
  // Nobody writes any more: a batch that is not full was the last.
  for (bool full = true; full;) {
    DrainResult const drained = drain_once(swap.job, cutover.shape, swap.forward, final_drain_limit);
    rest.keys += drained.keys;
    rest.unplaced += drained.unplaced;
    full = drained.taken >= final_drain_limit;
    attempt.require_time("drain what was left");
  }
  pg::as_extension([&] { fire_deferred(swap); });
  fault(verb(swap), "drained");
  return rest;
}

}  // namespace backfill
