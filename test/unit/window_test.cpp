#include "core/window.hpp"

#include <gtest/gtest.h>

namespace backfill {
namespace {

struct Case {
  const char *text, *days, *opens, *closes;
};
class Windows : public testing::TestWithParam<Case> {};

TEST_P(Windows, AreRead) {
  const auto window = parse_window(GetParam().text);
  ASSERT_TRUE(window) << GetParam().text;
  EXPECT_EQ(window->days, GetParam().days);
  EXPECT_EQ(window->opens_text(), GetParam().opens);
  EXPECT_EQ(window->closes_text(), GetParam().closes);
}

INSTANTIATE_TEST_SUITE_P(All, Windows,
                         testing::Values(Case{"22:00-06:00", "1234567", "22:00", "30:00"},
                                         Case{"9:30-17:05", "1234567", "09:30", "17:05"},
                                         Case{" 22:00 - 06:00 ", "1234567", "22:00", "30:00"},
                                         Case{"00:00-24:00", "1234567", "00:00", "24:00"},
                                         Case{"23:00-00:00", "1234567", "23:00", "24:00"},
                                         Case{"Sat 00:00-24:00", "6", "00:00", "24:00"},
                                         Case{"mon-fri 22:00-06:00", "12345", "22:00", "30:00"},
                                         Case{"Saturday, Sunday 08:00-20:00", "67", "08:00", "20:00"},
                                         Case{"Sat-Mon 20:00-23:30", "167", "20:00", "23:30"},
                                         Case{"Mon,Wed-Thu,Mon 1:00-2:00", "134", "01:00", "02:00"}));

TEST(Window, IsRefused) {
  for (const char *text : {"", "22:00", "22-6", "22:00-22:00", "24:00-06:00", "25:00-06:00", "22:60-06:00",
                           "22:0-06:00", "22:00-06:00-07:00", "Noday 22:00-06:00", "Mo 22:00-06:00", "Mon- 22:00-06:00",
                           "Mon, 22:00-06:00", "22:00-06:00 Mon", "-22:00-06:00", "22:00 06:00"})
    EXPECT_FALSE(parse_window(text)) << text;
}

TEST(Window, ShareOfAWeek) {
  const auto share = [](std::initializer_list<const char *> texts) {
    std::vector<Window> windows;
    for (const char *text : texts) windows.push_back(*parse_window(text));
    return open_share(windows);
  };
  EXPECT_DOUBLE_EQ(share({}), 0);
  EXPECT_DOUBLE_EQ(share({"00:00-24:00"}), 1);
  EXPECT_DOUBLE_EQ(share({"22:00-06:00"}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(share({"22:00-06:00", "04:00-06:00"}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(share({"Sun 18:00-06:00"}), 12.0 / 168);
  EXPECT_DOUBLE_EQ(share({"Sat,Sun 00:00-24:00"}), 2.0 / 7);
}

}  // namespace
}  // namespace backfill
