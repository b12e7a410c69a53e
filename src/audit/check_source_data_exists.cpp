// source_data_exists: there is something to compute from: live has rows in scope, or the transform's query returns some.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "< 1"; }

std::string expected(const Check &, const Job &job) {
  return job.spec.transform.is_query() ? "rows in scope, in live or from the query" : "rows in scope";
}

bool any(const Scene &scene, const std::string &from) {
  return scene
             .query("SELECT count(*) AS measured, NULL::bigint AS population FROM (SELECT FROM " + from +
                    " LIMIT 1) AS found")
             .only()
             .integer("measured") > 0;
}

Measurement measure(const Check &, const Scene &scene) {
  Measurement out;
  bool found = any(scene, scene.table + " WHERE " + scene.rows);
  if (!found && !scene.trial && scene.job.spec.transform.is_query())
    found = any(scene, "(" + whole_image(scene.job, scene.shape, true, false) + ") AS image");
  out.measured = found ? 1 : 0;
  out.actual = found ? "rows found" : "no row in scope";
  return out;
}

}  // namespace

extern const CheckKind source_data_exists_check;
const CheckKind source_data_exists_check = {"source_data_exists", failing, expected, measure};

}  // namespace backfill
