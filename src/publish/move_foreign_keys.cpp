// Outgoing foreign keys.
//
// They cannot be on the shadow before: the referenced table's triggers would check it when a user deletes or updates a
// referenced row, and find shadow rows that are not drained yet; the user's statement would fail, or cascade.  So
// each is created NOT VALID in the swap and validated after commit (which lets writers go on).
//
// The table that leaves service must not keep them in force, or its rows would go on blocking deletes.  Dropping a
// foreign key takes ACCESS EXCLUSIVE on the referenced table, too much for the cutover.  Its triggers are disabled
// instead, on both sides, which takes SHARE ROW EXCLUSIVE: neither readers nor foreign key checks of other sessions
// notice.  Step `release` drops them after commit.  Should the way back come before that, the swap drops them itself
// and does take the stronger lock.
#include <set>

#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result foreign_keys_of(Oid table) {
  return pg::execute(
      "SELECT c.oid, c.conname, c.confrelid, c.convalidated, pg_get_constraintdef(c.oid) AS definition,"
      " obj_description(c.oid, 'pg_constraint') AS comment FROM pg_constraint c"
      " WHERE c.conrelid = $1 AND c.contype = 'f' AND c.conparentid = 0 ORDER BY c.conname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

std::string without_validity(std::string definition) {
  constexpr char suffix[] = " NOT VALID";
  constexpr std::size_t length = sizeof suffix - 1;
  if (definition.size() > length && definition.compare(definition.size() - length, length, suffix) == 0)
    definition.resize(definition.size() - length);
  return definition;
}

void disable(const Swap &swap, Oid constraint, std::vector<std::string> &sql) {
  for (const pg::Row &row : pg::execute("SELECT tgname, tgrelid FROM pg_trigger WHERE tgconstraint = $1 ORDER BY oid",
                                        {pg::Param::oid(constraint)})) {
    std::string const table = row.oid("tgrelid") == swap.out ? swap.retired_sql() : relation_sql(row.oid("tgrelid"));
    sql.push_back("ALTER TABLE " + table + " DISABLE TRIGGER " + quote_ident(row.text("tgname")));
  }
}

}  // namespace

std::vector<LockRequest> retired_foreign_key_locks(Oid table) {
  std::vector<LockRequest> locks;
  for (const pg::Row &row : foreign_keys_of(table))
    if (row.oid("confrelid") != table) locks.push_back({row.oid("confrelid"), pg::LockMode::access_exclusive});
  return locks;
}

std::vector<std::string> drop_foreign_keys(Oid table, const std::string &table_sql) {
  std::vector<std::string> sql;
  for (const pg::Row &row : foreign_keys_of(table))
    sql.push_back("ALTER TABLE " + table_sql + " DROP CONSTRAINT " + quote_ident(row.text("conname")));
  return sql;
}

std::vector<LockRequest> foreign_key_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (const LockRequest &request : retired_foreign_key_locks(swap.in))
    if (request.relation != swap.out) locks.push_back(request);
  for (const pg::Row &row : foreign_keys_of(swap.out))
    if (row.oid("confrelid") != swap.out) locks.push_back({row.oid("confrelid"), pg::LockMode::share_row_exclusive});
  return locks;
}

std::vector<std::string> move_foreign_keys(const Swap &swap) {
  std::vector<std::string> sql = drop_foreign_keys(swap.in, swap.target_sql());
  for (const pg::Row &row : foreign_keys_of(swap.out)) {
    std::string const name = quote_ident(row.text("conname"));
    sql.push_back("ALTER TABLE " + swap.target_sql() + " ADD CONSTRAINT " + name + " " +
                  without_validity(row.text("definition")) + " NOT VALID");
    if (!row.null("comment"))
      sql.push_back("COMMENT ON CONSTRAINT " + name + " ON " + swap.target_sql() + " IS " +
                    quote_literal(row.text("comment")));
    disable(swap, row.oid("oid"), sql);
  }
  return sql;
}

// A key is to be valid afterwards if it is now, or was about to become so when the tables change places again.
std::vector<Step> after_foreign_keys(const Swap &swap) {
  std::set<std::string> awaited;
  for (const Step &step : load_steps(swap.job.id, "validate"))
    if (step.status != "done") awaited.insert(step.title);
  std::vector<Step> steps;
  for (const pg::Row &key : foreign_keys_of(swap.out)) {
    if (steps.empty())
      steps.push_back(after_step(swap, stage::after, "release", "drop the foreign keys of the replaced version", "{}"));
    Step const validate = after_step(swap, stage::after + 1, "validate", "validate foreign key " + key.text("conname"),
                                     "{\"constraint\": " + json_quote(key.text("conname")) + "}");
    if (key.boolean("convalidated") || awaited.contains(validate.title)) steps.push_back(validate);
  }
  return steps;
}

}  // namespace backfill
