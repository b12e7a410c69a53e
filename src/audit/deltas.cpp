#include "audit/deltas.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

constexpr std::size_t listed_groups = 10;

std::string percentile(const Check &check, const std::string &column) {
  const Node *const p = check.find("p");
  if (p == nullptr)
    throw meaningless(check, "metric: percentile needs p, the share of rows below it.", "Give p, as in p: 0.95.");
  double const share = p->number();
  if (!(share >= 0 && share <= 1)) throw invalid_value(*p, "a number from 0 to 1");
  return "percentile_cont(" + p->value() + ") WITHIN GROUP (ORDER BY " + column + "::float8)";
}

bool is_time(const TableShape::Column &column) {
  return column.base_type == "date" || column.base_type.rfind("timestamp", 0) == 0;
}

// A moment as a number: seconds.
std::string as_number(const TableShape::Column &column, const std::string &value) {
  return is_time(column) ? "extract(epoch FROM " + value + ")" : value;
}

struct Word {
  const char *word;
  bool numeric;  // only of numbers
};
constexpr std::array<Word, 8> words{{{"sum", true},
                                     {"avg", true},
                                     {"stddev", true},
                                     {"percentile", true},
                                     {"min", false},
                                     {"max", false},
                                     {"count_distinct", false},
                                     {"null_percent", false}}};

Aggregate of_metric(const Check &check, const Scene &scene, const std::string &metric) {
  const Node *const name = check.find("column");
  if (name == nullptr)
    throw meaningless(check, "A metric is one of a column.", "Give column, or an aggregate of your own as sql.");
  require_columns(scene.shape, name, {name->text()});
  const TableShape::Column &column = *find_column(scene.shape, name->text());
  auto const word = std::find_if(words.begin(), words.end(), [&](const Word &w) { return metric == w.word; });
  if (word == words.end())
    throw invalid_value(*check.find("metric"),
                        "sum, avg, min, max, stddev, count_distinct, null_percent or percentile");
  bool const extreme = metric == "min" || metric == "max";
  if (!is_numeric(column) && (word->numeric || (extreme && !is_time(column))))
    throw meaningless(check,
                      "Column \"" + column.name + "\" is of type " + column.type + ", which has no " + metric + ".",
                      "Take a number's column, or an aggregate of your own as sql.");
  std::string const value = scene.table + "." + quote_ident(column.name);
  Aggregate aggregate;
  aggregate.what = metric + "(" + column.name + ")";
  aggregate.sql = metric + "(" + value + ")";
  if (extreme) aggregate.sql = as_number(column, aggregate.sql);
  if (metric == "percentile") aggregate.sql = percentile(check, value);
  if (metric == "count_distinct") aggregate.sql = "count(DISTINCT " + value + ")";
  if (metric == "null_percent")
    aggregate.sql = "100.0 * count(*) FILTER (WHERE num_nulls(" + value + ") > 0) / nullif(count(*), 0)";
  aggregate.points = metric == "null_percent";
  aggregate.shows_values = !extreme && metric != "percentile";
  return aggregate;
}

// What a group's difference comes to.
struct Delta {
  double measured = 0;
  std::optional<double> population;
};

Delta delta_of(const Aggregate &aggregate, const Group &group) {
  if (!group.fresh && !group.reference) return {0, 1};
  if (!group.fresh || !group.reference) return {std::nan(""), std::nullopt};
  double const difference = *group.fresh - *group.reference;
  return {difference, aggregate.points ? 100 : std::fabs(*group.reference)};
}

std::string told(const Aggregate &aggregate, const Delta &delta) {
  if (std::isnan(delta.measured)) return "nothing to compare with";
  if (delta.measured == 0) return "no difference";
  std::string const sign = delta.measured > 0 ? "+" : "";
  if (aggregate.points) return sign + format_percent(delta.measured) + " points";
  double const percent = percent_of(delta.measured, delta.population);
  return std::isnan(percent) ? sign + figure(delta.measured) + " where the reference is 0"
                             : sign + format_percent(percent);
}

