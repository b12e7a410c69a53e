// backfill.step: the ledger.  Claiming, checkpoints, fencing, retry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/node.hpp"
#include "pg/spi.hpp"

namespace backfill {

// The order of all work; docs/design.md section 4 tells what each does.
namespace stage {
inline constexpr int pre_check = 1, shadow = 2, capture = 3, copy = 4, purge = 5, key = 6, index = 7, shape = 8,
                     analyze = 9, drain = 10, audit = 11, check = 12, publish = 13, after = 14;
// Stages of many steps, which chunk workers share; the others are the coordinator's own.
constexpr bool is_shared(int stage) { return stage == copy || stage == index || stage == check || stage > after; }
}  // namespace stage

// A step as the planner writes it and the workers read it.
struct Step {
  int job = 0;
  int id = 0;     // order within the job
  int stage = 0;  // steps of one stage may run at the same time; a stage begins when those before are done
  std::string phase, kind, title;
  std::optional<int> chunk;            // number of the chunk, for kinds range and blocks
  std::optional<std::string> lo, hi;   // range: typed values; blocks: block numbers; hi null: open end
  std::optional<std::string> done_to;  // the checkpoint: everything below it is in the shadow
  std::string params = "{}";           // JSON, of the kind
  std::string status = "pending";
  bool replace = false;  // run again over what is there (after the key's index exists)
  int attempts = 0;
  std::int64_t token = 0;  // fencing: whoever holds an older one fails its commit
  std::int64_t rows = 0, rows_estimated = 0;
  int batches = 0;
};

void insert_steps(int job, const std::vector<Step> &steps);
std::vector<Step> load_steps(int job, const std::string &kind);  // by id

// The lowest stage with a step that is neither done nor skipped; nullopt when none is left.
// Chunks to be replaced do not count: they belong to the catch-up.
std::optional<int> open_stage(int job);

// Takes one pending step of the stage that is due, in order; marks it running with a fresh token and this pid.
// Skips steps locked by others.  nullopt: nothing to take now.
std::optional<Step> claim_step(int job, int stage, bool replace = false);

// Takes those of these pending steps that nobody else has taken.
std::vector<Step> claim_steps(int job, const std::vector<Step> &wanted);

// Within the batch's own transaction.  Raises 40001 "fenced" when the step's token is no longer ours.
void checkpoint(const Step &step, const std::optional<std::string> &done_to, std::int64_t rows);
void finish_step(const Step &step, std::optional<std::int64_t> rows = std::nullopt);

// Back to pending without spending the attempt: the worker was asked to stop between batches.
void give_back_step(const Step &step);

// The same for a little later: somebody else was to go first.
void put_off_step(const Step &step, const std::string &waiting_for);

// Within the work's own transaction: adds to the step's parameters.  Raises 40001 as checkpoint does.
void add_param(const Step &step, const std::string &key, std::int64_t value);
// The same, added to the number that is there: the first batch of a step begins with 0.
void add_to_param(const Step &step, const std::string &key, std::int64_t value);

// After a failed attempt: back to pending with a delay when the error is transient and attempts are left, else failed.
// Returns true when it will be tried again.
bool fail_step(const Step &step, const Error &failure, int retries);
bool is_transient(const std::string &sqlstate);  // classes 08, 40, 53, 57 and 55P03

// Steps left running by dead workers become pending (an attempt is spent), or failed when none is left.
void reclaim_steps(int job, int retries);

// Puts all steps of these kinds back to pending, as if never run.  replace: chunks are run again over what is there.
void reopen_steps(int job, const std::vector<std::string> &kinds, bool replace);

// The shadow will be brought up to date and audited again.
void reopen_audit(int job);
// After a TRUNCATE: every chunk is run again over what is there, then as reopen_audit.
void restart_chunks(int job);

bool has_due_step(int job, int stage);  // one that may be claimed now
// Why the stage can get no further: the step's own error where it has but one, else how many failed and the first of
// them.  REQUIRES: a failed step.
Error stage_failure(int job, int stage);
bool has_replaceable_chunk(int job);  // pending, to be run again over what is there
// The first chunk that could not be run again over what is there: "chunk 3: division by zero (22012)".
std::optional<std::string> replace_failure(int job);
// Failed steps are pending again, with all of their attempts.
void reset_failed_steps(int job);

struct StageCounts {
  int pending, running, failed, total;
};
StageCounts count_stage(int job, int stage);  // chunks to be replaced left out

}  // namespace backfill
