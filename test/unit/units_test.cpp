#include "core/units.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace backfill {
namespace {

using Int = std::optional<std::int64_t>;

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration("1s"), Int(1000));
  EXPECT_EQ(parse_duration("200ms"), Int(200));
  EXPECT_EQ(parse_duration("10min"), Int(600000));
  EXPECT_EQ(parse_duration("10 m"), Int(600000));
  EXPECT_EQ(parse_duration("1h"), Int(3600000));
  EXPECT_EQ(parse_duration("2 days"), Int(172800000));
  EXPECT_EQ(parse_duration("1 week"), Int(604800000));
  EXPECT_EQ(parse_duration("1 h 30 min"), Int(5400000));
  EXPECT_EQ(parse_duration("1h30min"), Int(5400000));
  EXPECT_EQ(parse_duration(" 1.5 Hours "), Int(5400000));
  EXPECT_EQ(parse_duration("1_000 ms"), Int(1000));
  EXPECT_EQ(parse_duration("0s"), Int(0));
  for (const char *bad :
       {"", "1", "s", "-1s", "1 month", "1 fortnight", "1s 2", "1s,", "1..5s", "99999999999999999 days", "1e3s", "~1s"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

TEST(Units, Sizes) {
  EXPECT_EQ(parse_size("64MB"), Int(64LL << 20));
  EXPECT_EQ(parse_size("64 MiB"), Int(64LL << 20));
  EXPECT_EQ(parse_size("1.5 gb"), Int(3LL << 29));
  EXPECT_EQ(parse_size("8192"), Int(8192));
  EXPECT_EQ(parse_size("1TB"), Int(1LL << 40));
  EXPECT_EQ(parse_size("10 bytes"), Int(10));
  for (const char *bad : {"", "MB", "-1MB", "1 parsec", "1MB 2", "9999999999TB"})
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
}

TEST(Units, Counts) {
  EXPECT_EQ(parse_count("500_000"), Int(500000));
  EXPECT_EQ(parse_count("~500_000 rows"), Int(500000));
  EXPECT_EQ(parse_count("500k"), Int(500000));
  EXPECT_EQ(parse_count("2.5M rows"), Int(2500000));
  EXPECT_EQ(parse_count("1 row"), Int(1));
  EXPECT_EQ(parse_count("1e6"), Int(1000000));
  for (const char *bad : {"", "~", "rows", "-5", "5 cows", "5k k", "5_", "1e30", "5 rows please"})
    EXPECT_EQ(parse_count(bad), std::nullopt) << bad;
}

TEST(Units, PercentagesAndNumbers) {
  EXPECT_EQ(parse_percent("2%"), std::optional(2.0));
  EXPECT_EQ(parse_percent("-0.5 %"), std::optional(-0.5));
  EXPECT_EQ(parse_percent("2"), std::nullopt);
  EXPECT_EQ(parse_percent("%"), std::nullopt);
  EXPECT_EQ(parse_number("+3"), std::optional(3.0));
  EXPECT_EQ(parse_number("-1.5e-3"), std::optional(-0.0015));
  EXPECT_EQ(parse_number("500_000"), std::optional(500000.0));
  for (const char *bad : {"", "-", "--1", "- 1", "1x", "1e999", "nan", "inf"})
    EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
}

TEST(Units, FormatsCounts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(5200000), "5,200,000");
  EXPECT_EQ(format_count(-123456), "-123,456");
  EXPECT_EQ(format_count(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Units, FormatsBytes) {
  EXPECT_EQ(format_bytes(0), "0 bytes");
  EXPECT_EQ(format_bytes(1), "1 byte");
  EXPECT_EQ(format_bytes(1023), "1023 bytes");
  EXPECT_EQ(format_bytes(1024), "1 kB");
  EXPECT_EQ(format_bytes(8192), "8 kB");
  EXPECT_EQ(format_bytes(1024 * 1024 - 1), "1 MB");
  EXPECT_EQ(format_bytes(3LL << 29), "1.5 GB");
  EXPECT_EQ(format_bytes(330301440), "315 MB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::int64_t>::max()), "8192 PB");
  EXPECT_EQ(format_bytes(-2048), "-2 kB");
}

TEST(Units, FormatsDurations) {
  EXPECT_EQ(format_duration(0), "0ms");
  EXPECT_EQ(format_duration(0.12), "120ms");
  EXPECT_EQ(format_duration(0.9996), "1s");
  EXPECT_EQ(format_duration(4.2), "4.2s");
  EXPECT_EQ(format_duration(9.96), "10s");
  EXPECT_EQ(format_duration(42.4), "42s");
  EXPECT_EQ(format_duration(59.6), "1m");
  EXPECT_EQ(format_duration(200), "3m 20s");
  EXPECT_EQ(format_duration(599.7), "10m");
  EXPECT_EQ(format_duration(18 * 60 + 12), "18m");
  EXPECT_EQ(format_duration(3599), "1h");
  EXPECT_EQ(format_duration(2 * 3600 + 5 * 60), "2h 5m");
  EXPECT_EQ(format_duration(86399), "1d");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600), "3d 4h");
  EXPECT_EQ(format_duration(-4.2), "-4.2s");
  EXPECT_EQ(format_duration(INFINITY), "-");
  EXPECT_EQ(format_duration(NAN), "-");
}

TEST(Units, FormatsPercentages) {
  EXPECT_EQ(format_percent(2), "2%");
  EXPECT_EQ(format_percent(12.346), "12.35%");
  EXPECT_EQ(format_percent(-0.001), "0%");
  EXPECT_EQ(format_percent(NAN), "-");
}

}  // namespace
}  // namespace backfill
