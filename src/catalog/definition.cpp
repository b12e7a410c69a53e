#include "catalog/definition.hpp"

#include "pg/role.hpp"

namespace backfill {

void store_definitions(int job, const std::vector<Definition> &definitions) {
  std::vector<std::string> found, meant;
  for (const Definition &definition : definitions) {
    found.push_back(definition.found);
    meant.push_back(definition.meant);
  }
  pg::as_extension([&] {
    pg::execute("DELETE FROM backfill.definition WHERE job_id = $1", {job});
    pg::execute(
        "INSERT INTO backfill.definition (job_id, id, found, meant)"
        " SELECT $1, n, found, meant FROM unnest($2, $3) WITH ORDINALITY AS t (found, meant, n)",
        {job, found, meant});
  });
}

std::vector<Definition> load_definitions(int job) {
  return pg::as_extension([&] {
    std::vector<Definition> definitions;
    pg::Result const rows =
        pg::execute("SELECT found, meant FROM backfill.definition WHERE job_id = $1 ORDER BY id", {job});
    for (const pg::Row &row : rows) definitions.push_back({row.text("found"), row.text("meant")});
    return definitions;
  });
}

}  // namespace backfill
