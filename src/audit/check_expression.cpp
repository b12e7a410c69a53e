// expression: the SQL expression is true for every row.  False and null are both not true, so that a forgotten
// coalesce shows; write "x IS NULL OR ..." where null is fine.
#include "audit/check.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) { return check.text("sql"); }

Measurement measure(const Check &check, const Scene &scene) {
  return count_rows(scene,
                    "SELECT count(*) FILTER (WHERE (" + fragment(scene.job, *check.find("sql")) +
                        "\n) IS NOT TRUE) AS measured,\n       count(*) AS population\nFROM " + scene.table +
                        " WHERE " + scene.rows,
                    "row for which it is not true|rows for which it is not true");
}

}  // namespace

extern const CheckKind expression_check;
const CheckKind expression_check = {"expression", failing, expected, measure};

}  // namespace backfill
