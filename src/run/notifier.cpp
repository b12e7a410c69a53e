// One message of a job is on its way at a time, so they arrive in order; jobs do not wait for one another.  A job rests for a
// moment after each message, since writing one looks at all of its steps.
#include "run/notifier.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "catalog/delivery.hpp"
#include "catalog/job.hpp"
#include "core/error.hpp"
#include "core/webhook.hpp"
#include "pg/database.hpp"
#include "pg/fault.hpp"
#include "pg/http.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"

namespace backfill {

namespace {

constexpr int at_once = 8;               // messages on their way
constexpr std::int64_t rest = 100;       // ms between two messages of a job
constexpr std::int64_t linger = 3000;    // ms without anything due
constexpr double linger_for_retry = 60;  // s until the next retry that are waited out
constexpr long look_again = 1000;        // ms between looks at the outbox
constexpr std::int64_t patience = 5000;  // ms with a notifier that may be about to leave
constexpr long attach_pause = 200;       // ms

// Not where DROP EXTENSION took the outbox away, or somebody wants the database to himself.
bool may_stay() {
  return pg::transaction([] { return pg::extension_owner() != 0 && !pg::database_is_wanted(); });
}

bool has_work() {
  std::optional<double> const next = pg::transaction([] { return next_message(); });
  return next && *next <= linger_for_retry;
}

std::string answer_text(const pg::Answer &answer) {
  if (answer.status == 0) return answer.error;
  std::string const status = "HTTP " + std::to_string(answer.status);
  return answer.status >= 300 && answer.status < 400 ? status + ": redirects are not followed" : status;
}

class Notifier {
 public:
  // True when this process is the database's notifier now.  False: there is nothing to do, or another one does it.
  bool attach();
  // Until nothing is left to do for a while.
  void work();
  void detach() {
    pg::transaction([] { pg::unlock_job(0, pg::JobLock::post); });
  }

 private:
  bool begin_due();
  void begin(const Message &message);
  void record(const pg::Answer &answer);
  std::vector<int> busy_jobs() const;
  std::vector<pg::Answer> answers_within(long milliseconds);
  std::optional<long> pause(bool anything);

  struct Due {
    int job;
    std::int64_t id;
  };
  pg::Poster poster_;
  std::string hosts_;                 // backfill.webhook_hosts
  std::int64_t number_ = 0;           // of posts, for the poster
  std::map<std::int64_t, Due> open_;  // on their way
  std::map<int, std::int64_t> rests_until_;
  std::int64_t idle_since_ = 0;
};

bool Notifier::attach() {
  for (std::int64_t const until = pg::now_ms() + patience;; pg::wait_latch(attach_pause)) {
    if (!may_stay() || !has_work()) return false;
    if (pg::transaction([] { return pg::try_lock_job(0, pg::JobLock::post, true); })) return true;
    if (pg::now_ms() > until) return false;
  }
}

void Notifier::work() {
  idle_since_ = pg::now_ms();
  for (;;) {
    bool const begun = begin_due();
    std::optional<long> const wait = pause(begun);
    if (!wait) return;
    for (const pg::Answer &answer : answers_within(*wait)) record(answer);
    if (!may_stay()) return;
  }
}

// Those that end first, if any does in that time.
std::vector<pg::Answer> Notifier::answers_within(long milliseconds) {
  std::int64_t const until = pg::now_ms() + milliseconds;
  std::vector<pg::Answer> answers;
  for (long left = milliseconds; answers.empty() && left > 0; left = static_cast<long>(until - pg::now_ms()))
    answers = poster_.wait(left);
  return answers;
}

// nullopt: time to leave.
std::optional<long> Notifier::pause(bool anything) {
  std::int64_t const now = pg::now_ms();
  std::erase_if(rests_until_, [&](const auto &entry) { return entry.second <= now; });
  if (anything || !open_.empty() || !rests_until_.empty()) {
    idle_since_ = now;
    return rests_until_.empty() ? look_again : static_cast<long>(rest);
  }
  pg::report_activity("backfill notifier: idle");
  if (now - idle_since_ < linger || has_work()) return look_again;
  return std::nullopt;
}

std::vector<int> Notifier::busy_jobs() const {
  std::vector<int> jobs;
  for (const auto &[number, due] : open_) jobs.push_back(due.job);
  for (const auto &[job, until] : rests_until_) jobs.push_back(job);
  return jobs;
}

bool Notifier::begin_due() {
  int const free = at_once - static_cast<int>(open_.size());
  if (free == 0) return false;
  std::vector<Message> const messages = pg::transaction([&] {
    hosts_ = pg::setting("backfill.webhook_hosts");
    std::vector<Message> taken = take_messages(busy_jobs(), free);
    if (!taken.empty()) fault("message", "taken");
    return taken;
  });
  for (const Message &message : messages) begin(message);
  return !messages.empty();
}

// The list of hosts is asked every time: one taken off it hears no more.
void Notifier::begin(const Message &message) {
  Webhook const webhook = parse_webhook(message.url, "monitoring.progress_webhook");
  if (!allows(hosts_, webhook)) {
    pg::transaction(
        [&] { record_dead(message.job, message.id, "host " + webhook.place() + " is not in backfill.webhook_hosts"); });
    return;
  }
  pg::report_activity("backfill notifier: job " + std::to_string(message.job) + " to " + webhook.place());
  fault("message", "committed");
  try {
    poster_.begin(
        {++number_,
         message.url,
         message.body,
         {"Content-Type: application/json", "Idempotency-Key: " + message.key, "User-Agent: " + message.user_agent}});
    open_[number_] = {message.job, message.id};
  } catch (const Error &failure) {
    pg::transaction([&] { record_unsent(message.job, message.id, failure.what(), 0); });
  }
}

void Notifier::record(const pg::Answer &answer) {
  Due const due = open_.at(answer.id);
  open_.erase(answer.id);
  rests_until_[due.job] = pg::now_ms() + rest;
  fault("message", "delivered");
  pg::transaction([&] {
    if (answer.status >= 200 && answer.status < 300)
      record_sent(due.job, due.id);
    else
      record_unsent(due.job, due.id, answer_text(answer), answer.retry_after);
    fault("message", "marked");
  });
  fault("message", "recorded");
}

void notify() {
  Notifier notifier;
  while (notifier.attach()) {
    notifier.work();
    if (!may_stay()) return;
    notifier.detach();
  }
}

}  // namespace

void start_notifier_if_due() {
  std::optional<double> const next = next_message();
  if (!next || *next > 0) return;
  if (pg::as_extension([] { return pg::job_lock_holder(0, pg::JobLock::post); }) == 0) launch_notifier(0);
}

std::string redeliver(const std::string &name) {
  Job const job = job_for_caller(name);
  std::int64_t const count = reopen_messages(job.id);
  return std::to_string(count) + (count == 1 ? " message of backfill " : " messages of backfill ") + job.name +
         " will be sent; see backfill.deliveries";
}

}  // namespace backfill

BACKFILL_WORKER(backfill_notifier_main) { backfill::notify(); }
