// Rolling back: the swap with the roles exchanged.  What was written since publish is carried into the old version
// first (capture/drain.hpp, drain_reverse), so that only the backfill is undone.
//
// The rejected version becomes the shadow again and is kept in step by the forward capture, which is installed on the
// restored table in the same transaction: it can be audited, published again, or cancelled.
#include "capture/capture.hpp"
#include "capture/log.hpp"
#include "catalog/cutover.hpp"
#include "copy/shadow.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "publish/cutover.hpp"
#include "publish/preconditions.hpp"
#include "publish/publish.hpp"

namespace backfill {

namespace {

// Columns the old version does not have: their values stay behind, with the rejected version.
void warn_of_columns_left(const Job &job) {
  std::string left;
  pg::as_extension([&] {
    for (const pg::Row &row : pg::execute(
             "SELECT n.attname FROM pg_attribute n WHERE n.attrelid = $1 AND n.attnum > 0 AND NOT n.attisdropped"
             " AND NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = $2 AND o.attname = n.attname"
             " AND NOT o.attisdropped) ORDER BY n.attnum",
             {pg::Param::oid(job.live), pg::Param::oid(job.archive)}))
      left += (left.empty() ? "" : ", ") + row.text("attname");
  });
  if (!left.empty())
    pg::warning("the old version has no place for the values of: " + left,
                "They stay in the rejected version, " + display_name(job.target_schema, job.shadow_name) + ".");
}

// Rows carried so far, as drain_reverse left their keys in the capture log.
std::int64_t carried_keys(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_integer("SELECT count(*) FROM (SELECT DISTINCT " + key_list(job.key.size(), "k") + " FROM " +
                             log_name(job) + ") AS k");
  });
}

void turn_capture_back(const Swap &swap) {
  remove_capture(swap.job, swap.out);
  remove_guard(swap.job);
  pg::execute_quietly("DROP TABLE IF EXISTS " + reverse_log_name(swap.job));
  Job now = swap.job;
  now.state = "ready";
  now.live = swap.in;
  now.shadow = swap.out;
  now.archive = 0;
  install_capture(now);
}

std::string rows(std::int64_t count) { return std::to_string(count) + (count == 1 ? " row" : " rows"); }

std::string nothing_to_undo(const Job &job) {
  if (job.state == "finished")
    return "nothing was changed: backfill \"" + job.name + "\" is finished and its archive is gone";
  return "nothing to undo: backfill \"" + job.name + "\" is " + job.state + ", not published";
}

}  // namespace

std::string roll_back(const Job &job) {
  if (job.state != "published") return nothing_to_undo(job);
  require_read_committed("backfill_rollback");
  require_undoable(job);
  warn_of_columns_left(job);
  await_old_snapshots({job});

  Swap const swap = rolling_back(job);
  pg::subtransaction([&] { drain_backlog(job, false); });
  std::int64_t carried = 0;
  Tries const tries = with_tries(limits_of({job}), "roll back " + job.name, [&](Try &attempt) {
    std::vector<Cutover> cutovers = prepare_swaps({swap}, "published", attempt, require_unchanged);
    carried = carried_keys(job);  // before anybody waits: it reads the whole log
    lock_for_swaps(cutovers, attempt);
    carried += drain_rest(cutovers.front(), attempt);
    attempt.require_time("swap the tables");
    exchange(cutovers);
    turn_capture_back(swap);
    record_rolled_back(job, describe(attempt.so_far()) + "; " + rows(carried) + " written since publish carried over");
    set_after_steps(job.id, cutovers.front().after);
  });
  pg::set_local("synchronous_commit", "local");
  return "rolled back " + job.name + " " + describe(tries) + "; " + rows(carried) +
         " written since publish carried over; the rejected version is " +
         display_name(job.target_schema, job.shadow_name);
}

}  // namespace backfill
