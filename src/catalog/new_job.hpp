// A job as the planner first writes it.
#pragma once

#include <string>

#include "catalog/job.hpp"

namespace backfill {

int reserve_job_id();

// Writes the row of backfill.job, state planned; job.id comes from reserve_job_id().  What belongs to the record only is
// taken from job.spec.  Raises 55006 when the name or the table was taken by a concurrent plan.
void insert_job(const Job &job);

// The newest job that stands in the way: an active one of that name, or on that table.
struct ActiveJob {
  int id;
  std::string name, state;
};
std::optional<ActiveJob> active_job_of_name(const std::string &name);
std::optional<ActiveJob> active_job_on(Oid table);  // as target, shadow or archive
// By name: one that a dump or copy brought here (is_suspended); its state is "suspended".
std::optional<ActiveJob> suspended_job_on(const std::string &schema, const std::string &table);

}  // namespace backfill
