// no_concurrent_backfill: no other backfill of this table is under way.  The catalog forbids it; this is the record.
#include "audit/check.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &, const Job &) { return "no other active backfill of the table"; }

Measurement measure(const Check &, const Scene &scene) {
  Measurement out;
  if (scene.trial) return out;
  out.sql =
      "SELECT name FROM backfill.job WHERE live = $1 AND id <> $2 AND state NOT IN ('finished', 'cancelled') ORDER BY "
      "id";
  pg::Result const others = pg::as_extension([&] {
    return pg::execute(out.sql, {pg::Param::oid(scene.job.live), scene.job.id});
  });
  out.measured = static_cast<double>(others.size());
  out.actual = others.empty() ? "none" : worded(out.measured, std::nullopt, "other backfill|other backfills");
  for (pg::Row const row : others) out.detail += (out.detail.empty() ? "" : ", ") + row.text("name");
  return out;
}

}  // namespace

extern const CheckKind no_concurrent_backfill_check;
const CheckKind no_concurrent_backfill_check = {"no_concurrent_backfill", failing, expected, measure, nullptr, true};

}  // namespace backfill
