// Triggers that users hung on the table.
//
// Only the table in service has any: on a version out of service they would fire for what our drains write.  So those of
// the table that leaves are made anew, from their definitions, on the one that enters, and dropped where they were.
// Triggers of constraints move with their constraints; our own are turned around by whoever swaps.
//
// A constraint trigger has a constraint beside it, by whose name SET CONSTRAINTS knows it.  Made anew it is called like
// the trigger.  Where somebody had renamed one of the two, the trigger is made under the constraint's name, and gets
// its own when all are there: another trigger may bear the name meanwhile.
#include "core/sql_text.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result triggers_of(Oid table) {
  return pg::execute(
      "SELECT t.oid, t.tgname, quote_ident(t.tgname) AS quoted, t.tgenabled, pg_get_triggerdef(t.oid) AS definition,"
      " t.tgconstrrelid, k.conname, obj_description(t.oid, 'pg_trigger') AS comment,"
      " obj_description(k.oid, 'pg_constraint') AS constraint_comment,"
      " ARRAY(SELECT x.extname::text FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid"
      "  WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass"
      "  AND d.deptype = 'x' ORDER BY x.extname) AS extensions"
      " FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint"
      " WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND f.pronamespace <> 'backfill'::regnamespace"
      " ORDER BY t.tgname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

bool renamed(const pg::Row &trigger) {
  return !trigger.null("conname") && trigger.text("conname") != trigger.text("tgname");
}

std::string drop(const pg::Row &trigger, const std::string &table) {
  return "DROP TRIGGER " + quote_ident(trigger.text("tgname")) + " ON " + table;
}

std::string interim_name(const Swap &swap, const pg::Row &trigger) {
  return "backfill_" + std::to_string(swap.job.id) + "_" + trigger.text("oid");
}

std::string rename(const Swap &swap, const std::string &from, const std::string &to) {
  return "ALTER TRIGGER " + quote_ident(from) + " ON " + swap.target_sql() + " RENAME TO " + quote_ident(to);
}

// The definition, which begins with the trigger's name, under the constraint's name.
void create_renamed(const Swap &swap, const pg::Row &trigger, std::vector<std::string> &sql) {
  std::string const opening = "CREATE CONSTRAINT TRIGGER ", name = trigger.text("quoted");
  std::string const definition = trigger.text("definition");
  if (!definition.starts_with(opening + name + " "))
    throw Error(sqlstate::internal_error, "the definition of trigger " + name + " does not begin with its name");
  sql.push_back(opening + quote_ident(trigger.text("conname")) + definition.substr(opening.size() + name.size()));
  sql.push_back(rename(swap, trigger.text("conname"), interim_name(swap, trigger)));
}

// What CREATE TRIGGER cannot say.
void restate(const Swap &swap, const pg::Row &trigger, std::vector<std::string> &sql) {
  std::string const name = quote_ident(trigger.text("tgname")), on = " ON " + swap.target_sql();
  std::string const enabled = trigger.text("tgenabled");
  for (const auto &[state, verb] : {std::pair{"D", "DISABLE"}, {"R", "ENABLE REPLICA"}, {"A", "ENABLE ALWAYS"}})
    if (enabled == state) sql.push_back("ALTER TABLE " + swap.target_sql() + " " + verb + " TRIGGER " + name);
  for (const std::string &extension : trigger.texts("extensions"))
    sql.push_back("ALTER TRIGGER " + name + on + " DEPENDS ON EXTENSION " + quote_ident(extension));
  append_comment(sql, "TRIGGER " + name + on, trigger.get("comment"));
  if (!trigger.null("conname"))
    append_comment(sql, "CONSTRAINT " + quote_ident(trigger.text("conname")) + on, trigger.get("constraint_comment"));
}

}  // namespace

// Asked under the last lock too, so without definitions.
std::vector<LockRequest> trigger_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (const pg::Row &row : pg::execute("SELECT DISTINCT tgconstrrelid FROM pg_trigger WHERE tgrelid = $1"
                                        " AND NOT tgisinternal AND tgconstrrelid NOT IN (0, $1) ORDER BY 1",
                                        {pg::Param::oid(swap.out)}))
    locks.push_back({row.oid("tgconstrrelid"), pg::LockMode::access_share});
  return locks;
}

std::vector<std::string> move_triggers(const Swap &swap) {
  pg::Result const triggers = triggers_of(swap.out);
  std::vector<std::string> sql;
  for (const pg::Row &trigger : triggers_of(swap.in)) sql.push_back(drop(trigger, swap.target_sql()));
  for (const pg::Row &trigger : triggers) sql.push_back(drop(trigger, swap.retired_sql()));
  for (const pg::Row &trigger : triggers)
    if (renamed(trigger)) create_renamed(swap, trigger, sql);
  for (const pg::Row &trigger : triggers)
    if (!renamed(trigger)) sql.push_back(trigger.text("definition"));
  for (const pg::Row &trigger : triggers)
    if (renamed(trigger)) sql.push_back(rename(swap, interim_name(swap, trigger), trigger.text("tgname")));
  for (const pg::Row &trigger : triggers) restate(swap, trigger, sql);
  return sql;
}

}  // namespace backfill
