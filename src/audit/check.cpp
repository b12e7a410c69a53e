#include "audit/check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/joined.hpp"
#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

// One pass over a side of the scene; "" where nothing is wanted of it.
std::string pass(const std::vector<std::string> &aggregates, const std::vector<std::string> &names,
                 const std::string &from, const Scene &scene) {
  std::string list;
  for (std::size_t i = 0; i < aggregates.size(); i++)
    list += (list.empty() ? "" : ",\n       ") + aggregates[i] + " AS " + names[i];
  return list.empty() ? "" : "SELECT " + list + "\nFROM " + from + " WHERE " + scene.rows;
}

// Whatever a person calls an aggregate must be one.
constexpr char aggregated[] = "\nHAVING true";

std::vector<std::string> numbered(const char *stem, std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= count; i++) names.push_back(stem + std::to_string(i));
  return names;
}

// measured and population are the only figures of most checks.
std::string one_pass(const Aggregates &wanted, const Scene &scene) {
  bool const plain = wanted.live.empty() && wanted.fresh.size() == 2;
  std::string const fresh = pass(
      wanted.fresh, plain ? std::vector<std::string>{"measured", "population"} : numbered("new_", wanted.fresh.size()),
      scene.table, scene);
  std::string const live = pass(wanted.live, numbered("live_", wanted.live.size()), scene.live, scene);
  if (live.empty()) return plain ? fresh : fresh + aggregated;
  return "SELECT * FROM\n(" + fresh + aggregated + ") AS new,\n(" + live + aggregated + ") AS live";
}

// The rows for which the condition holds, and all rows.  what: as of count_rows.
Aggregates count_those(const std::string &condition, const std::string &what) {
  return {{"count(*) FILTER (WHERE " + condition + ")", "count(*)"},
          {},
          [what](const std::vector<double> &fresh, const std::vector<double> &) {
            Measurement out;
            out.measured = fresh[0];
            out.population = fresh[1];
            out.actual = worded(out.measured, out.population, what);
            if (out.measured == 0)
              out.detail = format_count(static_cast<std::int64_t>(*out.population)) + " rows checked";
            return out;
          }};
}

std::vector<double> take(const std::vector<std::optional<std::string>> &values, std::size_t &at, std::size_t count) {
  std::vector<double> taken;
  for (std::size_t i = 0; i < count; i++, at++)
    taken.push_back(at < values.size() && values[at] ? std::stod(*values[at]) : std::nan(""));
  return taken;
}

}  // namespace

