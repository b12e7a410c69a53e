// The failing condition of a check, as dbt writes warn_if and error_if.
//
//   "> 0"  ">= 2%"  "< 10"  "<= 1.5"  "= 0"  "!= 0"  "between 1 and 3"  "not between -2% and 2%"
//
// Bounds of between are inclusive.  Numbers and percentages are not mixed in one threshold.
#pragma once

#include <string>

namespace backfill {

struct Threshold {
  enum class Test { less, less_equal, equal, not_equal, greater_equal, greater, between, not_between };

  Test test = Test::greater;
  double low = 0, high = 0;  // high only of the betweens
  bool percent = false;      // compares the percent figure (2.0 for 2 %), not the measured number
  std::string text;          // as written

  // Whether the failing condition is met.  A figure that is not a number (nothing to compare with) meets
  // every condition: what could not be measured is never good.
  bool holds(double measured, double percent_figure) const;
};

// Errors: 22023 naming path.
Threshold parse_threshold(const std::string &text, const std::string &path);

}  // namespace backfill
