#include "core/threshold.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "raises.hpp"

namespace backfill {
namespace {

struct HoldsCase {
  const char *text;
  double measured, percent;
  bool holds;
};

class Holds : public testing::TestWithParam<HoldsCase> {};

TEST_P(Holds, AsWritten) {
  const Threshold threshold = parse_threshold(GetParam().text, "checks[0].warn_if");
  EXPECT_EQ(threshold.holds(GetParam().measured, GetParam().percent), GetParam().holds) << GetParam().text;
  EXPECT_EQ(threshold.text, GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Threshold, Holds,
    testing::Values(
        HoldsCase{"> 0", 1, 0, true}, HoldsCase{"> 0", 0, 9, false}, HoldsCase{">0", 1, 0, true},
        HoldsCase{">= 2%", 100, 2, true}, HoldsCase{">= 2%", 100, 1.99, false}, HoldsCase{"< 10", 9, 99, true},
        HoldsCase{"<= 1.5", 1.5, 0, true}, HoldsCase{"<= 1.5", 1.6, 0, false}, HoldsCase{"= 0", 0, 1, true},
        HoldsCase{"== 0", 1, 0, false}, HoldsCase{"!= 0", 1, 0, true}, HoldsCase{"<> 0", 0, 1, false},
        HoldsCase{"> 500_000", 500001, 0, true}, HoldsCase{"between 1 and 3", 1, 0, true},
        HoldsCase{"between 1 and 3", 3, 0, true}, HoldsCase{"between 1 and 3", 3.1, 2, false},
        HoldsCase{"not between -2% and 2%", 50, 2, false}, HoldsCase{"not between -2% and 2%", 0, 2.1, true},
        HoldsCase{"NOT  Between -2 % AND 2 %", 0, -2.1, true}, HoldsCase{" > -5 ", -4, 0, true},
        HoldsCase{"> 2%", 1, INFINITY, true}, HoldsCase{"> 2%", 1, NAN, true}, HoldsCase{"= 0", NAN, 0, true},
        HoldsCase{"between 1 and 2", NAN, 0, true}, HoldsCase{"> 0", 1, NAN, true}, HoldsCase{"> 0", 0, NAN, false}));

class Refused : public testing::TestWithParam<const char *> {};

TEST_P(Refused, NamingThePath) {
  const Error error = raised_by([&] { parse_threshold(GetParam(), "checks[3].error_if"); });
  EXPECT_EQ(error.sqlstate, "22023");
  EXPECT_STREQ(error.what(), "invalid value for \"checks[3].error_if\"");
  EXPECT_FALSE(error.hint.empty());
}

INSTANTIATE_TEST_SUITE_P(Threshold, Refused,
                         testing::Values("", "0", "2%", ">", "> x", "=> 1", "> 1 2", "between", "between 1",
                                         "between 1 and", "between 3 and 1", "between 1 and 2%", "between1 and 2",
                                         "not > 1", "not", "between 1 and 2 and 3", "> 1; drop table x"));

}  // namespace
}  // namespace backfill
