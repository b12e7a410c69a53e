#include "core/estimate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace backfill {
namespace {

constexpr double inf = INFINITY;

TEST(Estimate, InterpolatesInBuckets) {
  const ColumnHistogram h{0, {}, {0, 10, 20, 40}};
  EXPECT_DOUBLE_EQ(fraction_between(h, 0, 10), 1.0 / 3);
  EXPECT_DOUBLE_EQ(fraction_between(h, 5, 10), 1.0 / 6);
  EXPECT_DOUBLE_EQ(fraction_between(h, 20, 30), 1.0 / 6);
  EXPECT_DOUBLE_EQ(fraction_between(h, -100, 0), 0);
  EXPECT_DOUBLE_EQ(fraction_between(h, 40, inf), 0);
  EXPECT_DOUBLE_EQ(fraction_between(h, -inf, inf), 1);
  EXPECT_DOUBLE_EQ(fraction_between(h, 10, 10), 0);
  EXPECT_DOUBLE_EQ(fraction_between(h, 20, 10), 0);
}

TEST(Estimate, CommonValuesArePoints) {
  const ColumnHistogram h{0.1, {{5, 0.3}, {7, 0.2}}, {0, 10}};
  EXPECT_DOUBLE_EQ(fraction_between(h, 5, 6), 0.3 + 0.4 * 0.1);
  EXPECT_NEAR(fraction_between(h, 4, 5), 0.4 * 0.1, 1e-12);
  EXPECT_NEAR(fraction_between(h, 0, 10), 0.9, 1e-12);
}

TEST(Estimate, OnlyCommonValues) {
  const ColumnHistogram h{0.2, {{1, 0.3}, {2, 0.1}}, {}};  // half the present rows are unaccounted for
  EXPECT_NEAR(fraction_between(h, 1, 2), 0.6, 1e-12);
  EXPECT_NEAR(fraction_between(h, 2, 3), 0.2, 1e-12);
}

TEST(Estimate, AValueThatFillsBucketsIsAPoint) {
  const ColumnHistogram h{0, {}, {0, 5, 5, 5, 10}};
  EXPECT_DOUBLE_EQ(fraction_between(h, 5, 5.5), 0.5 + 0.025);
  EXPECT_DOUBLE_EQ(fraction_between(h, 0, 5), 0.25);
  const ColumnHistogram one{0.5, {}, {3}};
  EXPECT_DOUBLE_EQ(fraction_between(one, 3, 4), 0.5);
  EXPECT_DOUBLE_EQ(fraction_between(one, 2, 3), 0);
}

TEST(Estimate, InfiniteValuesStandAtTheEnds) {
  const ColumnHistogram h{0, {{inf, 0.2}, {-inf, 0.1}}, {-inf, 0, 10, inf}};
  EXPECT_NEAR(fraction_between(h, -inf, 0), 0.1, 1e-12);
  EXPECT_NEAR(fraction_between(h, 0, 10), 0.7 * 2 / 3, 1e-12);
  EXPECT_NEAR(fraction_between(h, 10, inf), 0.2 + 0.7 / 3, 1e-12);
  EXPECT_TRUE(std::isfinite(fraction_between(h, -5, 5)));
}

TEST(Estimate, OfNothingNothingIsKnown) {
  const ColumnHistogram h{0.25, {}, {}};
  EXPECT_DOUBLE_EQ(fraction_between(h, -inf, inf), 0.75);
  EXPECT_DOUBLE_EQ(fraction_between(h, 0, 1), 0);
}

TEST(Estimate, PartsAddUpToThePresentRows) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> value(-50, 50);
  for (int round = 0; round < 200; ++round) {
    ColumnHistogram h;
    h.null_frac = round % 3 * 0.2;
    for (int i = 0; i < round % 4; ++i) h.common.emplace_back(std::round(value(random)), 0.05);
    for (int i = 0; i < round % 7; ++i) h.bounds.push_back(std::round(value(random)));
    if (round % 5 == 0 && !h.bounds.empty()) h.bounds.push_back(inf);
    if (round % 6 == 0 && !h.bounds.empty()) h.bounds.push_back(-inf);
    std::sort(h.bounds.begin(), h.bounds.end());
    if (h.empty()) continue;
    std::vector<double> cuts = {-inf, inf};
    for (int i = 0; i < 9; ++i) cuts.push_back(std::round(value(random)));
    std::sort(cuts.begin(), cuts.end());
    double total = 0;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const double part = fraction_between(h, cuts[i], cuts[i + 1]);
      EXPECT_GE(part, 0);
      total += part;
    }
    EXPECT_NEAR(total, 1 - h.null_frac, 1e-9) << "round " << round;
  }
}

}  // namespace
}  // namespace backfill
