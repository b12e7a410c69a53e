// Held against numbers from elsewhere: printed tables (NIST/SEMATECH e-Handbook, 1.3.6.7.4; Smirnov's table of 1948) and
// closed forms, worked out with another program (Python's math.erfc and math.exp).
#include "core/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace backfill {
namespace {

struct Quantile {
  double p, degrees, value;
};

class ChiSquareTable : public testing::TestWithParam<Quantile> {};

TEST_P(ChiSquareTable, AsPrinted) {
  const Quantile &row = GetParam();
  EXPECT_NEAR(chi_square_quantile(row.p, row.degrees), row.value, 0.0006);
  EXPECT_NEAR(chi_square_tail(row.value, row.degrees), 1 - row.p, 0.0006 * (1 - row.p) * 10);
}

INSTANTIATE_TEST_SUITE_P(Nist, ChiSquareTable,
                         testing::Values(Quantile{0.90, 1, 2.706}, Quantile{0.95, 1, 3.841}, Quantile{0.99, 1, 6.635},
                                         Quantile{0.999, 1, 10.828}, Quantile{0.95, 2, 5.991}, Quantile{0.99, 2, 9.210},
                                         Quantile{0.95, 4, 9.488}, Quantile{0.99, 5, 15.086}, Quantile{0.95, 9, 16.919},
                                         Quantile{0.99, 9, 21.666}, Quantile{0.999, 9, 27.877},
                                         Quantile{0.99, 10, 23.209}, Quantile{0.99, 19, 36.191},
                                         Quantile{0.99, 30, 50.892}, Quantile{0.99, 50, 76.154},
                                         Quantile{0.95, 100, 124.342}, Quantile{0.99, 100, 135.807}));

// One degree: erfc(sqrt(x/2)); two: exp(-x/2); four: exp(-x/2)(1 + x/2); three: erfc(...) + sqrt(2x/pi) exp(-x/2).
TEST(ChiSquareTail, ClosedForms) {
  EXPECT_NEAR(chi_square_tail(1, 1), 0.31731050786291404, 1e-14);
  EXPECT_NEAR(chi_square_tail(5, 1), 0.025347318677468252, 1e-14);
  EXPECT_NEAR(chi_square_tail(20, 1), 7.744216431044074e-06, 1e-18);
  EXPECT_NEAR(chi_square_tail(5, 2), 0.0820849986238988, 1e-14);
  EXPECT_NEAR(chi_square_tail(5, 3), 0.17179714429673315, 1e-14);
  EXPECT_NEAR(chi_square_tail(20, 4), 0.0004993992273873334, 1e-15);
  EXPECT_EQ(chi_square_tail(0, 3), 1);
  EXPECT_EQ(chi_square_tail(INFINITY, 3), 0);
}

TEST(ChiSquareTail, ManyDegrees) {
  // Wilson-Hilferty is good to some 2 in 10,000 there.
  for (const double degrees : {50.0, 500.0, 5000.0}) {
    const double z = 2.3263478740408408, h = 2 / (9 * degrees);
    const double cube = 1 - h + z * std::sqrt(h);
    EXPECT_NEAR(chi_square_quantile(0.99, degrees) / (degrees * cube * cube * cube), 1, 3e-4);
  }
}

TEST(ChiSquareTest, TwoByTwo) {
  // N (ad - bc)^2 / (row and column totals) = 100 (20*15 - 30*35)^2 / (50 * 50 * 55 * 45)
  const ChiSquare found = chi_square({20, 30}, {35, 15});
  EXPECT_NEAR(found.statistic, 9.090909090909092, 1e-12);
  EXPECT_EQ(found.degrees, 1);
  EXPECT_NEAR(found.p_value(), std::erfc(std::sqrt(9.090909090909092 / 2)), 1e-14);
}

TEST(ChiSquareTest, EmptyBinsDoNotCount) {
  EXPECT_EQ(chi_square({10, 0, 10}, {10, 0, 10}).degrees, 1);
  EXPECT_EQ(chi_square({10, 0, 10}, {10, 0, 10}).p_value(), 1);
  EXPECT_EQ(chi_square({10}, {99}).p_value(), 1);
  EXPECT_EQ(chi_square({0, 0}, {10, 10}).p_value(), 0);
}

TEST(StabilityIndex, ByHand) {
  EXPECT_EQ(stability_index({10, 20, 30}, {100, 200, 300}), 0);
  EXPECT_NEAR(stability_index({90, 110, 100, 100}, {100, 100, 100, 100}), 0.005016767386553782, 1e-14);
  EXPECT_NEAR(stability_index({0, 50, 50}, {10, 45, 45}), 0.2951306175534118, 1e-13);
  EXPECT_TRUE(std::isnan(stability_index({0, 0}, {10, 10})));
}

TEST(StabilityIndex, ByChance) {
  EXPECT_NEAR(stability_by_chance(1000, 2000, 10), (1 / 1000.0 + 1 / 2000.0) * 21.666, 1e-6);
  EXPECT_NEAR(stability_by_chance(1000, 1000, 2), 2 / 1000.0 * 6.635, 1e-6);
  EXPECT_EQ(stability_by_chance(1000, 1000, 1), 0);
}

TEST(Kolmogorov, Table) {
  EXPECT_NEAR(kolmogorov_tail(0.82757), 0.50, 1e-4);
  EXPECT_NEAR(kolmogorov_tail(1.22385), 0.10, 1e-4);
  EXPECT_NEAR(kolmogorov_tail(1.35810), 0.05, 1e-4);
  EXPECT_NEAR(kolmogorov_tail(1.62762), 0.01, 1e-4);
  EXPECT_NEAR(kolmogorov_tail(1.94947), 0.001, 1e-5);
  EXPECT_EQ(kolmogorov_tail(0), 1);
  EXPECT_NEAR(kolmogorov_tail(0.25), 1, 1e-6);
}

TEST(Smirnov, CriticalDistance) {
  // Tables give 1.63 sqrt((n + m) / (n m)) for 1 % and 1.36 for 5 %.
  EXPECT_NEAR(smirnov_critical(0.01, 100, 100), 1.6276 * std::sqrt(200.0 / 10000), 1e-5);
  EXPECT_NEAR(smirnov_critical(0.05, 50, 200), 1.3581 * std::sqrt(250.0 / 10000), 1e-5);
  EXPECT_NEAR(smirnov_p_value(smirnov_critical(0.01, 300, 500), 300, 500), 0.01, 1e-5);
}

}  // namespace
}  // namespace backfill
