// Figures of the new version against figures of a reference, group by group: what metric_delta and spot_check share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audit/check.hpp"

namespace backfill {

// An aggregate as a spec asks for it: `metric` and `column` (and `p`), or `sql`.
struct Aggregate {
  std::string sql;           // over rows under the target's name, yields a number
  std::string what;          // avg(price): for people
  bool points = false;       // differences are percentage points, not shares of the reference
  bool shows_values = true;  // false: the figure is a value of some row, which evidence must not hold
};
// Errors: 22023 naming the path, 42703.
Aggregate aggregate_of(const Check &check, const Scene &scene);

// The failing condition that `tolerance` states ("2%", "0.5"), of each group's difference; `otherwise` where it is absent.
std::string tolerated(const Check &check, const std::string &otherwise);
std::string within(const Check &check, const std::string &otherwise);  // " within 2%": for people

struct Group {
  std::string label;  // for people; holds no value of a row
  std::optional<int> chunk;
  std::optional<double> fresh, reference;
};

// Judges each group by the check's limits.  The measurement is that of the worst; those at fault are listed in detail,
// and by chunk.  Where a group has a figure on one side only it meets every condition.
// reference: "live has": for people.  labelled: labels may be told.
Measurement compare_groups(const Check &check, const Aggregate &aggregate, const std::vector<Group> &groups,
                           const std::string &reference, bool labelled);

}  // namespace backfill
