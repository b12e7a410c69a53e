#include "audit/defaults.hpp"

#include <algorithm>

#include "catalog/placement.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

CheckSpec make_check(const std::string &word, const std::string &severity = "error") {
  CheckSpec check;
  check.check = check.name = word;
  check.severity = severity;
  check.args = Node::empty_mapping();
  check.args.put("check", Node::of_string(word));
  check.args.path = word;
  return check;
}

CheckSpec unique_key(const Job &job) {
  CheckSpec check = make_check("unique");
  check.args.put("columns", Node::of_strings(job.key));
  check.name = "unique(" + listed_columns(job.key) + ")";
  return check;
}

// `set` keeps every row, unless dedupe drops some; what a query returns is the query's affair.
CheckSpec row_count(const Job &job) {
  const Transform &transform = job.spec.transform;
  return make_check("row_count_delta", transform.is_query() || !transform.dedupe.empty() ? "warn" : "error");
}

// Columns by name of a foreign key k, in its own order.
std::string columns_sql(const char *table, const char *numbers) {
  return std::string("ARRAY(SELECT a.attname::text FROM unnest(k.") + numbers +
         ") WITH ORDINALITY n (number, place) JOIN pg_attribute a ON a.attrelid = k." + table +
         " AND a.attnum = n.number ORDER BY n.place)";
}

// The keys of $1 in one direction whose other table the owner, $2, may read.  What he may not, only the server's own
// validation can prove.
pg::Result foreign_keys(const Job &job, const char *here, const char *there) {
  return pg::as_extension([&] {
    return pg::execute("SELECT k.conname, k.convalidated, k.conrelid, k." + std::string(there) +
                           "::regclass::text AS other, " + columns_sql("conrelid", "conkey") + " AS columns, " +
                           columns_sql("confrelid", "confkey") + " AS partner_columns, parse_ident(k." + there +
                           "::regclass::text) AS other_name FROM pg_constraint k WHERE k." + here +
                           " = $1 AND k.contype = 'f' AND k.conparentid = 0" +
                           " AND NOT backfill.is_retired_key(k.oid) AND backfill.may_read($2, k." + there +
                           ") ORDER BY k.conname COLLATE \"C\", k.oid",
                       {pg::Param::oid(job.live), pg::Param::oid(job.owner)});
  });
}

void add_foreign_keys(const Job &job, std::vector<CheckSpec> &checks) {
  pg::Result const keys = foreign_keys(job, "conrelid", "confrelid");
  for (pg::Row const key : keys) {
    CheckSpec check = make_check("relationships", key.boolean("convalidated") ? "error" : "warn");
    check.args.put("columns", Node::of_strings(key.texts("columns")));
    check.args.put("to_table", Node::of_string(key.text("other")));
    check.args.put("to_columns", Node::of_strings(key.texts("partner_columns")));
    check.name = "relationships(" + listed_columns(key.texts("columns")) + ")";
    checks.push_back(std::move(check));
  }
}

// Rows of other tables that refer to the target must not lose their partner.
void add_incoming_foreign_keys(const Job &job, std::vector<CheckSpec> &checks) {
  pg::Result const keys = foreign_keys(job, "confrelid", "conrelid");
  for (pg::Row const key : keys) {
    if (key.oid("conrelid") == job.live) continue;
    CheckSpec check = make_check("relationships");
    check.args.put("columns", Node::of_strings(key.texts("partner_columns")));
    check.args.put("from_table", Node::of_string(key.text("other")));
    check.args.put("from_columns", Node::of_strings(key.texts("columns")));
    check.args.put("scope", Node::of_string("table"));
    check.name = "relationships(" + key.text("conname") + " of " + key.texts("other_name").back() + ")";
    checks.push_back(std::move(check));
  }
}

std::vector<std::string> columns_of(const CheckSpec &check) {
  const Node *node = check.args.find("columns");
  if (node == nullptr) node = check.args.find("column");
  std::vector<std::string> columns = node != nullptr ? node->texts() : std::vector<std::string>();
  std::sort(columns.begin(), columns.end());
  return columns;
}

std::string from_table(const CheckSpec &check) {
  const Node *const node = check.args.find("from_table");
  return node != nullptr && !node->is_null() ? node->text() : std::string();
}

std::string exact_scope(const CheckSpec &check) {
  const Node *const scope = check.args.find("scope");
  return scope != nullptr && !scope->is_null() ? scope->text() : "out";
}

bool replaces(const CheckSpec &given, const CheckSpec &usual) {
  if (given.check != usual.check) return false;
  if (given.check == "exact") return exact_scope(given) == exact_scope(usual) || exact_scope(given) == "both";
  if (given.check != "unique" && given.check != "relationships") return true;
  if (given.check == "unique" && columns_of(given).empty()) return true;
  return columns_of(given) == columns_of(usual) && from_table(given) == from_table(usual);
}

std::vector<CheckSpec> unless_given(std::vector<CheckSpec> usual, const std::vector<CheckSpec> &given) {
  std::erase_if(usual, [&](const CheckSpec &check) {
    return std::any_of(given.begin(), given.end(), [&](const CheckSpec &other) { return replaces(other, check); });
  });
  return usual;
}

}  // namespace

std::vector<CheckSpec> default_checks(const Job &job) {
  std::vector<CheckSpec> checks = {unique_key(job), row_count(job)};
  if (!placement_of(job).builds_whole) {
    // The shape is the table's own, and no column of a foreign key is written.
    checks.push_back(make_check("shrink_guard"));
    CheckSpec exact = make_check("exact");
    exact.args.put("scope", Node::of_string("in"));
    checks.push_back(std::move(exact));
    return unless_given(std::move(checks), job.spec.checks);
  }
  if (job.start) {
    checks.push_back(make_check("shrink_guard"));
    checks.push_back(make_check("exact"));
  }
  checks.push_back(make_check("schema_match"));
  add_foreign_keys(job, checks);
  add_incoming_foreign_keys(job, checks);
  return unless_given(std::move(checks), job.spec.checks);
}

// An empty scope is worth a warning; it is an error only to those who ask for it.
std::vector<CheckSpec> default_pre_checks(const Job &job) {
  return unless_given(
      {make_check("source_data_exists", "warn"), make_check("target_column_exists"), make_check("way_back_exists"),
       make_check("no_concurrent_backfill"), make_check("baseline_metrics")},
      job.spec.pre_checks);
}

}  // namespace backfill
