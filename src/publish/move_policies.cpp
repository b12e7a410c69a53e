// Row security: the table that enters service gets the flags and exactly the policies of the one that leaves.
//
// The one that leaves keeps its own: an archive keeps its privileges too, and who could read some rows must not read
// all of them there.  Nobody sees the new version without its policies: it has no privileges before the swap, and what
// the swap does becomes visible at once.
#include "core/sql_text.hpp"
#include "publish/mentions.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result policies_of(Oid table) {
  return pg::execute(
      "SELECT p.oid, p.polname, p.polpermissive,"
      " CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'"
      " WHEN 'd' THEN 'DELETE' END AS command,"
      " (SELECT string_agg(CASE WHEN role = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', '"
      "  ORDER BY n) FROM unnest(p.polroles) WITH ORDINALITY AS r(role, n)) AS roles,"
      " pg_get_expr(p.polqual, p.polrelid) AS visible, pg_get_expr(p.polwithcheck, p.polrelid) AS writable,"
      " obj_description(p.oid, 'pg_policy') AS comment"
      " FROM pg_policy p WHERE p.polrelid = $1 ORDER BY p.polname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

void create(const Swap &swap, const pg::Row &policy, std::vector<std::string> &sql) {
  std::string const name = quote_ident(policy.text("polname")) + " ON " + swap.target_sql();
  std::string text = "CREATE POLICY " + name + " AS " +
                     (policy.boolean("polpermissive") ? "PERMISSIVE" : "RESTRICTIVE") + " FOR " +
                     policy.text("command") + " TO " + policy.text("roles");
  if (!policy.null("visible")) text += " USING (" + policy.text("visible") + ")";
  if (!policy.null("writable")) text += " WITH CHECK (" + policy.text("writable") + ")";
  sql.push_back(text);
  append_comment(sql, "POLICY " + name, policy.get("comment"));
}

// Only what differs: a table without row security costs nothing.
void set_flags(const Swap &swap, std::vector<std::string> &sql) {
  pg::Result const found = pg::execute(
      "SELECT o.relrowsecurity AS enabled, o.relforcerowsecurity AS forced,"
      " o.relrowsecurity <> i.relrowsecurity AS other_enabled, o.relforcerowsecurity <> i.relforcerowsecurity AS "
      "other_forced"
      " FROM pg_class o, pg_class i WHERE o.oid = $1 AND i.oid = $2",
      {pg::Param::oid(swap.out), pg::Param::oid(swap.in)});
  pg::Row const flags = found.only();
  std::string const alter = "ALTER TABLE " + swap.target_sql();
  if (flags.boolean("other_enabled"))
    sql.push_back(alter + (flags.boolean("enabled") ? " ENABLE" : " DISABLE") + " ROW LEVEL SECURITY");
  if (flags.boolean("other_forced"))
    sql.push_back(alter + (flags.boolean("forced") ? " FORCE" : " NO FORCE") + " ROW LEVEL SECURITY");
}

}  // namespace

// Asked under the last lock too, so without definitions.
std::vector<LockRequest> policy_locks(const Swap &swap) {
  std::vector<Oid> policies;
  for (const pg::Row &row : pg::execute("SELECT oid FROM pg_policy WHERE polrelid = $1", {pg::Param::oid(swap.out)}))
    policies.push_back(row.oid("oid"));
  return parse_locks(swap, "pg_policy", policies);
}

std::vector<std::string> move_policies(const Swap &swap) {
  pg::Result const policies = policies_of(swap.out);
  std::vector<std::string> sql;
  for (const pg::Row &policy : policies_of(swap.in))
    sql.push_back("DROP POLICY " + quote_ident(policy.text("polname")) + " ON " + swap.target_sql());
  for (const pg::Row &policy : policies) create(swap, policy, sql);
  set_flags(swap, sql);
  return sql;
}

}  // namespace backfill
