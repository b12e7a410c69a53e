// What all workers of a job must agree on (since when there is trouble, for how long it is read here) is in
// backfill.replica; how long to wait until the next look is each worker's own.
#include "run/read_source.hpp"

#include <algorithm>

#include "catalog/replica.hpp"
#include "copy/replica_copy.hpp"
#include "core/sql_text.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "run/chunk.hpp"
#include "run/throttle.hpp"

namespace backfill {

namespace {

constexpr long first_pause = 200, longest_pause = 5000;  // ms between looks
constexpr std::int64_t stay_for = 60000;                 // ms on this server before the replica is looked at again

void switch_to(const Job &job, const std::string &where, const std::string &detail) {
  if (note_reads(job.id, where)) record_event(job.id, "reads from " + where, detail);
}

}  // namespace

// A chunk that runs again over what is there is read in the snapshot in which it is drained, so here.
ReadSource::ReadSource(const Job &job, const Step &step)
    : job_(job), step_(step), wanted_(!job.spec.read_from.server.empty() && !step.replace), pause_(first_pause) {}

ReadSource::Place ReadSource::choose() {
  if (!wanted_) return Place::here;
  for (;;) {
    if (troubled_ && !hold_off()) return Place::nowhere;
    ReplicaState const state = pg::transaction([&] { return replica_state(job_.id); });
    if (!still_wanted(state)) return Place::here;
    if (state.on_primary) {
      go_on();
      return Place::here;
    }
    std::optional<std::string> const problem = replica_problem(job_, state);
    if (!problem) {
      told_ = told_ && state.reads == "replica" && !state.problem;
      go_on();
      return Place::replica;
    }
    troubled_ = true;
    if (give_in(*problem)) return Place::here;
  }
}

void ReadSource::succeeded() {
  if (!told_) pg::transaction([&] { switch_to(job_, "replica", "Server " + job_.spec.read_from.server + "."); });
  told_ = true;
  troubled_ = false;
  pause_ = first_pause;
}

void ReadSource::failed(const Error &failure) {
  told_ = false;
  troubled_ = true;
  (void)give_in("replica " + quote_ident(job_.spec.read_from.server) + ": " + failure.what() + " (" + failure.sqlstate +
                ")");
}

// Somebody may have altered where it is read.
bool ReadSource::still_wanted(const ReplicaState &state) {
  if (state.read_from == read_from_) return true;
  pg::transaction([&] { job_ = load_job(job_.id).value_or(job_); });
  read_from_ = state.read_from;
  wanted_ = !job_.spec.read_from.server.empty();
  told_ = false;
  pause_ = first_pause;
  if (wanted_) return true;
  go_on();
  pg::transaction([&] { switch_to(job_, "primary", "It was altered."); });
  return false;
}

void ReadSource::go_on() {
  if (waiting_) pg::transaction([&] { set_step_waiting(step_, std::nullopt); });
  waiting_ = false;
}

// Until it is time for another look.
bool ReadSource::hold_off() {
  std::int64_t const began = pg::now_ms();
  pg::sleep_interruptibly(pause_);
  pause_ = std::min(pause_ * 2, longest_pause);
  waited_ += pg::now_ms() - began;
  look_at_load(job_.id, step_.stage);
  return pg::transaction([&] {
    if (may_go_on(job_.id) && !is_held(step_.stage) && !is_dismissed()) return true;
    give_back_step(step_);
    return false;
  });
}

// Says what is wrong; true when it has lasted and the spec prefers this server to waiting.
bool ReadSource::give_in(const std::string &problem) {
  return pg::transaction([&] {
    note_replica_trouble(job_.id, problem);
    bool const here =
        job_.spec.read_from.falls_back && replica_state(job_.id).trouble_ms >= job_.spec.read_from.fallback_after;
    waiting_ = !here;
    set_step_waiting(step_, here ? std::nullopt : std::optional(problem));
    if (!here) return false;
    stay_on_primary(job_.id, stay_for);
    switch_to(job_, "primary", problem);
    return true;
  });
}

}  // namespace backfill
