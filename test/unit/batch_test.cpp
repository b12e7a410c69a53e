#include "core/batch.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace backfill {
namespace {

TEST(Batch, ScalesByTargetOverActual) {
  EXPECT_EQ(next_width(1000, 1000, 1000), 1000);
  EXPECT_EQ(next_width(1000, 500, 1000), 2000);
  EXPECT_EQ(next_width(1000, 2000, 1000), 500);
}

TEST(Batch, IsBounded) {
  EXPECT_EQ(next_width(1000, 1, 1000), 4000);
  EXPECT_EQ(next_width(1000, 0, 1000), 4000);
  EXPECT_EQ(next_width(1000, -5, 1000), 4000);
  EXPECT_EQ(next_width(1000, 1e9, 1000), 125);
  EXPECT_EQ(next_width(1, 1e9, 1000), 1);
  const std::int64_t widest = std::numeric_limits<std::int64_t>::max();
  EXPECT_GT(next_width(widest, 1, 1000), 0);
}

TEST(Batch, IsNotNarrowedToNothingByOverhead) {
  EXPECT_EQ(next_width(1000, 0, 1e9, 1000), 1000);
  EXPECT_EQ(next_width(1000, batch_rows_least, 1e9, 1000), 1000);
  EXPECT_EQ(next_width(1000, batch_rows_least / 2, 1e9, 1000), 1000);
  EXPECT_EQ(next_width(1000, 2 * batch_rows_least, 1e9, 1000), 500);
  EXPECT_EQ(next_width(1000, 1000, 1e9, 1000), 125);
  EXPECT_EQ(next_width(1000, 1, 500, 1000), 2000);
}

TEST(Batch, IsLimitedToTheRowsARateGives) {
  EXPECT_EQ(limited_width(4000, 1000, 500, 250), 500);
  EXPECT_EQ(limited_width(400, 1000, 500, 250), 400);
  EXPECT_EQ(limited_width(4000, 1000, 0, 250), 4000);
  EXPECT_EQ(limited_width(4000, 1000, 1e9, 0.5), 1);
}

TEST(BatchSizer, ConvergesOnTheTarget) {
  BatchSizer sizer(1, 1000);
  for (int i = 0; i < 20; ++i) {
    const std::int64_t width = sizer.width_for(1'000'000'000);
    sizer.record(width, static_cast<double>(width) * 0.02);  // 20 µs each
  }
  EXPECT_NEAR(static_cast<double>(sizer.width()), 50000, 1);
}

TEST(BatchSizer, TakesTheSliverAlong) {
  const BatchSizer sizer(100, 1000);
  EXPECT_EQ(sizer.width_for(1000), 100);
  EXPECT_EQ(sizer.width_for(150), 100);
  EXPECT_EQ(sizer.width_for(149), 149);
  EXPECT_EQ(sizer.width_for(100), 100);
  EXPECT_EQ(sizer.width_for(7), 7);
  EXPECT_EQ(sizer.width_for(1), 1);
}

TEST(BatchSizer, ACutBatchDoesNotShrinkTheNext) {
  BatchSizer sizer(1000, 1000);
  sizer.record(10, 10);  // the end of a chunk; 40 at most would follow
  EXPECT_EQ(sizer.width(), 1000);
  sizer.record(10, 8000);  // but slow is slow
  EXPECT_EQ(sizer.width(), 1);
}

TEST(BatchSizer, ShrinksAfterAFailure) {
  BatchSizer sizer(1000, 1000);
  sizer.record_failure();
  EXPECT_EQ(sizer.width(), 125);
  for (int i = 0; i < 5; ++i) sizer.record_failure();
  EXPECT_EQ(sizer.width(), 1);
}

}  // namespace
}  // namespace backfill
