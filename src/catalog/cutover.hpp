// What a swap changes in the catalog: which table plays which part, and the steps around it.
//
// The parts are by OID: `live` is whatever serves traffic now.  Publishing makes the shadow live and the old live the
// archive; a rollback makes the archive live again and the rejected version the shadow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// When the archive of a job published now may be dropped, as text of a timestamptz.
std::string retention_end(const Job &job);

// Which table is which from now on; 0: there is none.
struct Parts {
  Oid live = 0, shadow = 0, archive = 0;
};
// The parts change, and the state, with an event.  The caller holds the row lock of the job; `job` is as before.  rows: how
// many were written to the table in service, where that is how it was published.
void record_published(const Job &job, const Parts &parts, const std::string &archive_until, const std::string &detail,
                      std::int64_t rows = 0);
void record_rolled_back(const Job &job, const Parts &parts, const std::string &detail);
std::int64_t rows_published(int job);
// What the job had made no longer exists; state is finished or cancelled.
void record_ended(const Job &job, const std::string &state, const std::string &detail);

// The steps that follow a swap, all pending, in place of what an earlier swap has left undone or has done alike.  Returns
// the parameters of those left undone; nobody can commit them any more.
std::vector<std::string> set_after_steps(int job, const std::vector<Step> &steps);

// Steps after a swap, also after the one that rolls back.
bool was_rolled_back(int job);                 // published once, and not now
std::optional<int> next_after_stage(int job);  // the lowest with one to be done or being done
bool runs_after_step(int job);
int retry_after_steps(int job);  // failed ones become pending; how many

// Ids of the published jobs whose retention has ended, oldest first.
std::vector<int> jobs_past_retention();

}  // namespace backfill
