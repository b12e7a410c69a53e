// What a check may measure before it warns or fails, and the judgement.
#pragma once

#include <optional>
#include <string>

#include "core/node.hpp"
#include "core/threshold.hpp"

namespace backfill {

// The failing and the warning condition of a check; at least one of them is set.
struct Limits {
  std::optional<Threshold> fail, warn;
  bool given = false;  // by the spec, not the check's own default

  bool percent() const { return (fail && fail->percent) || (warn && warn->percent); }
  std::string severity() const { return fail ? "error" : "warn"; }  // the worst that can come of it
};

// Reads error_if, warn_if and max_percent of a check; where none of them is given, `failing` is the condition.
//   severity: warn     turns whatever would fail into a warning
//   only warn_if       the check never fails
//   max_percent: 2     is the condition "> 2%", at the check's severity
// Errors: 22023 naming the path.
Limits read_limits(const Node &args, const std::string &severity, const std::string &failing);

// measured as a share of population, in percent.  Nothing measured is 0 %, whatever the population; a share of an
// empty or unknown population is not a number, and so meets every condition.
double percent_of(double measured, std::optional<double> population);

// pass, warn or fail.
std::string judge(const Limits &limits, double measured, std::optional<double> population);

// "fails if > 2%, warns if > 0"; "" for a check's own default.
std::string describe(const Limits &limits);

}  // namespace backfill
