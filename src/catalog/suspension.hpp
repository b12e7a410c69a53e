// pg_cron jobs that rest while a backfill is at work: they would refresh what is downstream in the middle of it.
//
// Switching one off or on again is recorded in backfill.suspension by the same transaction.  A job of pg_cron is meant by
// its name and its user.  Every function runs its statements as the extension, in the current transaction; none ever
// touches a table cron.job that is not the extension pg_cron's own.
#pragma once

#include <cstdint>
#include <string>

#include "catalog/job.hpp"

namespace backfill {

struct CronJob {
  std::int64_t id = 0;
  std::string name, user;
  bool active = false;
};

// The one of that name that `caller` may manage (member of its user's role); that of `owner` before others.  Errors:
// 55000 there is no pg_cron in this database, or one without names; 42704 there is no such job; 42501 it is somebody
// else's; 42725 there are several.
CronJob find_cron_job(const std::string &name, Oid caller, Oid owner);

// Switches it off, and remembers whether it was on.  Nothing where this job has it suspended already; where pg_cron has no
// such job any more that is an event.  Errors: 55P03 when somebody is changing it.  Locks: its row in cron.job.
void suspend_cron_job(const Job &job, const std::string &name, const std::string &user);

// Those of the job's steps `suspend`, again or still; one that is being changed by somebody else is left on.
void suspend_cron_jobs(const Job &job);

// Ends the job's suspensions: what was on is switched on, unless another backfill has it suspended too, or somebody has
// switched it on already.  Never fails and never waits: one that is being changed by somebody else is left to
// restore_abandoned_cron_jobs().
void restore_cron_jobs(int job);
bool has_suspended(int job);

// Of all jobs that are not at work, or of those that the caller may manage; returns how many suspensions ended.
int restore_abandoned_cron_jobs(Oid caller = 0);

// With a job's change of state: who stops lets the pg_cron jobs run again, who goes on suspends them anew by its steps.
void suspensions_follow(const Job &job, const std::string &state);

}  // namespace backfill
