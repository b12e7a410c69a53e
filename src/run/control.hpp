// What people tell a job: start, pause, cancel, run again, audit again, wait.  Each returns a line for the caller.
//
// All but wait_for work in the caller's transaction and return at once; the job belongs to the target's owner role, and
// the caller must be a member of it (42501).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace backfill {

std::string run_backfill(const std::string &name);
std::string pause_backfill(const std::string &name);
// Stops the job's workers at once (their open batch leaves no trace), then drops shadow, log and triggers in this
// transaction.  Waits for the workers to be gone, at most 30 s (55P03).
std::string cancel_backfill(const std::string &name);
std::string retry_chunk(const std::string &name, std::int64_t chunk);
std::string audit_again(const std::string &name);
// What is not nullopt.  throttle: a JSON fragment laid over the section of that name, null taking a limit out.
// read_from: JSON, as in a spec; null for this server.
std::string alter_backfill(const std::string &name, std::optional<std::int64_t> parallelism,
                           const std::optional<std::string> &retention, const std::optional<std::string> &throttle,
                           const std::optional<std::vector<std::string>> &windows,
                           const std::optional<std::string> &read_from);

// Starts coordinators for jobs of the caller's that should have one, ends retentions; returns how many of each.
std::string maintain();

// Outside a transaction block: polls, committing between looks so that it holds no snapshot; progress as NOTICE.
// Returns when the job is ready, paused, published or finished; raises its error when it failed, 57014 when `timeout`
// (an interval) is over, 55000 when nobody runs it.
void wait_for(const std::string &name, const std::optional<std::string> &timeout);

// For views: rows waiting in the job's log; nullopt where there is none or the caller may not see the job.
std::optional<std::int64_t> visible_pending_keys(int job);

}  // namespace backfill
