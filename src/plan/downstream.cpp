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

void require_ownership(Oid matview, Oid owner) {
  pg::Result const found = pg::as_extension([&] {
    return pg::execute("SELECT relowner, oid::regclass::text AS name FROM pg_class WHERE oid = $1",
                       {pg::Param::oid(matview)});
  });
  if (found.empty() || pg::is_member(owner, found[0].oid("relowner"))) return;
  throw Error(sqlstate::insufficient_privilege, "must be owner of materialized view " + found[0].text("name"),
              "Refreshes run as the owner of the target, role \"" + pg::role_name(owner) + "\".",
              "Make that role a member of \"" + pg::role_name(found[0].oid("relowner")) + "\", or give cron_job only.");
}

// Its body is only looked at: what it does with its text is its own business.
std::string suspicion(Oid procedure) {
  return pg::as_extension([&] {
    return pg::query_value(
               "SELECT (SELECT CASE WHEN prosrc ~* '\\m(commit|rollback)\\M' THEN 'end transactions'"
               " WHEN prosrc ~* '\\mcreate\\s+(local\\s+|global\\s+)?temp(orary)?\\M' THEN 'make temporary tables' END"
               " FROM pg_proc WHERE oid = $1)",
               {pg::Param::oid(procedure)})
        .value_or("");
  });
}

}  // namespace

void check_refreshes(const Job &job, std::vector<std::string> *warnings) {
  const std::vector<Downstream> &items = job.spec.downstream;
  for (std::size_t i = 0; i < items.size(); i++) {
    if (items[i].refresh.empty()) continue;
    of_item(i, "refresh", [&] {
      pg::StatementFacts const facts = as_job_owner(job, [&] { return pg::check_statement(items[i].refresh); });
      if (facts.matview != 0) require_ownership(facts.matview, job.owner);
      std::string const wants = facts.procedure == 0 ? "" : suspicion(facts.procedure);
      if (!wants.empty())
        warnings->push_back("The procedure of downstream \"" + items[i].name + "\" seems to " + wants +
                            ", which it cannot where it is run as a refresh; pg_cron can run it: give cron_job only.");
    });
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
