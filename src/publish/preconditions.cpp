// What must hold before a swap, asked twice: before anything is locked, so that a refusal costs nobody anything, and again
// when it can no longer change.
#include "publish/preconditions.hpp"

#include <algorithm>

#include "audit/audit.hpp"
#include "capture/capture.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "plan/dependents.hpp"
#include "plan/plan.hpp"
#include "plan/written.hpp"
#include "publish/attempt.hpp"
#include "publish/blockers.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

constexpr char tampered_detail[] =
    "The capture triggers on the table are missing, not enabled ALWAYS, or were altered for a while; or their log is "
    "gone.";
constexpr long shortest_poll = 20, longest_poll = 1000;  // ms

Error refusal(const Job &job, const std::string &why, const std::string &detail, const std::string &hint) {
  return Error(sqlstate::object_not_in_prerequisite_state, "backfill \"" + job.name + "\" cannot be published: " + why,
               detail, hint);
}

std::string call_sql(const std::string &function, const Job &job) {
  return "SELECT " + function + "(" + quote_literal(job.name) + ");";
}

void require_checks(const Job &job) {
  std::vector<std::string> const failed = blocking_checks(job);
  if (failed.empty()) return;
  throw refusal(
      job, std::to_string(failed.size()) + (failed.size() == 1 ? " check stands" : " checks stand") + " in the way",
      "Failed or not run: " + joined(failed, ", ") + ".",
      "Look at backfill.checks; audit again with " + call_sql("backfill_audit", job) +
          " or accept one with SELECT backfill_waive(" + quote_literal(job.name) + ", " +
          quote_literal(failed.front()) + ", 'the reason');");
}

// What would have had to be built with the new version, or was and is not on the table any more.
void require_built(const Job &job) {
  std::vector<std::string> lacking;
  bool only_new = true;
  for (const DependentChange &change : changed_dependents(job)) {
    if (!is_built_before(change.kind)) continue;
    lacking.push_back(sentence(change));
    only_new = only_new && change.appeared;
  }
  if (lacking.empty()) return;
  throw refusal(job, "the new version was built for the table as it was planned", joined(lacking, " "),
                (only_new ? "Drop what is new and create it again after the publish, or cancel the backfill with "
                          : "Undo that, or cancel the backfill with ") +
                    call_sql("backfill_cancel", job) + " and plan it again.");
}

void require_same_shape(const Job &job) {
  if (table_fingerprint(job) == job.fingerprint) return;
  throw refusal(job, "the table is not what it was when planned",
                "Columns, constraints, indexes, or a function of the transform have changed since.",
                "Cancel it with " + call_sql("backfill_cancel", job) + " and plan it again.");
}

void require_shape(const Job &job) {
  require_movable(job.target_name, inventory(job.live, job.spec));
  require_built(job);
  require_same_shape(job);
}

void require_capture(const Job &job) {
  if (!capture_intact(job))
    throw refusal(job, "writes may have been missed", tampered_detail,
                  "Cancel it with " + call_sql("backfill_cancel", job) + " and plan it again.");
}

void require_free(const std::string &schema, const std::string &name) {
  if (pg::query_boolean("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                        " WHERE n.nspname = $1 AND c.relname = $2)",
                        {schema, name}))
    throw Error(sqlstate::duplicate_table, "relation " + display_name(schema, name) + " already exists",
                "The version that leaves service is to be called so.", "Rename or drop it.");
}

// The table in service is the one planned, under its own name.
void require_same_table(const Swap &swap) {
  pg::Result const found = pg::execute(
      "SELECT n.nspname = $2 AND c.relname = $3 AND c.relowner = $4 AND c.relkind = 'r' AS same"
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
      {pg::Param::oid(swap.out), swap.schema, swap.name, pg::Param::oid(swap.job.owner)});
  if (found.empty() || !found[0].boolean("same"))
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "table " + display_name(swap.schema, swap.name) + " is not the one that was planned",
                "It was dropped, renamed, moved to another schema or given another owner.",
                "Undo that, or cancel the backfill and plan it again.");
  if (!relation_exists(swap.in))
    throw Error(sqlstate::undefined_table, "table " + display_name(swap.schema, swap.in_name) + " does not exist",
                "It held the version that was to enter service.",
                swap.forward ? "Cancel the backfill and plan it again."
                             : "There is no way back; end the backfill with " + call_sql("backfill_finish", swap.job));
  std::string const expected = display_name(swap.schema, swap.in_name);
  std::string const name = *pg::query_value(
      "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE c.oid = $1",
      {pg::Param::oid(swap.in)});
  if (name != expected)
    throw Error(sqlstate::object_not_in_prerequisite_state, "the version that was to enter service has another name",
                "It was " + expected + " and is " + name + " now.",
                "Give it its name and schema back with ALTER TABLE, and try again.");
}

// The swap makes triggers anew, and what waits for the old ones would find none.
void require_triggers_fired(const Swap &swap) {
  if (!pg::has_pending_triggers(swap.out)) return;
  throw Error(sqlstate::object_in_use,
              "deferred triggers of " + display_name(swap.schema, swap.name) + " are still to be fired",
              "This transaction wrote to the table before.",
              "Fire them with SET CONSTRAINTS ALL IMMEDIATE, or commit first.");
}

}  // namespace

