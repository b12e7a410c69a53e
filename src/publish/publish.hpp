// Publish: the cutover, one short transaction of renames; rollback is the same swap backwards; finish, cancel and
// retention drop what is left.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// All in the caller's transaction, tries in subtransactions.  Returns a line to tell the caller (tries, how long locks
// were waited for and held, next command).
std::string publish_jobs(const std::vector<Job> &jobs);
std::string publish_named(const std::vector<std::string> &names);  // each once; at least one (22023)
// discard: columns that the old version does not have, whose values written since publish are given up.
std::string roll_back(const Job &job, const std::vector<std::string> &discard);
// Drops the archive and the reverse capture; state finished.  A finished job is left as it is, and told to be.
std::string finish_job(const Job &job);
// Leaves nothing behind but the ledger; state cancelled.  No worker of the job may live, and none can begin.
std::string cancel_job(const Job &job);
// Of a job that came from another database (is_suspended): drops what came with it, found by name, and ends the job.
std::string cancel_suspended(const Job &restored);

// Steps of phase publish and after, and running one of the latter (VALIDATE of the foreign keys, ANALYZE).
std::vector<Step> plan_publish_steps(const Job &job);
// One of kind release or validate; each does nothing where nothing is to be done.
void run_after_step(const Job &job, const Step &step);
// The stage that a job is at which is published, or was rolled back, and still has such steps to run.
std::optional<int> open_after_stage(const Job &job);

// Waits while the coordinator does these steps, at most so long: done in the caller's transaction, as finish and cancel do
// them otherwise, the locks of one last as long as all that comes after it.  Not where none is begun, as outside of the
// job's windows.
void await_after_steps(const Job &job, const std::string &purpose, Milliseconds patience);

// Ends the retention of archives whose time has come (jobs_past_retention): of one, for the coordinator, which commits
// between them; or in the transaction of backfill_maintain(), where the locks on the tables of the first are held until
// all are done: so of as many of the caller's as can be done at once.  False: it was tried in vain, and a warning says why.
bool end_retention(int job);
int end_retentions(Oid caller);

}  // namespace backfill
