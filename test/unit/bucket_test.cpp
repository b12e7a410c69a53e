#include "core/bucket.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <thread>
#include <vector>

namespace backfill {
namespace {

constexpr std::int64_t second = 1'000'000, start = 1000 * second;

TEST(Bucket, HoldsOneSecondOfItsRate) {
  Bucket bucket;
  EXPECT_LE(bucket.take(1000, 1000, start), start);
  EXPECT_EQ(bucket.take(500, 1000, start), start + second / 2);
  EXPECT_EQ(bucket.debt(start), second / 2);
  EXPECT_EQ(bucket.debt(start + second), 0);
}

TEST(Bucket, IdleTimeIsCreditForNoMore) {
  Bucket bucket;
  bucket.reset(start);
  EXPECT_EQ(bucket.take(1000, 1000, start), start + second);
  EXPECT_EQ(bucket.take(2000, 1000, start + 100 * second), start + 101 * second);
}

TEST(Bucket, KeepsTheRateOfAllTakersTogether) {
  Bucket bucket;
  bucket.reset(start);
  std::int64_t ready[2] = {start, start}, taken = 0;
  for (int i = 0; i < 1000; ++i) {  // whoever is ready first goes on
    const int who = ready[0] <= ready[1] ? 0 : 1;
    ready[who] = std::max(bucket.take(300, 1000, ready[who]), ready[who] + 50'000);
    taken += 300;
  }
  const double seconds = static_cast<double>(std::max(ready[0], ready[1]) - start) / second;
  EXPECT_NEAR(static_cast<double>(taken) / seconds, 1000, 5);
}

TEST(Bucket, ResetForgetsWhatIsOwed) {
  Bucket bucket;
  (void)bucket.take(1'000'000, 10, start);
  bucket.reset(start);
  EXPECT_EQ(bucket.debt(start), 0);
}

TEST(Bucket, BearsAbsurdAmounts) {
  Bucket bucket;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_LE(bucket.take(most, 1, start), start + 86400 * second);
  EXPECT_LE(bucket.take(most, 1, start), start + 86400 * second);
  EXPECT_LE(bucket.take(-5, most, start), start + 86400 * second);
}

TEST(Bucket, NothingIsLostBetweenProcesses) {
  Bucket bucket;
  bucket.reset(start);
  std::vector<std::thread> takers;
  for (int i = 0; i < 4; ++i)
    takers.emplace_back([&] {
      for (int n = 0; n < 10000; ++n) (void)bucket.take(1, 1000, start);
    });
  for (std::thread &taker : takers) taker.join();
  EXPECT_EQ(bucket.debt(start), 40 * second);
}

}  // namespace
}  // namespace backfill