void require_read_committed(const std::string &function) {
  pg::require_writable(function + " cannot run");
  if (pg::isolation_is_read_committed()) return;
  bool const by_default = pg::setting("default_transaction_isolation") != "read committed";
  throw Error(
      sqlstate::active_sql_transaction, function + " works in a READ COMMITTED transaction only",
      "At " + pg::setting("transaction_isolation") + " it could not see the rows written since the transaction began.",
      by_default ? "SET default_transaction_isolation = 'read committed'; in this session first."
                 : "Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED, or call it outside of one.");
}

void require_publishable(const Job &job) {
  require_allowed(job.name, parse_state(job.state), Action::publish);
  pg::as_extension([&] { require_same_table(publishing(job)); });
  require_triggers_fired(publishing(job));
  require_checks(job);
  require_shape(job);
  require_capture(job);
  pg::as_extension([&] {
    require_free(job.target_schema, job.archive_name);
    (void)moving_statements(publishing(job));
  });
}

namespace {

void require_reverse_capture(const Job &job) {
  if (!reverse_capture_intact(job))
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "backfill \"" + job.name + "\" cannot be rolled back: writes since publish may have been missed",
                tampered_detail,
                "The replaced version is " + display_name(job.target_schema, job.archive_name) +
                    "; compare and repair by hand.");
}

// Columns written are still there, of the type that the archive has.
void require_written_columns(const Job &job) {
  std::string changed;
  for (const pg::Row &row : pg::execute(
           "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = ANY ($3::name[]) AND NOT EXISTS"
           " (SELECT FROM pg_attribute l WHERE l.attrelid = $2 AND l.attname = a.attname AND NOT l.attisdropped"
           "   AND (l.atttypid, l.atttypmod) = (a.atttypid, a.atttypmod)) ORDER BY a.attnum",
           {pg::Param::oid(job.archive), pg::Param::oid(job.live), written_columns(job.archive, job.spec, job.key)}))
    changed += (changed.empty() ? "" : ", ") + row.text("attname");
  if (!changed.empty())
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "backfill \"" + job.name + "\" cannot be rolled back: columns that it wrote have changed",
                "Dropped, renamed, or of another type since publish: " + changed + ".",
                "Undo that; or keep the new values with " + call_sql("backfill_finish", job));
}

void require_mergeable(const Job &job, const std::string &what) {
  std::optional<Unwritable> const unwritable = why_not_written(job.live, job.spec, job.key);
  if (unwritable)
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "backfill \"" + job.name + "\" cannot be " + what + ": " + unwritable->why, unwritable->detail,
                "Undo what came since the plan; or cancel the backfill and plan it with strategy: {type: swap}.");
}

}  // namespace

void require_writable(const Job &job) {
  require_allowed(job.name, parse_state(job.state), Action::publish);
  pg::as_extension([&] { require_same_table(publishing(job)); });
  require_triggers_fired(publishing(job));
  require_checks(job);
  require_same_shape(job);
  require_mergeable(job, "published");
  require_capture(job);
}

void require_written_undoable(const Job &job) {
  pg::as_extension([&] {
    require_same_table(rolling_back(job));
    require_written_columns(job);
  });
  require_triggers_fired(rolling_back(job));
  require_mergeable(job, "rolled back");
  require_reverse_capture(job);
}

void require_free_archive_name(const Job &job) {
  pg::as_extension([&] { require_free(job.target_schema, job.archive_name); });
}

void require_undoable(const Job &job) {
  pg::as_extension([&] { require_same_table(rolling_back(job)); });
  require_triggers_fired(rolling_back(job));
  require_reverse_capture(job);
  require_movable(job.target_name, inventory(job.live, job.spec));
  pg::as_extension([&] {
    require_free(job.target_schema, job.shadow_name);
    (void)moving_statements(rolling_back(job));
  });
}

void take_in_dependents(const Job &job) {
  std::vector<DependentChange> changes = changed_dependents(job);
  std::erase_if(changes, [](const DependentChange &change) { return is_built_before(change.kind); });
  if (changes.empty()) return;
  follow_dependents(job, changes);
  std::string told;
  for (const DependentChange &change : changes) told += (told.empty() ? "" : " ") + sentence(change);
  record_event(job.id, "dependents changed", told);
}

void require_unchanged(const Swap &swap) {
  require_same_table(swap);
  if (!swap.forward) {
    require_undoable(swap.job);
    return;
  }
  require_checks(swap.job);
  require_shape(swap.job);
  require_capture(swap.job);
}

void await_old_snapshots(const std::vector<Job> &jobs) {
  Milliseconds const patience = limits_of(jobs).give_up_after;
  bool const refuse =
      std::any_of(jobs.begin(), jobs.end(), [](const Job &job) { return job.spec.publish.old_snapshots == "refuse"; });
  std::int64_t const deadline = pg::now_ms() + patience;
  std::string told;
  for (long poll = shortest_poll;; poll = std::min(poll * 2, longest_poll)) {
    std::string const holders = describe(snapshot_holders(jobs));
    if (holders.empty()) return;
    if (refuse || pg::now_ms() >= deadline)
      throw Error(sqlstate::object_in_use, "transactions are open that would not see the rows of the new version",
                  "In the way: " + holders + ".", "End them, or wait until they are done, and publish again.");
    if (told.empty()) {
      told = holders;
      pg::notice("waiting for transactions that would not see the rows of the new version",
                 "In the way: " + holders + ".");
    }
    pg::sleep_interruptibly(poll);
  }
}

}  // namespace backfill
