// backfill.delivery: the outbox of the webhook.
//
// Rows are written in the transaction of what they tell, and only for a job whose spec names a webhook; for any other job
// these functions do nothing.  Writing one cannot fail for a reason of the endpoint's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// An event of backfill.event.  Of a failure its SQLSTATE is told and not its message, which may quote a value.
void tell_event(int job, const std::string &event, const std::string &detail);
// A chunk is done, where the spec asks for that: its `monitoring` is what it was planned with, so a copy of the job knows.
void tell_chunk(const Job &job, const Step &chunk);
// The job has come to this stage: told once a phase.
void tell_phase(int job, int stage);

// A message to be posted.
struct Message {
  int job = 0;
  std::int64_t id = 0;
  std::string key, body, url, user_agent;
};

// The oldest pending message of each job, where it is due and the job is not among `busy`; at most `limit`.  Its attempt is
// counted, and its text stays from here on what it is.  Progress that newer progress has overtaken while it waited is
// dropped first.
std::vector<Message> take_messages(const std::vector<int> &busy, int limit);

void record_sent(int job, std::int64_t id);
// Tried again later, not before `retry_after` seconds; or given up, when it has been tried for a day.
void record_unsent(int job, std::int64_t id, const std::string &error, std::int64_t retry_after);
void record_dead(int job, std::int64_t id, const std::string &error);

// Seconds until a message is due (0: now); nullopt when none is pending.
std::optional<double> next_message();

// Given up messages of the job are pending again, all pending ones are due.  How many.
std::int64_t reopen_messages(int job);

// Registers a notifier with the server.  It waits for the end of the transaction `wait_for_xid` (0: none), and leaves if
// another one is at work.  Where no worker slot is free nothing happens: the messages stay.
void launch_notifier(std::uint32_t wait_for_xid);

}  // namespace backfill
