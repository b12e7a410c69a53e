// Publications that name the table: the one that enters service takes the place of the one that leaves it, with its row
// filter and its columns.
//
// Subscribers know the table by its name.  What was written to a version before it entered service is not sent to them,
// nor what drains write to the one that left it: rows are sent if their table was a member when they were written.
#include "core/sql_text.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result memberships(Oid table) {
  return pg::execute(
      "SELECT p.oid AS publication, p.pubname, pg_get_expr(r.prqual, r.prrelid) AS filter,"
      " (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) FROM unnest(r.prattrs::int2[])"
      "   WITH ORDINALITY AS u (number, n) JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = u.number)"
      "   AS columns"
      " FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1 ORDER BY p.oid",
      {pg::Param::oid(table)});
}

}  // namespace

void hold_publications(const Swap &swap) {
  for (const pg::Row &membership : memberships(swap.out))
    if (!pg::try_lock_object("pg_publication", membership.oid("publication")))
      throw Busy("a publication of the table is being altered");
}

std::vector<std::string> move_publications(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &membership : memberships(swap.out)) {
    std::string const alter = "ALTER PUBLICATION " + quote_ident(membership.text("pubname"));
    sql.push_back(alter + " DROP TABLE " + swap.retired_sql());
    sql.push_back(alter + " ADD TABLE " + swap.target_sql() +
                  (membership.null("columns") ? "" : " (" + membership.text("columns") + ")") +
                  (membership.null("filter") ? "" : " WHERE (" + membership.text("filter") + ")"));
  }
  return sql;
}

}  // namespace backfill