struct Judged {
  const Group *group;
  Delta delta;
  std::string outcome;
  // What is judged worse comes first, and of that the larger difference.
  std::pair<int, double> weight() const {
    int const rank = outcome == "fail" ? 2 : outcome == "warn" ? 1 : 0;
    if (std::isnan(delta.measured)) return {rank, INFINITY};
    double const percent = percent_of(delta.measured, delta.population);
    return {rank, std::isnan(percent) ? INFINITY : std::fabs(percent)};
  }
};

std::string values_of(const Aggregate &aggregate, const Group &group, const std::string &reference) {
  if (!aggregate.shows_values) return {};
  auto const told = [](const std::optional<double> &value) { return value ? figure(*value) : std::string("no value"); };
  return told(group.fresh) + ", " + reference + " " + told(group.reference);
}

}  // namespace

Aggregate aggregate_of(const Check &check, const Scene &scene) {
  std::string const metric = check.text("metric");
  const Node *const sql = check.find("sql");
  if ((sql != nullptr) == !metric.empty())
    throw meaningless(check, "It measures either a metric of a column or an aggregate given as sql.",
                      "Keep one of metric and sql.");
  if (sql == nullptr) return of_metric(check, scene, metric);
  Aggregate aggregate;
  aggregate.sql = "(" + fragment(scene.job, *sql) + "\n)";
  aggregate.what = sql->text();
  return aggregate;
}

std::string tolerated(const Check &check, const std::string &otherwise) {
  const Node *const node = check.find("tolerance");
  if (node != nullptr && (check.find("error_if") != nullptr || check.find("warn_if") != nullptr))
    throw meaningless(check, "tolerance and error_if or warn_if state the same.", "Keep one of them.");
  std::string const text = node != nullptr ? node->value() : otherwise;
  std::optional<double> const figure = text.ends_with('%') ? parse_percent(text) : parse_number(text);
  if (!figure || *figure < 0) throw invalid_value(*node, "a number or a percentage that is not negative, such as 2%");
  return "not between -" + text + " and " + text;
}

std::string within(const Check &check, const std::string &otherwise) {
  if (check.limits.given) return "";
  const Node *const node = check.find("tolerance");
  return " within " + (node != nullptr ? node->value() : otherwise);
}

Measurement compare_groups(const Check &check, const Aggregate &aggregate, const std::vector<Group> &groups,
                           const std::string &reference, bool labelled) {
  Measurement out;
  if (groups.empty()) {
    out.actual = "no group to compare";
    return out;
  }
  std::vector<Judged> judged;
  for (const Group &group : groups) {
    Delta const delta = delta_of(aggregate, group);
    judged.push_back({&group, delta, judge(check.limits, delta.measured, delta.population)});
  }
  auto const worst = std::max_element(judged.begin(), judged.end(),
                                      [](const Judged &a, const Judged &b) { return a.weight() < b.weight(); });
  out.measured = worst->delta.measured;
  out.population = worst->delta.population;
  std::string const difference = told(aggregate, worst->delta), values = values_of(aggregate, *worst->group, reference);
  if (groups.size() == 1 && !groups[0].chunk) {
    out.actual = difference;
    out.detail = values;
    return out;
  }
  std::size_t faults = 0, listed = 0;
  for (const Judged &one : judged) {
    if (one.outcome == "pass") continue;
    faults++;
    std::string const what = told(aggregate, one.delta);
    if (one.group->chunk) out.chunks.emplace_back(*one.group->chunk, what);
    if (labelled && ++listed <= listed_groups)
      out.detail += (out.detail.empty() ? "" : ", ") + one.group->label + ": " + what;
  }
  if (listed > listed_groups) out.detail += " and " + std::to_string(listed - listed_groups) + " more";
  out.actual = (faults == 0 ? "none" : format_count(static_cast<std::int64_t>(faults))) + " of " +
               format_count(static_cast<std::int64_t>(groups.size())) + " groups at fault, the largest difference " +
               difference;
  return out;
}

}  // namespace backfill
