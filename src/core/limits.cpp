#include "core/limits.hpp"

#include <limits>

#include "core/error.hpp"

namespace backfill {

namespace {

const Node *given(const Node &args, const char *key) {
  const Node *const node = args.find(key);
  return node && !node->is_null() ? node : nullptr;
}

std::optional<Threshold> read_threshold(const Node &args, const char *key) {
  const Node *const node = given(args, key);
  if (!node) return std::nullopt;
  return parse_threshold(node->text(), node->path);
}

// "2" and "2%" alike.
std::optional<Threshold> read_max_percent(const Node &args) {
  const Node *const node = given(args, "max_percent");
  if (!node) return std::nullopt;
  std::string text = node->value();
  if (!text.ends_with('%')) text += '%';
  Threshold threshold = parse_threshold("> " + text, node->path);
  if (!(threshold.low >= 0 && threshold.low <= 100)) throw invalid_value(*node, "a percentage from 0 to 100");
  return threshold;
}

}  // namespace

Limits read_limits(const Node &args, const std::string &severity, const std::string &failing) {
  Limits limits;
  limits.fail = read_threshold(args, "error_if");
  limits.warn = read_threshold(args, "warn_if");
  if (std::optional<Threshold> const most = read_max_percent(args)) {
    if (limits.fail)
      throw Error(sqlstate::invalid_parameter_value,
                  "\"" + args.path + ".max_percent\" and \"" + args.path + ".error_if\" are given both",
                  "They state the same condition.", "Keep one of them.");
    limits.fail = most;
  }
  limits.given = limits.fail || limits.warn;
  if (!limits.given) limits.fail = parse_threshold(failing, args.path);
  if (severity == "warn") {
    if (limits.fail && !limits.warn) limits.warn = limits.fail;
    limits.fail.reset();
  }
  return limits;
}

double percent_of(double measured, std::optional<double> population) {
  if (measured == 0) return 0;
  if (!population || *population == 0) return std::numeric_limits<double>::quiet_NaN();
  return 100 * measured / *population;
}

std::string judge(const Limits &limits, double measured, std::optional<double> population) {
  const double percent = percent_of(measured, population);
  if (limits.fail && limits.fail->holds(measured, percent)) return "fail";
  if (limits.warn && limits.warn->holds(measured, percent)) return "warn";
  return "pass";
}

std::string describe(const Limits &limits) {
  if (!limits.given) return {};
  std::string text;
  if (limits.fail) text = "fails if " + limits.fail->text;
  if (limits.warn) text += (text.empty() ? "" : ", ") + ("warns if " + limits.warn->text);
  return text;
}

}  // namespace backfill
