// A try is a transaction of its own: what it did is committed with the swap, or is undone.
#include "run/self_publish.hpp"

#include <algorithm>

#include "audit/audit.hpp"
#include "catalog/cutover.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "publish/publish.hpp"
#include "run/steps.hpp"
#include "run/throttle.hpp"

namespace backfill {

namespace {

constexpr Milliseconds patience = 2000;  // of one try

// Somebody is in the way who will be gone.
bool is_busy(const Error &failure) {
  return failure.sqlstate == sqlstate::lock_not_available || failure.sqlstate == sqlstate::object_in_use;
}

std::string waiting_text(const Error &failure) {
  return "its publish: " + (failure.detail.empty() ? std::string(failure.what()) : failure.detail);
}

// Of all the tries together.
Error gave_up(const Job &job, const Error &last) {
  std::string const limit = format_duration(static_cast<double>(job.spec.publish.give_up_after) / 1000);
  return Error(last.sqlstate, "could not publish " + job.name + ": gave up after " + limit, last.detail,
               "Nothing was changed.  Publish when they are done.");
}

Job hurried(Job job) {
  job.spec.publish.give_up_after = std::min(job.spec.publish.give_up_after, patience);
  return job;
}

void try_to_publish(int id) {
  pg::transaction([&] {
    std::optional<Job> const job = load_job(id);
    if (!job || !publishes_itself(*job)) return;
    set_waiting(id, std::nullopt);
    (void)publish_jobs({hurried(*job)});
  });
}

// Somebody may have published, cancelled or asked for an audit meanwhile: then it is no failure.
void record_failure(int id, const Error &failure) {
  pg::transaction([&] {
    std::optional<Job> const job = load_job(id, true);
    if (!job || !publishes_itself(*job)) return;
    std::string const again = "Then SELECT backfill_run(" + quote_literal(job->name) + "); has it tried again.";
    set_waiting(id, std::nullopt);
    set_error(id, Error(failure.sqlstate, failure.what(), failure.detail,
                        failure.hint.empty() ? again : failure.hint + "  " + again));
    record_event(id, "publish failed", std::string(failure.what()) + " (" + failure.sqlstate + ")");
  });
}

}  // namespace

bool publishes_itself(const Job &job) {
  return job.spec.publish.automatic && job.state == "ready" && !job.request && !was_rolled_back(job.id) &&
         !has_error(job.id) && blocking_checks(job).empty();
}

bool publish_again(const Job &job) {
  if (job.state != "ready" || !job.spec.publish.automatic || !has_error(job.id)) return false;
  set_error(job.id, std::nullopt);
  record_event(job.id, "retried", "its publish");
  return true;
}

void SelfPublisher::attend(const Job &job) {
  if (!pg::transaction([&] { return publishes_itself(job); })) {
    gives_up_at_ = 0;
    return;
  }
  look_at_load(job.id, stage::publish);
  if (is_held(stage::publish)) return;
  if (gives_up_at_ == 0) gives_up_at_ = pg::now_ms() + job.spec.publish.give_up_after;
  try {
    try_to_publish(job.id);
  } catch (const Error &failure) {
    if (!is_busy(failure)) {
      if (is_transient(failure.sqlstate)) throw;
      record_failure(job.id, failure);
    } else if (pg::now_ms() < gives_up_at_) {
      pg::transaction([&] { set_waiting(job.id, waiting_text(failure)); });
      return;
    } else {
      record_failure(job.id, gave_up(job, failure));
    }
  }
  gives_up_at_ = 0;
}

}  // namespace backfill
