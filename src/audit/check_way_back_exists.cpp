// way_back_exists: the replaced version can be kept: the names of shadow and archive are free in the target's schema.
// The archive is the way back, for as long as the retention says.
#include "audit/check.hpp"
#include "catalog/placement.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &, const Job &job) {
  return std::string(placement_of(job).in_place ? "what rows were before is kept" : "the replaced version is kept") +
         " as " + job.target_schema + "." + job.archive_name + " for " + job.spec.retention;
}

Measurement measure(const Check &, const Scene &scene) {
  Measurement out;
  if (scene.trial) return out;
  const Job &job = scene.job;
  out.sql =
      "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND c.relname IN ($2, $3) AND c.oid <> $4 ORDER BY 1";
  pg::Result const taken = pg::as_extension([&] {
    return pg::execute(out.sql, {job.target_schema, job.archive_name, job.shadow_name, pg::Param::oid(job.shadow)});
  });
  out.measured = static_cast<double>(taken.size());
  out.actual = taken.empty() ? "the name is free" : "a name is taken";
  for (pg::Row const row : taken) out.detail += (out.detail.empty() ? "taken: " : ", ") + row.text("relname");
  return out;
}

}  // namespace

extern const CheckKind way_back_exists_check;
const CheckKind way_back_exists_check = {"way_back_exists", failing, expected, measure, nullptr, true};

}  // namespace backfill
