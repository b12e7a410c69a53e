// A fingerprint is "SHAPE" or "SHAPE oid:BODY oid:BODY …": the MD5 of what the table looks like and of the spec, then one
// of the body of each function that the transform calls.  The functions stand in the text so that the fingerprint can be
// taken again without parsing the transform, which would lock the tables it reads.
//
// Whether a foreign key is valid does not belong to it: after a rollback they are validated in the background, and the
// backfill may be published again meanwhile.
#include "plan/fingerprint.hpp"

#include <sstream>

#include "core/node.hpp"
#include "pg/role.hpp"
#include "plan/plan.hpp"

namespace backfill {

namespace {

constexpr char shape_sql[] = R"(
SELECT md5(concat_ws(E'\n', c.relkind, c.relpersistence,
  (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                                a.attgenerated, a.attcollation, pg_get_expr(d.adbin, d.adrelid)), E'\n' ORDER BY a.attnum)
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT string_agg(CASE WHEN k.contype = 'f'
                          THEN concat_ws(' ', k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''))
                          ELSE concat_ws(' ', k.conname, pg_get_constraintdef(k.oid), k.convalidated) END,
                     E'\n' ORDER BY k.conname)
     FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 't' AND NOT backfill.is_retired_key(k.oid)),
  (SELECT string_agg(pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid, E'\n' ORDER BY pg_get_indexdef(i.indexrelid))
     FROM pg_index i WHERE i.indrelid = c.oid), $2::jsonb::text))
  FROM pg_class c WHERE c.oid = $1)";

}  // namespace

std::string take_fingerprint(Oid live, const Spec &spec, const std::vector<Oid> &functions) {
  return pg::as_extension([&] {
    pg::Result const shape = pg::execute(shape_sql, {pg::Param::oid(live), to_json(frozen_document(spec))});
    std::string fingerprint = shape.empty() ? "gone" : shape.values[0][0].value_or("gone");
    for (Oid function : functions) {
      auto const body = pg::query_value(
          "SELECT max(md5(concat_ws(' ', prosrc, probin, pg_get_function_sqlbody(oid), proconfig::text)))"
          " FROM pg_proc WHERE oid = $1",
          {pg::Param::oid(function)});
      fingerprint += " " + std::to_string(function) + ":" + body.value_or("gone");
    }
    return fingerprint;
  });
}

std::string table_fingerprint(const Job &job) {
  std::vector<Oid> functions;
  std::istringstream words(job.fingerprint);
  std::string word;
  words >> word;
  while (words >> word) functions.push_back(static_cast<Oid>(std::stoul(word)));
  return take_fingerprint(job.live, job.spec, functions);
}

void require_unchanged(const Job &job) {
  if (table_fingerprint(job) == job.fingerprint) return;
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "table \"" + job.target_name + "\" or the transform has changed since the plan",
              "Columns, constraints, indexes and the functions of the transform must be what they were.",
              "Cancel the backfill and plan it again.");
}

}  // namespace backfill
