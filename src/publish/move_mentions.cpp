// Policies of other tables, and rules of other tables and of views, that mention the table.  Both are altered in place:
// OID, roles, comment, enabled state stay.  The server takes ACCESS EXCLUSIVE on the table or view they stand on.
//
// A table that enters service is given its rules and policies anew by its own movers.  One that leaves it keeps its
// policies: they must not go on mentioning what is about to be dropped.
#include "catalog/new_job.hpp"
#include "core/sql_text.hpp"
#include "publish/mentions.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result policies_on_others(const Swap &swap) {
  return pg::execute(
      "SELECT p.oid, p.polrelid AS relation, p.polname AS name, pg_get_expr(p.polqual, p.polrelid) AS visible,"
      " pg_get_expr(p.polwithcheck, p.polrelid) AS writable FROM pg_policy p"
      " WHERE p.oid = ANY ($1) AND p.polrelid NOT IN ($2, $3) ORDER BY p.polrelid, p.oid",
      {oid_array(mentioning("pg_policy", swap.out)), pg::Param::oid(swap.out), pg::Param::oid(swap.in)});
}

pg::Result rules_on_others(const Swap &swap) {
  return pg::execute(
      "SELECT r.oid, r.ev_class AS relation, pg_get_ruledef(r.oid) AS definition FROM pg_rewrite r"
      " WHERE r.oid = ANY ($1) AND r.rulename <> '_RETURN' AND r.ev_class <> ALL ($2)"
      " ORDER BY r.ev_class, r.oid",
      {oid_array(mentioning("pg_rewrite", swap.out)), oid_array(swap.peers)});
}

// What they stand on, and what their definitions mention.  The tables of other swaps are locked as such, last.
std::vector<LockRequest> locks_for(const Swap &swap, const std::string &catalog, const pg::Result &objects) {
  std::vector<LockRequest> locks;
  std::vector<Oid> oids;
  for (const pg::Row &object : objects) {
    oids.push_back(object.oid("oid"));
    Oid const relation = object.oid("relation");
    if (swap.leaves(relation) || (!locks.empty() && locks.back().relation == relation)) continue;
    locks.push_back({relation, pg::LockMode::access_exclusive});
  }
  for (const LockRequest &request : parse_locks(swap, catalog, oids)) locks.push_back(request);
  return locks;
}

// The job that swaps this table in the same call, if another one does.
std::optional<Job> swapped_too(const Swap &swap, Oid relation) {
  auto const active = active_job_on(relation);
  std::optional<Job> const job = active ? load_job(active->id) : std::nullopt;
  return job && swap.leaves(job->live) && job->live != swap.out ? job : std::nullopt;
}

// The text calls the policy's own table by the name it had, which now is another's: it bears it for that statement.
void alter_on_archive(const Job &job, const std::string &statement, std::vector<std::string> &sql) {
  auto const rename = [&](const std::string &from, const std::string &to) {
    sql.push_back("ALTER TABLE " + qualified(job.target_schema, from) + " RENAME TO " + quote_ident(to));
  };
  std::string const aside = "backfill_" + std::to_string(job.id);
  rename(job.target_name, aside);
  rename(job.archive_name, job.target_name);
  sql.push_back(statement);
  rename(job.target_name, job.archive_name);
  rename(aside, job.target_name);
}

}  // namespace

std::vector<LockRequest> policy_locks_of_others(const Swap &swap) {
  return locks_for(swap, "pg_policy", policies_on_others(swap));
}

std::vector<std::string> move_policies_of_others(const Swap &swap) {
  std::vector<std::string> sql;
  for (const pg::Row &policy : policies_on_others(swap)) {
    Oid const table = policy.oid("relation");
    std::optional<Job> const job = swapped_too(swap, table);
    if (job && table != job->live) continue;
    std::string statement = "ALTER POLICY " + quote_ident(policy.text("name")) + " ON " + relation_sql(table);
    if (!policy.null("visible")) statement += " USING (" + policy.text("visible") + ")";
    if (!policy.null("writable")) statement += " WITH CHECK (" + policy.text("writable") + ")";
    if (job)
      alter_on_archive(*job, statement, sql);
    else
      sql.push_back(statement);
  }
  return sql;
}

std::vector<LockRequest> rule_locks_of_others(const Swap &swap) {
  return locks_for(swap, "pg_rewrite", rules_on_others(swap));
}

std::vector<std::string> move_rules_of_others(const Swap &swap) {
  constexpr char create[] = "CREATE ";
  constexpr std::size_t length = sizeof create - 1;
  std::vector<std::string> sql;
  for (const pg::Row &rule : rules_on_others(swap))
    sql.push_back("CREATE OR REPLACE " + rule.text("definition").substr(length));
  return sql;
}

}  // namespace backfill
