// The table in service is looked at by name, place and owner, by its fingerprint, and for dependents that cannot be moved;
// the shadow by name, place and owner; the capture by what was installed.  Most of it may be undone, so it stops nobody; of
// capture that was touched nobody knows what it missed, so the job ends there.
#include "run/obstacle.hpp"

#include "capture/capture.hpp"
#include "core/sql_text.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "plan/dependents.hpp"
#include "plan/plan.hpp"
#include "publish/swap.hpp"

namespace backfill {

namespace {

bool is_in_place(Oid table, const Job &job, const std::string &name) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = $1 AND c.relname = $2 AND n.nspname = $3 AND c.relowner = $4 AND c.relkind = 'r')",
        {pg::Param::oid(table), name, job.target_schema, pg::Param::oid(job.owner)});
  });
}

bool is_capturing(const Job &job) {
  return pg::as_extension(
      [&] { return pg::query_boolean("SELECT capture_seal IS NOT NULL FROM backfill.job WHERE id = $1", {job.id}); });
}

std::optional<std::string> look(const Job &job) {
  if (!is_in_place(job.live, job, job.target_name))
    return "its table was dropped, renamed, moved or given another owner: undo that, or cancel and plan again";
  if (table_fingerprint(job) != job.fingerprint)
    return "its table or the transform is not what was planned: undo that, or cancel and plan again";
  if (job.shadow != 0 && !is_in_place(job.shadow, job, job.shadow_name))
    return "its new version was dropped, renamed, moved or given another owner: undo that, or cancel and plan again";
  if (is_capturing(job) && !capture_intact(job))
    return "its capture was tampered with, so writes may have been missed: cancel and plan again";
  require_movable(job.target_name, inventory(job.live, job.spec));
  return std::nullopt;
}

// Of the way back.
std::optional<std::string> look_back(const Job &job) {
  if (!is_in_place(job.live, job, job.target_name))
    return "its table was dropped, renamed, moved or given another owner: undo that, or there is no way back";
  if (!is_in_place(job.archive, job, job.archive_name))
    return "its archive was dropped, renamed, moved or given another owner: undo that, or there is no way back";
  if (!reverse_capture_intact(job))
    return "its capture was tampered with, so writes may have been missed: there is no way back";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_obstacle(const Job &job) {
  if (!job.active()) return std::nullopt;
  bool const published = job.state == "published";
  try {
    return pg::subtransaction([&] { return published ? look_back(job) : look(job); });
  } catch (const Error &failure) {
    if (is_transient(failure.sqlstate)) return std::nullopt;
    return std::string(failure.what()) + ": undo that, or " +
           (published ? "there is no way back" : "cancel and plan again");
  }
}

bool has_archive(const Job &job) { return relation_exists(job.archive); }

std::optional<std::string> look_for_obstacle(const Job &job) {
  std::optional<std::string> seen;
  std::optional<std::string> const what = pg::transaction([&] {
    seen = obstacle_of(job.id);
    return find_obstacle(job);
  });
  fault("obstacle", "found");
  pg::transaction([&] {
    std::optional<Job> const now = load_job(job.id, true);  // a swap may have been in between
    if (now && now->active() && now->live == job.live) set_obstacle(job.id, what, seen);
  });
  return what;
}

void require_capture_whole(const Job &job) {
  if (!is_capturing(job) || capture_intact(job)) return;
  throw Error(
      sqlstate::object_not_in_prerequisite_state, "the capture of table \"" + job.target_name + "\" was tampered with",
      "Its triggers were disabled, dropped or altered, even if only for a while, or its log was dropped: writes may "
      "have been missed, so the new version can no longer be trusted.",
      "Cancel the backfill with SELECT backfill_cancel(" + quote_literal(job.name) + "); and plan it again.");
}

Error with_cause(const Job &job, const Error &failure, const std::optional<std::string> &obstacle) {
  // Errors of our own about the state of things say it themselves.
  if (is_transient(failure.sqlstate) || failure.sqlstate == sqlstate::object_not_in_prerequisite_state) return failure;
  if (job.state == "published") return failure;
  auto const told = [&](const std::string &why, const std::string &hint) {
    return Error(failure.sqlstate, failure.what(), failure.detail + (failure.detail.empty() ? "" : " ") + why, hint);
  };
  std::string const call = quote_literal(job.name) + ");";
  if (obstacle)
    return told("In the way: " + *obstacle + ".",
                "Cancel the backfill with SELECT backfill_cancel(" + call + " and plan it again.");
  if (failure.sqlstate == sqlstate::insufficient_privilege && failure.hint.empty())
    return told("Transform and checks run as the owner of the table, role \"" +
                    pg::transaction([&] { return pg::role_name(job.owner); }) + "\".",
                "Grant that role what it lacks, then run the backfill again with SELECT backfill_run(" + call);
  return failure;
}

}  // namespace backfill
