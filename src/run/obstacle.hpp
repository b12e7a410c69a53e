// What somebody did to the tables of a job since it was planned, so that running on, or rolling back, does not help.
#pragma once

#include <optional>
#include <string>

#include "catalog/job.hpp"
#include "core/error.hpp"

namespace backfill {

// As a phrase that says what helps; of a published job, what stands in the way of its rollback.  Nothing where all is as it
// was, or the job is over.  In the current transaction.  Takes no locks on the table but those of looking definitions up.
std::optional<std::string> find_obstacle(const Job &job);

// Of a published job: the archive is there, under whatever name.  In the current transaction.
bool has_archive(const Job &job);

// Puts what it finds into the ledger, where it stands until it is no longer so.  In transactions of its own; workers only.
std::optional<std::string> look_for_obstacle(const Job &job);

// 55000 where the triggers or the log of the capture are not what was installed: what was written since may be in neither
// log nor shadow, for good.  In the current transaction.
void require_capture_whole(const Job &job);

// The server's error says what broke, not why: with what was done to the tables, or what the owner lacks, and the way out.
// In transactions of its own; workers only.
Error with_cause(const Job &job, const Error &failure, const std::optional<std::string> &obstacle);

}  // namespace backfill
