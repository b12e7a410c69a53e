#include "publish/service.hpp"

#include <algorithm>
#include <set>

#include "catalog/placement.hpp"
#include "core/sql_text.hpp"
#include "pg/fault.hpp"
#include "pg/role.hpp"
#include "publish/downstream.hpp"
#include "publish/preconditions.hpp"
#include "publish/publish.hpp"
#include "publish/refresh.hpp"

namespace backfill {

namespace {

constexpr Service by_swap = {"swap the new version in", publish_by_swap, roll_back_by_swap, after_swap,
                             require_way_back_by_swap};
constexpr Service in_place = {"write the rows that differ", publish_in_place, roll_back_in_place, after_in_place,
                              require_way_back_in_place};

std::string nothing_to_undo(const Job &job) {
  if (job.state == "finished")
    return "nothing was changed: backfill \"" + job.name + "\" is finished and its archive is gone";
  return "nothing to undo: backfill \"" + job.name + "\" is " + job.state + ", not published";
}

}  // namespace

const Service &service_of(const Job &job) { return placement_of(job).in_place ? in_place : by_swap; }

std::string publish_jobs(const std::vector<Job> &jobs) {
  for (const Job &job : jobs)
    if (placement_of(job).in_place) return publish_in_place(jobs);
  return publish_by_swap(jobs);
}

std::string publish_named(const std::vector<std::string> &names) {
  if (names.empty())
    throw Error(sqlstate::invalid_parameter_value, "no backfill was named", {},
                "Give the names: SELECT backfill_publish('…');");
  std::vector<Job> jobs;
  for (const std::string &name : std::set<std::string>(names.begin(), names.end()))
    jobs.push_back(job_for_caller(name));
  return publish_jobs(jobs);
}

std::string roll_back(const Job &job, const std::vector<std::string> &discard) {
  if (job.state != "published") return nothing_to_undo(job);
  require_read_committed("backfill_rollback");
  std::string const told = service_of(job).roll_back(job, discard);
  pg::set_local("synchronous_commit", "local");
  fault_at_commit("rollback");
  return "rolled back " + job.name + " " + told + "; the rejected version is " +
         display_name(job.target_schema, job.shadow_name) + tell_refreshes(job);
}

std::vector<Step> plan_publish_steps(const Job &job) {
  Step step;
  step.job = job.id;
  step.stage = stage::publish;
  step.phase = step.kind = "publish";
  step.title =
      std::string(service_of(job).title) + (job.spec.publish.automatic ? ", by itself once the audit has passed" : "");
  require_order(job);
  std::vector<Step> steps = pg::as_extension([&] { return service_of(job).after(job); });
  steps.insert(steps.begin(), step);
  return steps;
}

}  // namespace backfill
