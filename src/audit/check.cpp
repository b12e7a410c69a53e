#include "audit/check.hpp"

#include <algorithm>

#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

std::string joined(const std::vector<std::string> &parts, const std::string &separator) {
  std::string text;
  for (const std::string &part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

std::string number(double value) {
  if (value == static_cast<double>(static_cast<std::int64_t>(value)))
    return format_count(static_cast<std::int64_t>(value));
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

}  // namespace

const Node *Check::find(const char *key) const {
  const Node *const node = args.find(key);
  return node != nullptr && !node->is_null() ? node : nullptr;
}

std::string Check::text(const char *key, const std::string &otherwise) const {
  const Node *const node = find(key);
  return node != nullptr ? node->text() : otherwise;
}

bool Check::boolean(const char *key, bool otherwise) const {
  const Node *const node = find(key);
  return node != nullptr ? node->boolean() : otherwise;
}

std::vector<std::string> Check::columns() const {
  const Node *node = find("columns");
  if (node == nullptr) node = find("column");
  return node != nullptr ? node->texts() : std::vector<std::string>();
}

std::string Check::scope() const { return text("scope", word == "exact" ? "out" : "run"); }

std::string worded(double measured, std::optional<double> population, const std::string &what) {
  std::size_t const bar = what.find('|');
  bool const single = bar != std::string::npos && measured == 1;
  std::string text = number(measured) + " " + (single ? what.substr(0, bar) : what.substr(bar + 1));
  if (!population || *population <= 0 || measured == 0) return text;
  return text + " of " + number(*population) + " (" + format_percent(percent_of(measured, population)) + ")";
}

Measurement count_rows(const Scene &scene, const std::string &select, const std::string &what) {
  pg::Result const found = scene.query(select);
  pg::Row const row = found.only();
  Measurement out;
  out.measured = row.number("measured");
  if (!row.null("population")) out.population = row.number("population");
  out.actual = worded(out.measured, out.population, what);
  if (out.population && out.measured == 0)
    out.detail = format_count(static_cast<std::int64_t>(*out.population)) + " rows checked";
  return out;
}

std::string fragment(const Job &job, const Node &node) {
  std::string const text = node.text();
  if (!is_self_contained(text))
    throw Error(sqlstate::syntax_error, "invalid SQL at \"" + node.path + "\"",
                "Its parentheses do not match, a literal or comment is left open, or it is more than one statement.",
                "Write one expression or one SELECT, without a semicolon.");
  return substitute_placeholders(text, {{"backfill", quote_literal(job.name)}, {"run_id", std::to_string(job.id)}});
}

std::string quoted_columns(const std::vector<std::string> &columns, const char *separator) {
  std::vector<std::string> quoted;
  for (const std::string &column : columns) quoted.push_back(quote_ident(column));
  return joined(quoted, separator);
}

std::string listed_columns(const std::vector<std::string> &columns) { return joined(columns, ", "); }

void require_columns(const TableShape &shape, const Node *node, const std::vector<std::string> &columns) {
  std::vector<std::string> known;
  for (const TableShape::Column &column : shape.columns) known.push_back(column.name);
  for (const std::string &column : columns) {
    if (std::find(known.begin(), known.end(), column) != known.end()) continue;
    std::string const near = nearest_word(column, known);
    throw Error(sqlstate::undefined_column,
                "column \"" + column + "\"" + (node != nullptr ? " at \"" + node->path + "\"" : "") + " does not exist",
                "Neither table \"" + shape.table + "\" nor transform.add_columns has it.",
                near.empty() ? "Name a column of the table." : "Did you mean \"" + near + "\"?");
  }
}

std::string same_key(const TableShape &shape, const std::string &a, const std::string &b) {
  std::string condition;
  for (const TableShape::Column &column : shape.key)
    condition += (condition.empty() ? "" : " AND ") + quote_ident(a) + "." + quote_ident(column.name) + " " +
                 column.equals + " " + quote_ident(b) + "." + quote_ident(column.name);
  return condition;
}

std::vector<Step> range_chunks(const Job &job) { return load_steps(job.id, "range"); }

}  // namespace backfill
