// Extended statistics objects: paired by what they are about (columns, expressions, kinds), since LIKE names the copies
// as it pleases; the copy takes name, schema, owner, target and comment.
#include <map>

#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

struct Statistics {
  std::string schema, name, about, owner, target;
  std::optional<std::string> comment;
  std::string sql() const { return qualified(schema, name); }
};

std::vector<Statistics> statistics_of(Oid table) {
  std::vector<Statistics> found;
  for (const pg::Row &row :
       pg::execute("SELECT n.nspname, s.stxname, s.stxstattarget::text AS target, pg_get_userbyid(s.stxowner) AS owner,"
                   " obj_description(s.oid, 'pg_statistic_ext') AS comment,"
                   " pg_get_statisticsobjdef_columns(s.oid) || ' ' || s.stxkind::text AS about"
                   " FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1 ORDER "
                   "BY s.oid",
                   {pg::Param::oid(table)}))
    found.push_back({row.text("nspname"), row.text("stxname"), row.text("about"), row.text("owner"), row.text("target"),
                     row.get("comment")});
  return found;
}

void take_part_of(const Statistics &old, Statistics twin, std::vector<std::string> &sql) {
  if (twin.schema != old.schema)
    sql.push_back("ALTER STATISTICS " + twin.sql() + " SET SCHEMA " + quote_ident(old.schema));
  twin.schema = old.schema;
  sql.push_back("ALTER STATISTICS " + twin.sql() + " RENAME TO " + quote_ident(old.name));
  if (twin.owner != old.owner) sql.push_back("ALTER STATISTICS " + old.sql() + " OWNER TO " + quote_ident(old.owner));
  if (twin.target != old.target && !old.target.empty())
    sql.push_back("ALTER STATISTICS " + old.sql() + " SET STATISTICS " + old.target);
  if (twin.comment != old.comment)
    sql.push_back("COMMENT ON STATISTICS " + old.sql() + " IS " +
                  (old.comment ? quote_literal(*old.comment) : std::string("NULL")));
}

}  // namespace

std::vector<std::string> move_statistics(const Swap &swap) {
  std::multimap<std::string, Statistics> twins;
  for (Statistics &twin : statistics_of(swap.in)) twins.emplace(twin.about, std::move(twin));
  std::vector<std::string> retire, enter;
  for (const Statistics &old : statistics_of(swap.out)) {
    retire.push_back("ALTER STATISTICS " + old.sql() + " RENAME TO " + quote_ident(swap.retired_name(old.name)));
    auto const twin = twins.find(old.about);
    if (twin != twins.end()) {
      take_part_of(old, twin->second, enter);
      twins.erase(twin);
    } else if (swap.forward) {
      throw Error(
          sqlstate::object_not_in_prerequisite_state,
          "statistics object " + display_name(old.schema, old.name) + " has no counterpart on the new version",
          "It was created after the backfill had been planned.",
          "Drop it and create it again after the backfill was published, or cancel the backfill and plan it anew.");
    }
  }
  retire.insert(retire.end(), enter.begin(), enter.end());
  return retire;
}

}  // namespace backfill
