#include "core/limits.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "raises.hpp"

namespace backfill {
namespace {

Node args(const std::string &yaml) {
  Node node = parse_document(yaml);
  assign_paths(node, "checks[0]");
  return node;
}

struct JudgeCase {
  const char *yaml, *severity;
  double measured;
  std::optional<double> population;
  const char *outcome;
};

class Judge : public testing::TestWithParam<JudgeCase> {};

TEST_P(Judge, AsDbtWould) {
  const JudgeCase &given = GetParam();
  const Limits limits = read_limits(args(given.yaml), given.severity, "> 0");
  EXPECT_EQ(judge(limits, given.measured, given.population), given.outcome) << given.yaml;
}

INSTANTIATE_TEST_SUITE_P(
    Limits, Judge,
    testing::Values(
        JudgeCase{"{}", "error", 0, 10, "pass"}, JudgeCase{"{}", "error", 1, 10, "fail"},
        JudgeCase{"{}", "warn", 1, 10, "warn"}, JudgeCase{"{}", "warn", 0, 10, "pass"},
        JudgeCase{"{error_if: '> 5'}", "error", 5, 10, "pass"}, JudgeCase{"{error_if: '> 5'}", "error", 6, 10, "fail"},
        JudgeCase{"{error_if: '> 5'}", "warn", 6, 10, "warn"}, JudgeCase{"{warn_if: '> 0'}", "error", 9, 10, "warn"},
        JudgeCase{"{warn_if: '> 0', error_if: '> 5'}", "error", 1, 10, "warn"},
        JudgeCase{"{warn_if: '> 0', error_if: '> 5'}", "error", 6, 10, "fail"},
        JudgeCase{"{warn_if: '> 0', error_if: '> 5'}", "warn", 6, 10, "warn"},
        JudgeCase{"{max_percent: 2}", "error", 2, 100, "pass"}, JudgeCase{"{max_percent: 2}", "error", 3, 100, "fail"},
        JudgeCase{"{max_percent: 2%}", "warn", 3, 100, "warn"}, JudgeCase{"{max_percent: 2}", "error", 0, 0, "pass"},
        JudgeCase{"{max_percent: 2}", "error", 1, 0, "fail"}, JudgeCase{"{max_percent: 2}", "error", 0, {}, "pass"},
        JudgeCase{"{max_percent: 2}", "error", 1, {}, "fail"},
        JudgeCase{"{error_if: not between -2% and 2%}", "error", -3, 100, "fail"},
        JudgeCase{"{error_if: not between -2% and 2%}", "error", -2, 100, "pass"},
        JudgeCase{"{error_if: '> 5', warn_if: null}", "error", 1, 10, "pass"}));

TEST(Limits, SeverityIsTheWorstThatCanComeOfIt) {
  EXPECT_EQ(read_limits(args("{}"), "error", "> 0").severity(), "error");
  EXPECT_EQ(read_limits(args("{}"), "warn", "> 0").severity(), "warn");
  EXPECT_EQ(read_limits(args("{warn_if: '> 1'}"), "error", "> 0").severity(), "warn");
  EXPECT_EQ(read_limits(args("{error_if: '> 1'}"), "warn", "> 0").severity(), "warn");
}

TEST(Limits, OnlyThoseOfTheSpecAreDescribed) {
  EXPECT_EQ(describe(read_limits(args("{}"), "error", "> 0")), "");
  EXPECT_EQ(describe(read_limits(args("{warn_if: '> 0', error_if: '> 2%'}"), "error", "> 0")),
            "fails if > 2%, warns if > 0");
  EXPECT_EQ(describe(read_limits(args("{max_percent: 1.5}"), "warn", "> 0")), "warns if > 1.5%");
}

TEST(Limits, RefusesWhatContradictsItself) {
  for (const char *const yaml :
       {"{error_if: '> 0', max_percent: 1}", "{max_percent: -1}", "{max_percent: 101}", "{max_percent: few}"}) {
    const Error error = raised_by([&] { read_limits(args(yaml), "error", "> 0"); });
    EXPECT_EQ(error.sqlstate, "22023") << yaml;
    EXPECT_NE(std::string(error.what()).find("checks[0].max_percent"), std::string::npos) << error.what();
  }
}

TEST(Limits, ShareOfNothingIsNotANumber) {
  EXPECT_EQ(percent_of(1, 200), 0.5);
  EXPECT_EQ(percent_of(0, 0), 0);
  EXPECT_TRUE(std::isnan(percent_of(1, 0)));
  EXPECT_TRUE(std::isnan(percent_of(1, std::nullopt)));
}

}  // namespace
}  // namespace backfill
