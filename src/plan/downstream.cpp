#include "plan/downstream.hpp"

#include <set>

#include "catalog/suspension.hpp"
#include "core/node.hpp"
#include "pg/role.hpp"
#include "pg/statement.hpp"

namespace backfill {

namespace {

// What the server said of an item, with the path in front.
template <typename Fn>
auto of_item(std::size_t number, const char *key, Fn fn) {
  std::string const path = "downstream[" + std::to_string(number) + "]." + key;
  try {
    return fn();
  } catch (const Error &failure) {
    throw Error(failure.sqlstate, path + ": " + failure.what(), failure.detail,
                failure.hint.empty() ? "Correct the text at " + path + "." : failure.hint);
  }
}

}  // namespace

void check_refreshes(const Job &job) {
  const std::vector<Downstream> &items = job.spec.downstream;
  for (std::size_t i = 0; i < items.size(); i++) {
    if (items[i].refresh.empty()) continue;
    of_item(i, "refresh", [&] { as_job_owner(job, [&] { pg::check_statement(items[i].refresh); }); });
  }
}

std::vector<Step> plan_suspensions(const Job &job, std::vector<std::string> *warnings) {
  Oid const caller = pg::current_role();
  const std::vector<Downstream> &items = job.spec.downstream;
  std::vector<Step> steps;
  std::set<std::string> known;
  for (std::size_t i = 0; i < items.size(); i++) {
    const std::string &name = items[i].cron_job;
    if (name.empty() || !known.insert(name).second) continue;
    CronJob const found = of_item(i, "cron_job", [&] { return find_cron_job(name, caller, job.owner); });
    if (!found.active) warnings->push_back("pg_cron job \"" + name + "\" is switched off, and stays so.");
    Step step;
    step.stage = stage::shadow;
    step.phase = "prepare";
    step.kind = "suspend";
    step.title = "suspend pg_cron job " + name;
    step.params = "{\"cron_job\": " + json_quote(name) + ", \"cron_user\": " + json_quote(found.user) + "}";
    steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace backfill
