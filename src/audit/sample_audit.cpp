// A check that looks at the new version alone is asked once about all rows of the sample.  One that compares it with live, or
// wants to be asked chunk by chunk, is asked about each chunk, and the worst counts.  What needs the whole table (its indexes,
// its totals, every chunk) is left out and told.
#include "audit/sample_audit.hpp"

#include <algorithm>

#include "audit/check.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/transaction.hpp"

namespace backfill {

namespace {

// ---- checks ----

constexpr const char *of_rows[] = {"unique",         "not_null",      "accepted_values",
                                   "accepted_range", "relationships", "expression"};

bool is_range(const Step &chunk) { return chunk.kind == "range"; }

bool by_chunk(const Check &check) {
  return check.kind->compares || check.scope() == "chunk" || check.find("from_table") != nullptr;
}

// Live is there in the sample's snapshot; another chunk or the source of a chunk may not be.
bool needs_more_than_live(const Check &check) { return check.text("against", "live") != "live"; }

bool fits_sample(const Check &check, const std::vector<Step> &chunks) {
  bool const ranges = !chunks.empty() && std::all_of(chunks.begin(), chunks.end(), is_range);
  if (check.kind->measure == nullptr || needs_more_than_live(check)) return false;
  if (check.find("from_table") != nullptr || check.word == "row_count_delta") return ranges;
  if (check.scope() == "chunk") return ranges;
  return std::any_of(std::begin(of_rows), std::end(of_rows), [&](const char *word) { return check.word == word; });
}

Measurement measure(const Check &check, const Job &sampled, const TableShape &shape, const SceneRange &range) {
  Measurement found;
  with_scene(sampled, shape, false, range, [&](const Scene &scene) { found = check.kind->measure(check, scene); });
  return found;
}

std::string where(const Check &check, const Job &sampled, const TableShape &shape, const Step *chunk) {
  const Node *const condition = check.find("where");
  if (condition == nullptr) return {};
  return chunk == nullptr ? fragment(sampled, *condition) : fragment_of_chunk(sampled, shape, *condition, *chunk);
}

int badness(const std::string &outcome) {
  return outcome == "fail" ? 3 : outcome == "warn" ? 2 : outcome == "pass" ? 1 : 0;
}

SampledChecks::Verdict judged(const Check &check, const Measurement &found) {
  return {check.name, outcome_of(check, found), found.actual, found.detail};
}

SampledChecks::Verdict examine(const Check &check, const Job &sampled, const TableShape &shape,
                               const std::vector<Step> &chunks) {
  SceneRange range;
  range.where = where(check, sampled, shape, nullptr);
  if (!by_chunk(check)) return judged(check, measure(check, sampled, shape, range));
  SampledChecks::Verdict worst;
  range.in_scope = false;
  for (const Step &chunk : chunks) {
    range.chunk = chunk;
    range.where = where(check, sampled, shape, &chunk);
    SampledChecks::Verdict const verdict = judged(check, measure(check, sampled, shape, range));
    if (badness(verdict.outcome) > badness(worst.outcome)) worst = verdict;
  }
  return worst;
}

// ---- comparing ----

std::string of(const char *alias, const std::string &column) { return std::string(alias) + "." + quote_ident(column); }

std::string in_blocks(const std::string &alias, const Step &chunk) {
  std::string const ctid = quote_ident(alias) + ".ctid";
  std::string condition = ctid + " >= '(" + *chunk.lo + ",0)'::tid";
  if (chunk.hi) condition += " AND " + ctid + " < '(" + *chunk.hi + ",0)'::tid";
  return condition;
}

// Rows of live that belong to the chunks.
std::string live_rows(const TableShape &shape, const std::vector<Step> &chunks) {
  std::vector<std::string> conditions;
  for (const Step &chunk : chunks)
    conditions.push_back("(" + (is_range(chunk) ? within_chunk(shape, chunk) : in_blocks(shape.table, chunk)) + ")");
  return "SELECT * FROM ONLY " + qualified(shape.schema, shape.table) + " AS " + quote_ident(shape.table) +
         "\n  WHERE " + joined(conditions, "\n     OR ");
}

std::string sample_table(const Job &sampled) { return qualified(sampled.target_schema, sampled.shadow_name); }

std::string pairs(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks) {
  return "(" + live_rows(shape, chunks) + ") AS b\nFULL JOIN " + sample_table(sampled) + " AS a ON " +
         same_key(shape, "a", "b");
}

std::string is_missing(const TableShape &shape, const char *alias) { return of(alias, shape.key[0].name) + " IS NULL"; }

std::string image(const TableShape &shape, const char *alias, bool with_added) {
  std::vector<std::string> columns;
  for (const TableShape::Column &column : shape.columns)
    if (with_added || !column.added) columns.push_back(of(alias, column.name));
  return "ROW(" + joined(columns, ", ") + ")::record";
}

// As images: 1.0 is not 1.00, and types without = can be compared.
std::string value_differs(const TableShape::Column &column) {
  if (column.added) return "num_nulls(" + of("a", column.name) + ") = 0";
  return "ROW(" + of("b", column.name) + ")::record OPERATOR(pg_catalog.*<>) ROW(" + of("a", column.name) + ")::record";
}

std::string row_differs(const TableShape &shape) {
  std::string condition = image(shape, "b", false) + " OPERATOR(pg_catalog.*<>) " + image(shape, "a", false);
  for (const TableShape::Column &column : shape.columns)
    if (column.added) condition += " OR " + value_differs(column);
  return "(" + condition + ")";
}

// A statement has room for so many columns.
constexpr std::size_t most_columns = 200;

void count_columns(const pg::Row &row, const TableShape &shape, SampledChange &change) {
  std::vector<std::string> const counts = row.texts("columns");
  for (std::size_t i = 0; i < counts.size(); i++)
    if (std::int64_t const number = std::stoll(counts[i]); number > 0)
      change.columns.emplace_back(shape.columns[i].name, number);
  std::stable_sort(change.columns.begin(), change.columns.end(),
                   [](const auto &a, const auto &b) { return a.second > b.second; });
}

// A condition: due is not in the sample, new has nothing that is due, or their images differ.
std::string disagree(const TableShape &shape) {
  std::vector<std::string> due, fresh;
  for (const std::string &column : shadow_columns(shape)) {
    due.push_back(of("due", column));
    fresh.push_back(of("new", column));
  }
  return is_missing(shape, "due") + " OR " + is_missing(shape, "new") + " OR ROW(" + joined(due, ", ") +
         ")::record OPERATOR(pg_catalog.*<>) ROW(" + joined(fresh, ", ") + ")::record";
}

std::string due_rows(const Job &sampled, const TableShape &shape, const Step &chunk) {
  if (is_range(chunk)) return chunk_image(sampled, shape, chunk);
  return out_of_scope_image(sampled, shape, std::stoll(*chunk.lo),
                            chunk.hi ? std::optional(std::stoll(*chunk.hi)) : std::nullopt);
}

}  // namespace

SampledChecks check_sample(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks) {
  SampledChecks out;
  for (const Step &step : load_steps(sampled.id, "check")) {
    Check const check = planned_check(step);
    if (!fits_sample(check, chunks)) {
      out.left_out.push_back(check.name);
      continue;
    }
    try {
      out.verdicts.push_back(pg::subtransaction([&] { return examine(check, sampled, shape, chunks); }));
    } catch (const Error &failure) {
      if (failure.sqlstate.starts_with("57")) throw;
      out.verdicts.push_back({check.name, "error", "could not run", failure.sqlstate + ": " + failure.what()});
    }
  }
  return out;
}

std::int64_t differing_rows(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks) {
  std::vector<std::string> due;
  for (const Step &chunk : chunks) due.push_back("(" + due_rows(sampled, shape, chunk) + ")");
  return as_job_owner(sampled, [&] {
    return pg::query_integer("SELECT count(*) FROM (" + joined(due, "\nUNION ALL\n") + ") AS due\nFULL JOIN " +
                             sample_table(sampled) + " AS new ON " + same_key(shape, "new", "due") + "\nWHERE " +
                             disagree(shape));
  });
}

SampledChange compare_sample(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks) {
  std::string const both = "NOT (" + is_missing(shape, "a") + ") AND NOT (" + is_missing(shape, "b") + ")";
  std::vector<std::string> columns;
  for (std::size_t i = 0; i < shape.columns.size() && i < most_columns; i++)
    columns.push_back("count(*) FILTER (WHERE " + both + " AND " + value_differs(shape.columns[i]) + ")");
  pg::Result const found = as_job_owner(sampled, [&] {
    return pg::execute("SELECT count(*) AS total, count(*) FILTER (WHERE " + is_missing(shape, "b") +
                       ") AS added,\n       count(*) FILTER (WHERE " + is_missing(shape, "a") +
                       ") AS removed,\n       count(*) FILTER (WHERE " + both + " AND " + row_differs(shape) +
                       ") AS changed,\n       ARRAY[" + joined(columns, ",\n       ") + "]::text[] AS columns\nFROM " +
                       pairs(sampled, shape, chunks));
  });
  pg::Row const row = found.only();
  SampledChange change;
  change.added = row.integer("added");
  change.removed = row.integer("removed");
  change.changed = row.integer("changed");
  change.unchanged = row.integer("total") - change.added - change.removed - change.changed;
  count_columns(row, shape, change);
  return change;
}

}  // namespace backfill
