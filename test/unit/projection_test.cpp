#include "core/projection.hpp"

#include <gtest/gtest.h>

#include <cmath>

using namespace backfill;

namespace {

using Indexes = std::vector<std::size_t>;

TEST(Spread, TakesFirstMiddleAndLastByWeight) {
  EXPECT_EQ(spread({1, 1, 1, 1, 1}, 3), (Indexes{0, 2, 4}));
  EXPECT_EQ(spread({1, 1, 1, 1, 96}, 1), (Indexes{4}));
  EXPECT_EQ(spread({96, 1, 1, 1, 1}, 1), (Indexes{0}));
  EXPECT_EQ(spread({10, 10, 10, 500, 10, 10}, 3), (Indexes{0, 3, 5}));
}

TEST(Spread, NeverTakesOneTwice) {
  EXPECT_EQ(spread({1000, 1, 1, 1}, 3), (Indexes{0, 1, 3}));
  EXPECT_EQ(spread({1, 1, 1, 1000}, 3), (Indexes{0, 2, 3}));
  EXPECT_EQ(spread({0, 0, 0, 0}, 2), (Indexes{0, 3}));
}

TEST(Spread, TakesAllWhereThereAreNoMore) {
  EXPECT_EQ(spread({1, 2}, 3), (Indexes{0, 1}));
  EXPECT_EQ(spread({1, 2, 3}, 3), (Indexes{0, 1, 2}));
  EXPECT_TRUE(spread({}, 3).empty());
}

TEST(Speedup, IsBetweenSomeHelpAndFullHelp) {
  EXPECT_DOUBLE_EQ(speedup(1, 10).low, 1);
  EXPECT_DOUBLE_EQ(speedup(1, 10).high, 1);
  EXPECT_DOUBLE_EQ(speedup(4, 10).low, 2.2);
  EXPECT_DOUBLE_EQ(speedup(4, 10).high, 4);
  EXPECT_DOUBLE_EQ(speedup(4, 2).high, 2);
  EXPECT_DOUBLE_EQ(speedup(4, 0).high, 1);
}

TEST(SortGrowth, IsNLogN) {
  EXPECT_DOUBLE_EQ(sort_growth(1023, 1023), 1);
  EXPECT_DOUBLE_EQ(sort_growth(1023, 1048575), 1048575.0 * 20 / (1023.0 * 10));
  EXPECT_DOUBLE_EQ(sort_growth(0, 100), 1);
}

// Two chunks of 1000 rows out of ten: a second and two, 100 bytes and 110 bytes of WAL a row.
SampledPart two_of_ten() {
  SampledPart part;
  part.chunks = {{1000, 1000, 1000, 1}, {1000, 1000, 1000, 2}};
  part.bytes = 200000;
  part.wal = 220000;
  part.whole_chunks = 10;
  part.whole_rows = 10000;
  return part;
}

TEST(Project, ScalesRowsBytesAndWal) {
  Sample sample;
  sample.computed = two_of_ten();
  Projection const whole = project(sample);
  EXPECT_DOUBLE_EQ(whole.rows.low, 10000);
  EXPECT_DOUBLE_EQ(whole.rows.high, 10000);
  EXPECT_DOUBLE_EQ(whole.disk_bytes.low, 1000000);
  EXPECT_DOUBLE_EQ(whole.disk_bytes.high, 1150000);
  EXPECT_DOUBLE_EQ(whole.wal_bytes.low, 1100000);
  EXPECT_DOUBLE_EQ(whole.wal_bytes.high, 1430000);
}

TEST(Project, TakesTheFastestChunkAndTheSlowest) {
  Sample sample;
  sample.computed = two_of_ten();
  Projection const whole = project(sample);
  EXPECT_DOUBLE_EQ(whole.copy_seconds.low, 10 * 0.8);
  EXPECT_DOUBLE_EQ(whole.copy_seconds.high, 20 * 1.5);
  sample.parallelism = 2;
  EXPECT_DOUBLE_EQ(project(sample).copy_seconds.low, 10 / 2.0 * 0.8);
  EXPECT_DOUBLE_EQ(project(sample).copy_seconds.high, 20 / 1.4 * 1.5);
}

TEST(Project, CorrectsThePlanByWhatItFound) {
  Sample sample;
  sample.computed = two_of_ten();
  for (SampledChunk &chunk : sample.computed.chunks) chunk.rows = chunk.units = 500;
  Projection const whole = project(sample);
  EXPECT_DOUBLE_EQ(whole.rows.low, 5000);
  EXPECT_DOUBLE_EQ(whole.rows.high, 10000);
}

TEST(Project, CountsRowsByChunksWhereThePlanKnowsNothing) {
  Sample sample;
  sample.computed = two_of_ten();
  sample.computed.whole_rows = 0;
  sample.computed.rows_by_chunks = true;
  EXPECT_DOUBLE_EQ(project(sample).rows.low, 10000);
  EXPECT_DOUBLE_EQ(project(sample).rows.high, 10000);
}

TEST(Project, TimesBlocksByBlocks) {
  Sample sample;
  sample.computed = two_of_ten();
  sample.verbatim.chunks = {{100, 5000, 5000, 0.5}};
  sample.verbatim.bytes = 500000;
  sample.verbatim.wal = 500000;
  sample.verbatim.whole_chunks = 4;
  sample.verbatim.whole_rows = 20000;
  sample.verbatim.whole_units = 400;
  Projection const whole = project(sample);
  EXPECT_DOUBLE_EQ(whole.rows.low, 30000);
  EXPECT_DOUBLE_EQ(whole.copy_seconds.low, (10 + 2) * 0.8);
  EXPECT_DOUBLE_EQ(whole.disk_bytes.low, 1000000 + 2000000);
}

TEST(Project, BuildsTheKeyFirstAndTheOthersAtOnce) {
  Sample sample;
  sample.computed = two_of_ten();
  sample.computed.bytes = 0;  // nothing to vacuum
  sample.computed.whole_rows = 2000;
  sample.parallelism = 2;
  sample.indexes = {{true, 1, 100, 100}, {false, 2, 100, 100}, {false, 3, 100, 100}};
  Projection const whole = project(sample);
  EXPECT_DOUBLE_EQ(whole.build_seconds.low, (1 + 3) * 0.8);
  EXPECT_DOUBLE_EQ(whole.build_seconds.high, (1 + 5 / 1.4) * 1.5 * 1.5);
  EXPECT_DOUBLE_EQ(whole.disk_bytes.low, 300);
}

TEST(Project, KnowsThatNothingIsNotFree) {
  Projection const whole = project(Sample());
  EXPECT_DOUBLE_EQ(whole.rows.high, 0);
  EXPECT_GT(whole.seconds.low, 0);
  EXPECT_LT(whole.seconds.low, whole.seconds.high);
  EXPECT_FALSE(std::isnan(whole.copy_seconds.high));
}

}  // namespace