std::string figure(double value) {
  if (std::isnan(value)) return "no value";
  if (std::fabs(value) < 1e15 && value == std::floor(value)) return format_count(static_cast<std::int64_t>(value));
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

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

std::string outcome_of(const Check &check, const Measurement &found) {
  if (found.skipped) return "skipped";
  if (found.by_chance && !check.limits.given) return "pass";
  return judge(check.limits, found.measured, found.population);
}

std::string worded(double measured, std::optional<double> population, const std::string &what) {
  std::size_t const bar = what.find('|');
  bool const single = bar != std::string::npos && measured == 1;
  std::string text = figure(measured) + " " + (single ? what.substr(0, bar) : what.substr(bar + 1));
  if (!population || *population <= 0 || measured == 0) return text;
  return text + " of " + figure(*population) + " (" + format_percent(percent_of(measured, population)) + ")";
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

std::optional<Aggregates> wanted_of(const Check &check, const Scene &scene) {
  const CheckKind &kind = *check.kind;
  if (kind.at_fault != nullptr) return count_those(kind.at_fault(check, scene), kind.counted);
  return kind.aggregates != nullptr ? kind.aggregates(check, scene) : std::nullopt;
}

std::vector<Measurement> measure_together(const std::vector<const Check *> &checks, const Scene &scene) {
  std::vector<Aggregates> wanted;
  Aggregates all;
  for (const Check *const check : checks) {
    wanted.push_back(*wanted_of(*check, scene));
    all.fresh.insert(all.fresh.end(), wanted.back().fresh.begin(), wanted.back().fresh.end());
    all.live.insert(all.live.end(), wanted.back().live.begin(), wanted.back().live.end());
  }
  pg::Result const found = scene.query(one_pass(all, scene));
  if (scene.trial) return std::vector<Measurement>(checks.size());
  std::vector<Measurement> measured;
  std::size_t fresh_at = 0, live_at = all.fresh.size();
  for (const Aggregates &one : wanted) {
    std::vector<double> const fresh = take(found.values[0], fresh_at, one.fresh.size());
    std::vector<double> const live = take(found.values[0], live_at, one.live.size());
    measured.push_back(one.read(fresh, live));
    measured.back().sql = scene.with() + one_pass(one, scene);
  }
  return measured;
}

Measurement read_counts(const Check &check, const Scene &scene, std::int64_t fresh, std::int64_t live) {
  Aggregates const wanted = *wanted_of(check, scene);
  Measurement found = wanted.read({static_cast<double>(fresh)}, {static_cast<double>(live)});
  found.sql = scene.with() + one_pass(wanted, scene);
  return found;
}

Measurement measure_alone(const Check &check, const Scene &scene) { return measure_together({&check}, scene)[0]; }

std::string select_those(const Scene &scene, const std::string &condition) {
  return "SELECT " + scene.table + ".* FROM " + scene.table + " WHERE " + scene.rows + " AND " + condition;
}

std::string faults_of(const Check &check, const Scene &scene) {
  const CheckKind &kind = *check.kind;
  return kind.at_fault != nullptr ? select_those(scene, kind.at_fault(check, scene)) : kind.rows_at_fault(check, scene);
}

std::string fragment_of_chunk(const Job &job, const TableShape &shape, const Node &node, const Step &chunk) {
  auto const typed = [&](const std::string &value) {
    return "CAST(" + quote_literal(value) + " AS " + shape.chunk_type + ")";
  };
  return substitute_placeholders(fragment(job, node), {{"chunk", std::to_string(chunk.chunk.value_or(0))},
                                                       {"chunk_start", typed(chunk.lo.value_or(""))},
                                                       {"chunk_stop", typed(chunk.hi.value_or(""))}});
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

std::vector<Step> ordered_chunks(const Check &check, const Job &job) {
  std::vector<Step> chunks = range_chunks(job);
  if (chunks.empty())
    throw meaningless(check, "The chunks of this backfill are blocks, not ranges of a column.",
                      "Give scope.start and scope.stop, or leave the chunks out of the check.");
  if (job.spec.strategy.newest_first) std::reverse(chunks.begin(), chunks.end());
  return chunks;
}

std::string chunk_of_row(const TableShape &shape, const std::vector<Step> &ordered) {
  std::string numbers, begins;
  for (const Step &chunk : ordered) {
    numbers += (numbers.empty() ? "" : ",") + std::to_string(chunk.chunk.value_or(0));
    begins += (begins.empty() ? "" : ", ") + quote_literal(chunk.lo.value_or(""));
  }
  return "('{" + numbers + "}'::pg_catalog.int4[])[pg_catalog.width_bucket(" + quote_ident(shape.table) + "." +
         quote_ident(shape.chunk_column) + ", ARRAY[" + begins + "]::" + shape.chunk_type + "[])]";
}

Error meaningless(const Check &check, const std::string &why, const std::string &hint) {
  return Error(sqlstate::invalid_parameter_value,
               "check \"" + check.word + "\" at \"" + check.args.path + "\" cannot be as it is written", why, hint);
}

const TableShape::Column *find_column(const TableShape &shape, const std::string &name) {
  auto const at = std::find_if(shape.columns.begin(), shape.columns.end(),
                               [&](const TableShape::Column &column) { return column.name == name; });
  return at == shape.columns.end() ? nullptr : &*at;
}

}  // namespace backfill
