// What is left to do when a swap has committed, run by the coordinator step by step:
//
//   release   the table that left service loses its foreign keys (disabled since the swap)
//   validate  a foreign key of the table in service, created NOT VALID in the swap, is checked over its rows
#include <algorithm>

#include "catalog/cutover.hpp"
#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"
#include "publish/publish.hpp"

namespace backfill {

namespace {

constexpr Milliseconds release_patience = 5000;

// Under the drain lock no swap can exchange the tables meanwhile.
void release_foreign_keys(const Job &job) {
  Limits limits = limits_of({job});
  limits.give_up_after = std::min(limits.give_up_after, release_patience);
  with_tries(limits, "drop the foreign keys of the replaced version of " + job.target_name, [&](Try &attempt) {
    attempt.lock_job(job.id, pg::JobLock::drain);
    std::optional<Job> const now = load_job(job.id);
    Oid const retired = !now ? 0 : now->archive != 0 ? now->archive : now->shadow;
    std::string const table = relation_sql(retired);
    if (table.empty()) return;
    for (const LockRequest &request : retired_foreign_key_locks(retired)) attempt.lock(request, true);
    attempt.lock({retired, pg::LockMode::access_exclusive}, true);
    for (const std::string &statement : drop_foreign_keys(retired, table)) pg::execute(statement);
  });
}

// As the owner: comparing the values may run operators of his.
void validate_foreign_key(const Job &job, const std::string &name) {
  std::string const table = relation_sql(job.live);
  bool const waits = pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1 AND conname = $2"
        " AND contype = 'f' AND NOT convalidated)",
        {pg::Param::oid(job.live), name});
  });
  if (!waits) return;
  try {
    pg::as_owner(job.owner, [&] { pg::execute("ALTER TABLE " + table + " VALIDATE CONSTRAINT " + quote_ident(name)); });
  } catch (const Error &failure) {
    if (failure.sqlstate != "23503") throw;
    throw Error("23503", "rows of " + table + " violate foreign key constraint \"" + name + "\"",
                "It stays in force for new rows, but NOT VALID.",
                "Repair the rows and run ALTER TABLE " + table + " VALIDATE CONSTRAINT " + quote_ident(name) + ";");
  }
}

}  // namespace

std::optional<int> open_after_stage(const Job &job) {
  if (job.state != "ready" || !was_rolled_back(job.id)) return std::nullopt;
  return next_after_stage(job.id);
}

void run_after_step(const Job &job, const Step &step) {
  if (step.kind == "release") {
    release_foreign_keys(job);
  } else if (step.kind == "validate") {
    Node const params = parse_document(step.params);
    const Node *const constraint = params.find("constraint");
    if (constraint == nullptr)
      throw Error(sqlstate::internal_error, "step " + std::to_string(step.id) + " names no constraint");
    validate_foreign_key(job, constraint->text());
  } else {
    throw Error(sqlstate::internal_error, "there is no step of kind \"" + step.kind + "\" after publish");
  }
}

}  // namespace backfill
