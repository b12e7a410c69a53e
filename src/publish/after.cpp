// What is left to do when a swap has committed, run by the coordinator step by step:
//
//   release   foreign keys that the swap took out of force are dropped (move_foreign_keys.cpp)
//   validate  a foreign key made NOT VALID in the swap, of the table in service or referring to it, is checked over its
//             rows
//   refresh   the contents of a materialized view are computed anew (refresh.hpp; it takes several transactions)
#include <algorithm>

#include "catalog/cutover.hpp"
#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/blockers.hpp"
#include "publish/movers.hpp"
#include "publish/publish.hpp"

namespace backfill {

namespace {

constexpr Milliseconds release_patience = 5000;
constexpr long between_looks = 100;   // ms
constexpr long longest_break = 3000;  // ms, of a coordinator between two steps that it may do now

// Under the drain lock no swap can exchange the tables meanwhile.
void release_foreign_keys(const Job &job) {
  Limits limits = limits_of({job});
  limits.give_up_after = std::min(limits.give_up_after, release_patience);
  with_tries(limits, "drop the foreign keys of the replaced version of " + job.target_name, [&](Try &attempt) {
    attempt.lock_job(job.id, pg::JobLock::drain);
    std::optional<Job> const now = load_job(job.id);
    if (!now) return;
    std::vector<Oid> const tables = {now->archive != 0 ? now->archive : now->shadow, now->live};
    attempt.lock_all(retired_foreign_key_locks(tables));
    for (Oid const table : tables) drop_retired_foreign_keys(table);
  });
}

// As the owner of its table: comparing the values may run operators of his.
void validate_foreign_key(Oid relation, const std::string &name) {
  pg::Result const key = pg::as_extension([&] {
    return pg::execute(
        "SELECT r.relowner, format('%I.%I', n.nspname, r.relname) AS name FROM pg_constraint k"
        " JOIN pg_class r ON r.oid = k.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace"
        " WHERE k.conrelid = $1 AND k.conname = $2 AND k.contype = 'f' AND NOT k.convalidated",
        {pg::Param::oid(relation), name});
  });
  if (key.empty()) return;  // it is valid, or its table has been replaced since, which made steps of its own
  std::string const table = key[0].text("name");
  std::string const validate = "ALTER TABLE " + table + " VALIDATE CONSTRAINT " + quote_ident(name);
  try {
    pg::as_owner(key[0].oid("relowner"), [&] { pg::execute(validate); });
  } catch (const Error &failure) {
    if (failure.sqlstate != "23503") throw;
    throw Error("23503", "rows of " + table + " violate foreign key constraint \"" + name + "\"",
                "It stays in force for new rows, but NOT VALID.", "Repair the rows and run " + validate + ";");
  }
}

// There are some, there is another process that coordinates, and it can see them: not what is published in this very
// transaction, which moves rows until its end.
bool coordinator_does_steps(const Job &job) {
  return pg::as_extension([&] {
    int const coordinator = pg::job_lock_holder(job.id, pg::JobLock::life);
    return coordinator != 0 && coordinator != pg::my_pid() &&
           pg::job_lock_holder(job.id, pg::JobLock::drain) != pg::my_pid() && open_after_stage(job).has_value();
  });
}

}  // namespace

std::optional<int> open_after_stage(const Job &job) {
  if (job.state != "published" && (job.state != "ready" || !was_rolled_back(job.id))) return std::nullopt;
  return next_after_stage(job.id);
}

void await_after_steps(const Job &job, const std::string &purpose, Milliseconds patience) {
  if (!pg::isolation_is_read_committed()) return;  // we would not see them done
  std::int64_t const deadline = pg::now_ms() + patience;
  std::int64_t seen_at_work = pg::now_ms();
  for (bool told = false; coordinator_does_steps(job); told = true) {
    std::int64_t const now = pg::now_ms();
    if (runs_after_step(job.id)) seen_at_work = now;
    if (now > deadline || now > seen_at_work + longest_break || own_process_waits_for_us()) return;
    if (!told)
      pg::notice(purpose + " waits for what follows the swap",
                 "Materialized views are refreshed, downstreams are run or foreign keys are validated.",
                 "See backfill.steps.");
    pg::sleep_interruptibly(between_looks);
  }
}

void run_after_step(const Job &job, const Step &step) {
  if (step.kind == "release") {
    release_foreign_keys(job);
  } else if (step.kind == "validate") {
    Node const params = parse_document(step.params);
    const Node *const constraint = params.find("constraint"), *const table = params.find("table");
    if (constraint == nullptr || table == nullptr)
      throw Error(sqlstate::internal_error, "step " + std::to_string(step.id) + " names no constraint");
    validate_foreign_key(static_cast<Oid>(table->integer()), constraint->text());
  } else {
    throw Error(sqlstate::internal_error, "there is no step of kind \"" + step.kind + "\" after publish");
  }
}

}  // namespace backfill
