#include "core/lag.hpp"

#include <gtest/gtest.h>

namespace backfill {
namespace {

TEST(LagClock, KnowsNothingAtFirst) {
  LagClock clock;
  EXPECT_EQ(clock.lag(0, 1000), 0);
  clock.note(500, 1000);
  EXPECT_EQ(clock.lag(100, 1000), 0);
}

TEST(LagClock, GrowsWhileReplayStandsStill) {
  LagClock clock;
  clock.note(500, 1000);
  clock.note(900, 2000);
  EXPECT_EQ(clock.lag(500, 5000), 3000);
  EXPECT_EQ(clock.lag(499, 5000), 4000);
  EXPECT_EQ(clock.lag(900, 5000), 0);
}

TEST(LagClock, AnIdleServerIsNotBehind) {
  LagClock clock;
  clock.note(500, 1000);
  for (int now = 2000; now < 100000; now += 1000) clock.note(500, now);
  EXPECT_EQ(clock.lag(500, 100000), 0);
}

TEST(LagClock, ASteadyLagIsSteady) {
  LagClock clock;
  for (int second = 0; second < 100; ++second) {
    clock.note(second * 10, second * 1000);
    if (second > 20) {
      EXPECT_NEAR(static_cast<double>(clock.lag((second - 10) * 10, second * 1000)), 9000, 1000);
    }
    if (second > 10) clock.forget((second - 10) * 10);
  }
}

TEST(LagClock, StaysSmallAndNeverTellsTooLittle) {
  LagClock clock;
  const int seconds = 100000;
  for (int second = 0; second < seconds; ++second) clock.note(second, second * 1000LL);
  for (const std::int64_t replayed : {0, 1, 777, seconds / 2, seconds - 100, seconds - 2}) {
    const std::int64_t behind = (seconds - replayed - 1) * 1000LL, told = clock.lag(replayed, seconds * 1000LL);
    EXPECT_GE(told, behind) << replayed;
    EXPECT_LE(told, behind + 2 * seconds * 1000LL / 2048) << replayed;
  }
  clock.forget(seconds - 10);
  clock.note(seconds, seconds * 1000LL);
  clock.note(seconds + 1, seconds * 1000LL + 1);
  EXPECT_EQ(clock.lag(seconds, seconds * 1000LL + 5), 4);
}

}  // namespace
}  // namespace backfill
