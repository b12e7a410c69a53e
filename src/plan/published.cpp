#include "plan/published.hpp"

#include "core/spec_keys.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// A query may set any column.
std::vector<std::string> columns_set(const Spec &spec) {
  std::vector<std::string> columns;
  for (const auto &[column, expression] : spec.transform.set) columns.push_back(column);
  return columns;
}

// Publications that send every column of the table, new ones as well.
std::vector<std::string> publications_of_all_columns(pg::Oid live) {
  std::vector<std::string> names;
  for (const pg::Row &row :
       pg::execute("SELECT p.pubname FROM pg_publication p WHERE p.puballtables OR EXISTS (SELECT FROM"
                   " pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = $1 AND r.prattrs IS NULL)"
                   " OR EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid"
                   " WHERE n.pnpubid = p.oid AND c.oid = $1) ORDER BY p.pubname COLLATE \"C\"",
                   {pg::Param::oid(live)}))
    names.push_back(row.text("pubname"));
  return names;
}

// Publications whose row filter looks at a column that is set.
std::vector<std::string> publications_filtering(pg::Oid live, const Spec &spec) {
  std::vector<std::string> names;
  for (const pg::Row &row :
       pg::execute("SELECT DISTINCT p.pubname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
                   " CROSS JOIN LATERAL regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') AS v (number)"
                   " JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = v.number[1]::int"
                   " WHERE r.prrelid = $1 AND ($2 OR a.attname = ANY ($3)) ORDER BY p.pubname",
                   {pg::Param::oid(live), spec.transform.is_query(), columns_set(spec)}))
    names.push_back(row.text("pubname"));
  return names;
}

}  // namespace

std::vector<std::string> publication_warnings(pg::Oid live, const Spec &spec) {
  return pg::as_extension([&] {
    std::vector<std::string> warnings;
    if (!spec.transform.add_columns.empty()) {
      std::vector<std::string> added;
      for (const auto &[column, type] : spec.transform.add_columns) added.push_back(column);
      std::vector<std::string> const all = publications_of_all_columns(live);
      if (!all.empty())
        warnings.push_back("Subscribers of publication " + listed(all) + " need column " + listed(added) +
                           " before the publish, or they stop with an error.");
    }
    std::vector<std::string> const filtering = publications_filtering(live, spec);
    if (!filtering.empty())
      warnings.push_back("The row filter of publication " + listed(filtering) +
                         " looks at a column that is recomputed.  Subscribers are not told which rows leave or enter "
                         "it: copy the table there anew after the publish.");
    return warnings;
  });
}

}  // namespace backfill
