#include "publish/swap.hpp"

#include <algorithm>

#include "copy/shadow.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"

namespace backfill {

std::string Swap::retired_name(const std::string &name) const {
  return forward ? archive_index_name(job, name) : shadow_index_name(job, name);
}

std::string Swap::waiting_name(const std::string &name) const {
  return forward ? shadow_index_name(job, name) : archive_index_name(job, name);
}

std::string Swap::target_sql() const { return qualified(schema, name); }
std::string Swap::retired_sql() const { return qualified(schema, out_name); }

bool Swap::leaves(Oid table) const { return std::find(peers.begin(), peers.end(), table) != peers.end(); }

Swap publishing(const Job &job) {
  return {job,       true, job.live, job.shadow, job.target_schema, job.target_name, job.archive_name, job.shadow_name,
          {job.live}};
}

Swap rolling_back(const Job &job) {
  return {
      job,       false, job.live, job.archive, job.target_schema, job.target_name, job.shadow_name, job.archive_name,
      {job.live}};
}

std::vector<Swap> publishing(const std::vector<Job> &jobs) {
  std::vector<Oid> leaving;
  for (const Job &job : jobs) leaving.push_back(job.live);
  std::sort(leaving.begin(), leaving.end());
  std::vector<Swap> swaps;
  for (const Job &job : jobs) {
    swaps.push_back(publishing(job));
    swaps.back().peers = leaving;
  }
  std::sort(swaps.begin(), swaps.end(), [](const Swap &a, const Swap &b) { return a.out < b.out; });
  return swaps;
}

std::string relation_sql(Oid relation) {
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
        {pg::Param::oid(relation)});
    return found.empty() ? std::string() : qualified(found[0].text("nspname"), found[0].text("relname"));
  });
}

std::string display_name(const std::string &schema, const std::string &name) {
  return pg::as_extension([&] { return *pg::query_value("SELECT format('%I.%I', $1, $2)", {schema, name}); });
}

bool relation_exists(Oid relation) { return relation != 0 && !relation_sql(relation).empty(); }

}  // namespace backfill
