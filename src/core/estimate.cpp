// Both halves of the statistics give a cumulative share "rows below x", and a range is a difference of two:
//   - common values: points with their own frequency;
//   - histogram: the rest, 1 - null_frac - all common, in equal parts over the buckets between the bounds.
// Where there are no buckets the rest is spread over the common values, in proportion.
#include "core/estimate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace backfill {
namespace {

// The share of a bucket's rows below x, which lies strictly between finite or infinite low < high.
double share_below(double low, double high, double x) {
  if (std::isinf(low)) return 0;  // its rows are taken to stand at the finite end
  if (std::isinf(high)) return 1;
  return (x - low) / (high - low);
}

// The share of the histogram's rows below x, 0 to 1.
double histogram_below(const std::vector<double> &bounds, double x) {
  if (std::isinf(x)) return x > 0 ? 1 : 0;
  if (bounds.size() == 1) return bounds[0] < x ? 1 : 0;
  double buckets = 0;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    const double low = bounds[i], high = bounds[i + 1];
    if (high < x || (high == x && low < high && !std::isinf(low)))
      buckets += 1;
    else if (low < x && x < high)
      buckets += share_below(low, high, x);
  }
  return buckets / static_cast<double>(bounds.size() - 1);
}

// The frequency of all common values below x.
double common_below(const std::vector<std::pair<double, double>> &common, double x) {
  double sum = 0;
  for (const auto &[value, frequency] : common)
    if (value < x || (std::isinf(x) && x > 0)) sum += frequency;
  return sum;
}

// The share of all rows, nulls included, below x.
double rows_below(const ColumnHistogram &histogram, double x) {
  if (std::isinf(x) && x < 0) return 0;
  const double present = std::clamp(1 - histogram.null_frac, 0.0, 1.0);
  const double all_common = common_below(histogram.common, INFINITY);
  const double below = common_below(histogram.common, x);
  if (histogram.bounds.empty() || all_common > present)
    return all_common > 0 ? present * below / all_common : (std::isinf(x) ? present : 0);
  return below + (present - all_common) * histogram_below(histogram.bounds, x);
}

}  // namespace

double fraction_between(const ColumnHistogram &histogram, double lo, double hi) {
  if (!(lo < hi)) return 0;
  if (histogram.empty() && !(std::isinf(lo) && std::isinf(hi))) return 0;
  return std::clamp(rows_below(histogram, hi) - rows_below(histogram, lo), 0.0, 1.0);
}

}  // namespace backfill
