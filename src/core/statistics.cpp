#include "core/statistics.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

namespace backfill {
namespace {

constexpr double tiny = 1e-300, precise = 1e-15;
constexpr int most_terms = 10000;

// The regularised incomplete gamma functions: P by its series, Q by its continued fraction (Lentz), each where it
// converges fast.
double lower_gamma_series(double a, double x) {
  double term = 1 / a, sum = term;
  for (int n = 1; n < most_terms && std::fabs(term) > std::fabs(sum) * precise; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * std::exp(-x + a * std::log(x) - std::lgamma(a));
}

double upper_gamma_fraction(double a, double x) {
  double b = x + 1 - a, c = 1 / tiny, d = 1 / b, fraction = d;
  for (int n = 1; n < most_terms; n++) {
    double const factor = -n * (n - a);
    b += 2;
    d = factor * d + b;
    if (std::fabs(d) < tiny) d = tiny;
    c = b + factor / c;
    if (std::fabs(c) < tiny) c = tiny;
    d = 1 / d;
    double const step = d * c;
    fraction *= step;
    if (std::fabs(step - 1) < precise) break;
  }
  return fraction * std::exp(-x + a * std::log(x) - std::lgamma(a));
}

double sum_of(const std::vector<double> &values) {
  double sum = 0;
  for (double const value : values) sum += value;
  return sum;
}

}  // namespace

double chi_square_tail(double x, double degrees) {
  if (std::isnan(x)) return x;
  if (x <= 0) return 1;
  if (std::isinf(x)) return 0;
  double const a = degrees / 2, half = x / 2;
  return half < a + 1 ? 1 - lower_gamma_series(a, half) : upper_gamma_fraction(a, half);
}

double chi_square_quantile(double p, double degrees) {
  double low = 0, high = degrees + 10;
  while (1 - chi_square_tail(high, degrees) < p) high *= 2;
  for (int n = 0; n < 200 && high - low > high * 1e-14; n++) {
    double const middle = (low + high) / 2;
    (1 - chi_square_tail(middle, degrees) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double stability_index(const std::vector<double> &fresh, const std::vector<double> &reference) {
  double const n = sum_of(fresh), m = sum_of(reference);
  if (n == 0 || m == 0) return std::numeric_limits<double>::quiet_NaN();
  double index = 0;
  for (std::size_t i = 0; i < fresh.size(); i++) {
    if (fresh[i] == 0 && reference[i] == 0) continue;
    double const p = (fresh[i] > 0 ? fresh[i] : 0.5) / n, q = (reference[i] > 0 ? reference[i] : 0.5) / m;
    index += (p - q) * std::log(p / q);
  }
  return index;
}

double stability_by_chance(double n, double m, std::size_t bins) {
  if (bins < 2 || n <= 0 || m <= 0) return 0;
  return (1 / n + 1 / m) * chi_square_quantile(0.99, static_cast<double>(bins - 1));
}

ChiSquare chi_square(const std::vector<double> &fresh, const std::vector<double> &reference) {
  double const n = sum_of(fresh), m = sum_of(reference);
  ChiSquare found;
  if (n == 0 || m == 0) return {std::numeric_limits<double>::infinity(), 1};
  double filled = 0;
  for (std::size_t i = 0; i < fresh.size(); i++) {
    double const both = fresh[i] + reference[i];
    if (both == 0) continue;
    filled++;
    double const due = both * n / (n + m), due_there = both * m / (n + m);
    found.statistic += (fresh[i] - due) * (fresh[i] - due) / due;
    found.statistic += (reference[i] - due_there) * (reference[i] - due_there) / due_there;
  }
  found.degrees = filled - 1;
  return found;
}

double kolmogorov_tail(double lambda) {
  if (lambda < 0.2) return 1;  // the sum differs from 1 by less than 1e-12
  double sum = 0;
  for (int j = 1; j < most_terms; j++) {
    double const term = std::exp(-2 * lambda * lambda * j * j);
    sum += j % 2 == 1 ? term : -term;
    if (term < precise) break;
  }
  double const tail = 2 * sum;
  return tail > 1 ? 1 : tail < 0 ? 0 : tail;
}

double smirnov_p_value(double distance, double n, double m) {
  return kolmogorov_tail(distance * std::sqrt(n * m / (n + m)));
}

double smirnov_critical(double alpha, double n, double m) {
  return std::sqrt(-std::log(alpha / 2) / 2) * std::sqrt((n + m) / (n * m));
}

}  // namespace backfill
