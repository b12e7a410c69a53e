// A worker knows its job's number and nothing else: what there is to do it finds in the ledger, claim by claim.
#include "run/chunk_worker.hpp"

#include "catalog/step.hpp"
#include "pg/durable.hpp"
#include "pg/fault.hpp"
#include "pg/transaction.hpp"
#include "publish/publish.hpp"
#include "run/chunk.hpp"
#include "run/steps.hpp"
#include "run/throttle.hpp"
#include "run/upkeep.hpp"

namespace backfill {

namespace {

struct Claim {
  Job job;
  Step step;
};

std::optional<int> stage_at(const Job &job) {
  if (may_go_on(job.id)) return open_stage(job.id);
  return coordinator_lives(job.id) ? open_after_stage(job) : std::nullopt;
}

std::optional<Claim> claim(int id) {
  return pg::transaction([&]() -> std::optional<Claim> {
    std::optional<Job> job = load_job(id);
    if (!job) return std::nullopt;
    std::optional<int> const stage = stage_at(*job);
    if (!stage || !stage::is_shared(*stage) || is_held(*stage)) return std::nullopt;
    std::optional<Step> step = claim_step(id, *stage);
    if (!step) return std::nullopt;
    fault("claim", "made");
    return Claim{std::move(*job), std::move(*step)};
  });
}

void work(int id) {
  while (!is_dismissed()) {
    std::optional<Claim> const due = claim(id);
    fault("claim", "committed");
    if (!due || !run_step(due->job, due->step)) return;
    pg::check_for_interrupts();
  }
}

void work_while_installed(int id) {
  try {
    work(id);
  } catch (const Error &) {
    if (!extension_is_gone()) throw;
  }
}

}  // namespace

std::optional<pg::Worker> launch_chunk_worker(const Job &job, int slot) {
  pg::WorkerOrder order;
  order.job = job.id;
  order.slot = slot;
  order.board = board_handle();
  return pg::launch_worker("backfill_chunk_worker_main",
                           "backfill worker " + std::to_string(job.id) + "." + std::to_string(slot), order, false);
}

}  // namespace backfill

BACKFILL_WORKER(backfill_chunk_worker_main) {
  backfill::pg::commit_lazily();
  if (backfill::join_board(order.board)) backfill::work_while_installed(order.job);
}
