#include "core/range_text.hpp"

#include <gtest/gtest.h>

namespace backfill {

TEST(RangeText, SaysWholePeriodsByName) {
  EXPECT_EQ(range_text("2023-01-01", "2024-01-01"), "2023");
  EXPECT_EQ(range_text("2023-04-01", "2023-07-01"), "Q2 2023");
  EXPECT_EQ(range_text("2023-02-01", "2023-03-01"), "Feb 2023");
  EXPECT_EQ(range_text("2023-12-01 00:00:00", "2024-01-01 00:00:00"), "Dec 2023");
  EXPECT_EQ(range_text("2023-03-01 00:00:00+01", "2023-04-01 00:00:00+02"), "Mar 2023");
}

TEST(RangeText, SaysDaysWithTheLastOneIncluded) {
  EXPECT_EQ(range_text("2023-07-03", "2023-07-10"), "2023-07-03 – 2023-07-09");
  EXPECT_EQ(range_text("2023-07-03", "2023-07-04"), "2023-07-03");
  EXPECT_EQ(range_text("2023-02-01", "2023-04-01"), "2023-02-01 – 2023-03-31");
  EXPECT_EQ(range_text("2023-01-15", "2023-02-15"), "2023-01-15 – 2023-02-14");
  EXPECT_EQ(range_text("2024-02-28", "2024-03-01"), "2024-02-28 – 2024-02-29");
}

TEST(RangeText, SaysClockTimes) {
  EXPECT_EQ(range_text("2023-07-03 14:00:00", "2023-07-03 15:00:00"), "2023-07-03 14:00 – 15:00");
  EXPECT_EQ(range_text("2023-07-03 23:00:00", "2023-07-04 00:00:00"), "2023-07-03 23:00 – 2023-07-04 00:00");
  EXPECT_EQ(range_text("2023-07-03 00:00:00", "2023-07-03 00:00:30"), "2023-07-03 00:00 – 00:00:30");
}

TEST(RangeText, SaysKeys) {
  EXPECT_EQ(range_text("100", "200"), "100 – 199");
  EXPECT_EQ(range_text("-5", "0"), "-5 – -1");
  EXPECT_EQ(range_text("7", "8"), "7");
}

TEST(RangeText, LeavesWhatItDoesNotKnow) {
  EXPECT_EQ(range_text("0044-03-15 BC", "0044-03-16 BC"), "from 0044-03-15 BC until before 0044-03-16 BC");
  EXPECT_EQ(range_text("2023-07-03 00:00:00.5", "2023-07-03 00:00:01"),
            "from 2023-07-03 00:00:00.5 until before 2023-07-03 00:00:01");
  EXPECT_EQ(range_text("2023-13-01", "2024-01-01"), "from 2023-13-01 until before 2024-01-01");
}

}  // namespace backfill
