// A version's chunks are half-open ranges in typed text; the value is compared as the chunk column's type compares it.  The
// table is meant by its name, as every publish gives that to another table.
#include "report/provenance.hpp"

#include "catalog/job.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

struct Publication {
  int job;
  std::string type;
};

// Of the table, newest first, as far as the caller may see them.
std::vector<Publication> publications_of(const std::string &table) {
  Oid const caller = pg::current_role();
  Oid const relation =
      static_cast<Oid>(pg::query_integer("SELECT $1::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8", {table}));
  return pg::as_extension([&] {
    std::vector<Publication> publications;
    for (const pg::Row &row :
         pg::execute("SELECT j.id, format_type(j.chunk_type, NULL) AS type FROM backfill.job j"
                     " JOIN pg_namespace n ON n.nspname = j.target_schema"
                     " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = j.target_name"
                     " WHERE c.oid = $1 AND j.state IN ('published', 'finished') AND j.published_at IS NOT NULL"
                     " AND j.start IS NOT NULL ORDER BY j.published_at DESC, j.id DESC",
                     {pg::Param::oid(relation)})) {
      int const id = static_cast<int>(row.integer("id"));
      if (may_see(caller, *load_job(id))) publications.push_back({id, row.text("type")});
    }
    return publications;
  });
}

}  // namespace

std::vector<std::vector<std::optional<std::string>>> provenance_of(const std::string &table, const std::string &value) {
  std::vector<std::vector<std::optional<std::string>>> rows;
  for (const Publication &publication : publications_of(table)) {
    std::string const sought = "CAST($2 AS " + publication.type + ")";
    pg::Result const found = pg::as_extension([&] {
      return pg::execute(
          "SELECT j.name, j.id, s.chunk, s.lo, s.hi, s.rows, s.finished_at, j.published_at"
          " FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
          " WHERE s.job_id = $1 AND s.kind = 'range' AND " +
              sought + " >= CAST(s.lo AS " + publication.type + ") AND " + sought + " < CAST(s.hi AS " +
              publication.type + ") ORDER BY s.chunk",
          {publication.job, value});
    });
    rows.insert(rows.end(), found.values.begin(), found.values.end());
  }
  return rows;
}

}  // namespace backfill
