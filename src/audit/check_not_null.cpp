// not_null: each of these columns is filled in every row.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) { return "no nulls in " + listed_columns(check.columns()); }

Measurement measure(const Check &check, const Scene &scene) {
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), check.columns());
  return count_rows(scene,
                    "SELECT count(*) FILTER (WHERE num_nulls(" + quoted_columns(check.columns()) +
                        ") > 0) AS measured,\n       count(*) AS population\nFROM " + scene.table + " WHERE " +
                        scene.rows,
                    "row with a null|rows with a null");
}

}  // namespace

extern const CheckKind not_null_check;
const CheckKind not_null_check = {"not_null", failing, expected, measure};

}  // namespace backfill
