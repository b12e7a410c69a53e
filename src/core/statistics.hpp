// The statistics of check `distribution`: how far two samples are apart, and how far chance alone would bring them.
//
// Counts are of the same bins, in the same order.  Formulas and their sources are in docs/design.md.
#pragma once

#include <vector>

namespace backfill {

// P(X > x) of the chi-square distribution.  REQUIRES: degrees > 0.
double chi_square_tail(double x, double degrees);
// The x with P(X <= x) = p.  REQUIRES: 0 < p < 1, degrees > 0.
double chi_square_quantile(double p, double degrees);

// Population stability index: the sum of (p - q) ln(p / q).  An empty bin counts as half a row, so that it is finite.
// NaN where one of the samples is empty.
double stability_index(const std::vector<double> &fresh, const std::vector<double> &reference);
// What it stays below in 99 of 100 samples of these sizes from one distribution: (1/n + 1/m) times the 99 % quantile of
// chi-square with bins - 1 degrees of freedom.
double stability_by_chance(double n, double m, std::size_t bins);

// The statistic of the chi-square test of homogeneity, and its degrees of freedom (bins that hold a row, less one).
struct ChiSquare {
  double statistic = 0, degrees = 0;
  double p_value() const { return degrees > 0 ? chi_square_tail(statistic, degrees) : 1; }
};
ChiSquare chi_square(const std::vector<double> &fresh, const std::vector<double> &reference);

// Kolmogorov's distribution: P(K > lambda), the limit for large samples.
double kolmogorov_tail(double lambda);
// The p value of a two-sample Kolmogorov-Smirnov distance, and the distance that chance exceeds with probability alpha.
double smirnov_p_value(double distance, double n, double m);
double smirnov_critical(double alpha, double n, double m);

}  // namespace backfill
