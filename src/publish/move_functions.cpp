// Functions and procedures whose body is SQL kept as a tree (BEGIN ATOMIC), and those that name the table as a constant:
// replaced in place.  OID, owner, privileges, comment and security label stay; all that the text holds (defaults, SET,
// SECURITY DEFINER, PARALLEL, cost ...) is restated by the server itself.  DEPENDS ON EXTENSION is the one thing lost, and
// is stated again.
//
// Nothing locks a function as such: its row in the catalog is locked, so that nobody replaces it between reading and
// replacing it.  Callers are not kept waiting by that; one who comes while the swap holds the table has read the old
// definition and will use the old version for that one call, complete as it was.
#include "core/sql_text.hpp"
#include "publish/mentions.hpp"
#include "publish/movers.hpp"

namespace backfill {

std::vector<LockRequest> function_locks(const Swap &swap) {
  return parse_locks(swap, "pg_proc", mentioning("pg_proc", swap.out));
}

void hold_functions(const Swap &swap) {
  std::vector<Oid> const functions = mentioning("pg_proc", swap.out);
  if (functions.empty()) return;
  try {
    pg::execute("SELECT FROM pg_proc WHERE oid = ANY ($1) ORDER BY oid FOR UPDATE NOWAIT", {oid_array(functions)});
  } catch (const Error &failure) {
    if (failure.sqlstate != sqlstate::lock_not_available) throw;
    throw Busy("a function that reads the table is being changed");
  }
}

std::vector<std::string> move_functions(const Swap &swap) {
  std::vector<std::string> sql;
  pg::Result const functions = pg::execute(
      "SELECT p.oid::regprocedure AS signature, pg_get_functiondef(p.oid) AS definition,"
      " ARRAY(SELECT x.extname::text FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid"
      "        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'x'"
      "          AND d.refclassid = 'pg_extension'::regclass ORDER BY 1) AS extensions"
      " FROM pg_proc p WHERE p.oid = ANY ($1) ORDER BY p.oid",
      {oid_array(mentioning("pg_proc", swap.out))});
  // They were valid; and a language's validator may run what the author wrote.
  if (!functions.empty()) sql.push_back("SET LOCAL check_function_bodies = off");
  for (const pg::Row &function : functions) {
    sql.push_back(function.text("definition"));
    for (const std::string &extension : function.texts("extensions"))
      sql.push_back("ALTER ROUTINE " + function.text("signature") + " DEPENDS ON EXTENSION " + quote_ident(extension));
  }
  return sql;
}

}  // namespace backfill
