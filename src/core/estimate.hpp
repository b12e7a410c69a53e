// Estimating what share of a table's rows lies in a range, from the statistics ANALYZE keeps.
#pragma once

#include <utility>
#include <vector>

namespace backfill {

// pg_stats of one column, its values as ordinals (days, seconds, keys); ±infinity for infinite values.
struct ColumnHistogram {
  double null_frac = 0;
  std::vector<std::pair<double, double>> common;  // most common values with their frequency
  std::vector<double> bounds;                     // of buckets that hold equally many of the other rows; ascending

  bool empty() const { return common.empty() && bounds.empty(); }
};

// The share of all rows with lo <= value < hi; lo and hi may be infinite, and hi = +infinity includes infinite
// values.  Inside a bucket rows are taken as spread evenly; a value that fills whole buckets counts as a point.
// Over any partition of (-infinity, +infinity) the shares add up to 1 - null_frac.
// 0 where lo >= hi.  Of an empty histogram nothing is known: the whole line has 1 - null_frac, a part of it 0.
double fraction_between(const ColumnHistogram &histogram, double lo, double hi);

}  // namespace backfill
