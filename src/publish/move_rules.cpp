// Rules that users wrote for the table.
//
// As with triggers, only the table in service has any: a rule that says INSTEAD would divert the drain of the archive.
// While they are in service they concern nobody but users, since backfill reads that table and writes only to others.
#include "core/sql_text.hpp"
#include "publish/mentions.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result rules_of(Oid table) {
  return pg::execute(
      "SELECT oid, rulename, ev_enabled, pg_get_ruledef(oid) AS definition,"
      " obj_description(oid, 'pg_rewrite') AS comment FROM pg_rewrite WHERE ev_class = $1"
      " ORDER BY rulename COLLATE \"C\"",
      {pg::Param::oid(table)});
}

std::string drop(const pg::Row &rule, const std::string &table) {
  return "DROP RULE " + quote_ident(rule.text("rulename")) + " ON " + table;
}

void create(const Swap &swap, const pg::Row &rule, std::vector<std::string> &sql) {
  std::string const name = quote_ident(rule.text("rulename")), enabled = rule.text("ev_enabled");
  sql.push_back(rule.text("definition"));
  for (const auto &[state, verb] : {std::pair{"D", "DISABLE"}, {"R", "ENABLE REPLICA"}, {"A", "ENABLE ALWAYS"}})
    if (enabled == state) sql.push_back("ALTER TABLE " + swap.target_sql() + " " + verb + " RULE " + name);
  append_comment(sql, "RULE " + name + " ON " + swap.target_sql(), rule.get("comment"));
}

}  // namespace

// Asked under the last lock too, so without definitions.
std::vector<LockRequest> rule_locks(const Swap &swap) {
  std::vector<Oid> rules;
  for (const pg::Row &row : pg::execute("SELECT oid FROM pg_rewrite WHERE ev_class = $1", {pg::Param::oid(swap.out)}))
    rules.push_back(row.oid("oid"));
  return parse_locks(swap, "pg_rewrite", rules);
}

std::vector<std::string> move_rules(const Swap &swap) {
  pg::Result const rules = rules_of(swap.out);
  std::vector<std::string> sql;
  for (const pg::Row &rule : rules_of(swap.in)) sql.push_back(drop(rule, swap.target_sql()));
  for (const pg::Row &rule : rules) sql.push_back(drop(rule, swap.retired_sql()));
  for (const pg::Row &rule : rules) create(swap, rule, sql);
  return sql;
}

}  // namespace backfill
