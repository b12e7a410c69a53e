// Foreign keys, outgoing and incoming.
//
// They cannot be on the shadow before: the referenced table's triggers would check it when a user deletes or updates a
// referenced row, and find shadow rows that are not drained yet; a key that refers to the shadow would refuse rows whose
// partner is not drained yet.  So each is made anew in the swap, NOT VALID, and validated after commit (which lets
// writers go on):
//
//   outgoing   on the table that enters service, as the one that leaves had it;
//   incoming   on the referencing table, which goes on referring to the name.
//
// The old one must not stay in force, or archived rows would block deletes and partners would be looked for in the
// archive.  Dropping it takes ACCESS EXCLUSIVE on both tables, too much for the cutover.  It is retired instead: its
// triggers are disabled and it gives its name up, for which SHARE ROW EXCLUSIVE will do: readers go on, and so do the
// checks that others make when they delete a referenced row or add a referencing one elsewhere.  Step `release` drops it
// after commit, and nothing here minds one that is still there at the way back.
//
// Where both tables leave service in one call, the referencing one's swap does it all.
#include <set>

#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "pg/constraint.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

constexpr char retired_suffix[] = "_retired_";  // and the key's OID; backfill.is_retired_key() looks for it

// Keys in force that fulfil a condition on k, of which $1 is the OID of a table.
pg::Result keys_in_force(const std::string &condition, Oid table) {
  return pg::execute(
      "SELECT k.oid, k.conname, k.conrelid, k.confrelid, n.nspname, r.relname, r.relkind,"
      " pg_get_constraintdef(k.oid) AS definition, obj_description(k.oid, 'pg_constraint') AS comment,"
      " EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O') AS altered,"
      // One that waits to be validated is not NOT VALID by anybody's wish.
      " k.convalidated OR EXISTS (SELECT FROM backfill.step s JOIN backfill.job j ON j.id = s.job_id"
      "   WHERE s.kind = 'validate' AND s.status <> 'done' AND j.state IN ('published', 'ready')"
      "   AND s.params ->> 'constraint' = k.conname AND s.params ->> 'table' = k.conrelid::text) AS valid"
      " FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace"
      " WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT backfill.is_retired_key(k.oid) AND " +
          condition + " ORDER BY n.nspname COLLATE \"C\", r.relname COLLATE \"C\", k.conname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

pg::Result outgoing_keys(const Swap &swap) { return keys_in_force("k.conrelid = $1", swap.out); }

// Those of tables that stay in service.
pg::Result incoming_keys(const Swap &swap) {
  pg::Result keys = keys_in_force("k.confrelid = $1 AND k.conrelid <> $1", swap.out);
  if (swap.peers.size() < 2) return keys;
  pg::Result staying = keys;
  staying.values.clear();
  for (std::size_t i = 0; i < keys.size(); i++)
    if (!swap.leaves(keys[i].oid("conrelid"))) staying.values.push_back(keys.values[i]);
  return staying;
}

std::string without_validity(std::string definition) {
  constexpr char suffix[] = " NOT VALID";
  constexpr std::size_t length = sizeof suffix - 1;
  if (definition.size() > length && definition.compare(definition.size() - length, length, suffix) == 0)
    definition.resize(definition.size() - length);
  return definition;
}

std::string table_of(const pg::Row &key) { return display_name(key.text("nspname"), key.text("relname")); }

// The inventory has refused these when planning; they may have come since.
void require_movable(const pg::Row &key) {
  std::string const name = "foreign key \"" + key.text("conname") + "\" of " + table_of(key);
  if (key.boolean("altered"))
    throw Error(sqlstate::object_not_in_prerequisite_state, name + " has triggers that are disabled",
                "It would be in force again after the swap.",
                "Enable them with ALTER TABLE … ENABLE TRIGGER ALL on the tables at both of its ends, or drop it.");
  if (key.text("relkind") == "p")
    throw Error(sqlstate::object_not_in_prerequisite_state, name + " belongs to a partitioned table",
                "The server has no NOT VALID foreign keys on partitioned tables.",
                "Drop it for the time of the backfill and add it again after the publish.");
}

// `table` is what its table is called after the renames.
void replace(const pg::Row &key, const std::string &table, std::vector<std::string> &sql) {
  require_movable(key);
  std::string const name = quote_ident(key.text("conname"));
  sql.push_back("SELECT backfill.retire_key(" + std::to_string(key.oid("oid")) + ")");
  sql.push_back("ALTER TABLE " + table + " ADD CONSTRAINT " + name + " " + without_validity(key.text("definition")) +
                " NOT VALID");
  if (!key.null("comment"))
    sql.push_back("COMMENT ON CONSTRAINT " + name + " ON " + table + " IS " + quote_literal(key.text("comment")));
}

// Keys that were retired and not dropped yet, at either end of a table.
pg::Result retired_keys(Oid table) {
  return pg::execute(
      "SELECT k.conname, k.conrelid, k.confrelid FROM pg_constraint k WHERE k.contype = 'f'"
      " AND $1 IN (k.conrelid, k.confrelid) AND backfill.is_retired_key(k.oid) ORDER BY k.oid",
      {pg::Param::oid(table)});
}

Step validation(const Swap &swap, const pg::Row &key, Oid table, const std::string &title) {
  return after_step(swap, stage::after + 1, "validate", "validate foreign key " + title,
                    "{\"table\": " + std::to_string(swap.in == 0 ? 0 : table) +
                        ", \"constraint\": " + json_quote(key.text("conname")) + "}");
}

}  // namespace

void retire_foreign_key(Oid key) {
  std::string name;
  for (const pg::Row &row : pg::execute(
           "SELECT k.conname, t.tgrelid, string_agg(format('DISABLE TRIGGER %I', t.tgname), ', ' ORDER BY t.oid) AS "
           "disable"
           " FROM pg_constraint k JOIN pg_trigger t ON t.tgconstraint = k.oid WHERE k.oid = $1 AND k.contype = 'f'"
           " GROUP BY k.conname, t.tgrelid",
           {pg::Param::oid(key)})) {
    name = row.text("conname");
    pg::execute("ALTER TABLE " + relation_sql(row.oid("tgrelid")) + " " + row.text("disable"));
  }
  if (name.empty())
    throw Error(sqlstate::undefined_object, "there is no foreign key with OID " + std::to_string(key), {},
                "Name the OID of a row of pg_constraint.");
  pg::rename_foreign_key(key, suffixed_name(name, retired_suffix + std::to_string(key)));
}

std::vector<LockRequest> retired_foreign_key_locks(const std::vector<Oid> &tables) {
  std::set<Oid> relations;
  for (Oid const table : tables)
    for (const pg::Row &key : retired_keys(table))
      for (const char *const end : {"conrelid", "confrelid"}) relations.insert(key.oid(end));
  std::vector<LockRequest> locks;
  for (Oid const relation : relations) locks.push_back({relation, pg::LockMode::access_exclusive});
  return locks;
}

void drop_retired_foreign_keys(Oid table) {
  for (const pg::Row &key : retired_keys(table))
    pg::execute("ALTER TABLE " + relation_sql(key.oid("conrelid")) + " DROP CONSTRAINT " +
                quote_ident(key.text("conname")));
}

std::vector<LockRequest> foreign_key_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (const pg::Row &key : incoming_keys(swap))
    locks.push_back({key.oid("conrelid"), pg::LockMode::share_row_exclusive});
  for (const pg::Row &key : outgoing_keys(swap))
    if (!swap.leaves(key.oid("confrelid"))) locks.push_back({key.oid("confrelid"), pg::LockMode::share_row_exclusive});
  return locks;
}

std::vector<std::string> move_foreign_keys(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &key : outgoing_keys(swap)) replace(key, swap.target_sql(), sql);
  for (const pg::Row &key : incoming_keys(swap)) replace(key, qualified(key.text("nspname"), key.text("relname")), sql);
  return sql;
}

// A key is to be valid afterwards if it is now, or was about to become so when the tables change places again.
std::vector<Step> after_foreign_keys(const Swap &swap) {
  pg::Result const outgoing = outgoing_keys(swap), incoming = incoming_keys(swap);
  std::vector<Step> steps;
  if (!outgoing.empty() || !incoming.empty())
    steps.push_back(after_step(swap, stage::after, "release", "drop the foreign keys of the replaced version", "{}"));
  for (const pg::Row &key : outgoing)
    if (key.boolean("valid")) steps.push_back(validation(swap, key, swap.in, key.text("conname")));
  for (const pg::Row &key : incoming)
    if (key.boolean("valid"))
      steps.push_back(validation(swap, key, key.oid("conrelid"), key.text("conname") + " of " + table_of(key)));
  return steps;
}

}  // namespace backfill
