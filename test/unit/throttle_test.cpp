#include "core/throttle.hpp"

#include <gtest/gtest.h>

#include <cstdio>

#include "core/spec.hpp"

namespace backfill {
namespace {

Throttle read(const std::string &text) {
  Node section = parse_document(text);
  assign_paths(section, "throttle");
  return read_throttle(section);
}

TEST(Throttle, ReadsEveryKey) {
  const Throttle throttle = read(
      "{rows_per_second: 20k, wal_per_second: 10MB, replica_lag: 5s, active_sessions: 10, slot_retained: 2GB, "
      "free_disk: 10%, oldest_snapshot: 1h, windows: ['22:00-06:00', Sat 00:00-24:00]}");
  EXPECT_EQ(throttle.rows_per_second, 20000);
  EXPECT_EQ(throttle.wal_per_second, 10 << 20);
  EXPECT_EQ(throttle.replica_lag, 5000);
  EXPECT_EQ(throttle.active_sessions, 10);
  EXPECT_EQ(throttle.slot_retained, 2LL << 30);
  EXPECT_EQ(throttle.free_disk, 0);
  EXPECT_DOUBLE_EQ(throttle.free_disk_percent, 10);
  EXPECT_EQ(throttle.oldest_snapshot, 3600 * 1000);
  EXPECT_EQ(throttle.windows.size(), 2U);
  EXPECT_EQ(describe(throttle, "UTC").size(), 3U);
}

TEST(Throttle, NothingIsNoLimit) {
  EXPECT_TRUE(read("{}").empty());
  EXPECT_TRUE(read("{rows_per_second: , windows: []}").empty());
  EXPECT_FALSE(read("{active_sessions: 0}").empty());
  EXPECT_TRUE(describe(read("{}"), "UTC").empty());
}

TEST(Throttle, IsLaidOverByAlter) {
  const Node before = parse_document("{rows_per_second: 1000, replica_lag: 5s, windows: ['22:00-06:00']}");
  const Node after =
      lay_over_throttle(before, parse_document(R"({"rows_per_second": null, "replica_lag": "10s", "windows": []})"));
  EXPECT_EQ(to_json(after), to_json(parse_document("{replica_lag: 10s}")));
  const std::vector<std::string> told = {"rows_per_second from 1000 to none", "replica_lag from 5s to 10s",
                                         "windows from " + to_json(*before.find("windows")) + " to none"};
  EXPECT_EQ(differences(before, after), told);
}

TEST(Throttle, TheSlowerRateTellsTheTime) {
  EXPECT_DOUBLE_EQ(least_seconds(read("{rows_per_second: 1000}"), 5000, 1e9), 5);
  EXPECT_DOUBLE_EQ(least_seconds(read("{rows_per_second: 1000, wal_per_second: 1000}"), 5000, 20000), 20);
  EXPECT_DOUBLE_EQ(least_seconds(read("{}"), 5000, 20000), 0);
}

TEST(Throttle, FreeDiskIsBytesOrAShare) {
  EXPECT_DOUBLE_EQ(wanted_free(read("{free_disk: 10MB}"), 1 << 30), 10 << 20);
  EXPECT_DOUBLE_EQ(wanted_free(read("{free_disk: 25%}"), 1 << 30), 1 << 28);
  EXPECT_DOUBLE_EQ(wanted_free(read("{}"), 1 << 30), 0);
}

TEST(Throttle, KnobsAreNotFrozen) {
  const char *const text = "{name: n, scope: {table: t}, transform: {set: {a: b}}, strategy: {chunk_by: blocks%s}%s}";
  const auto frozen = [&](const char *strategy, const char *more) {
    char spec[500];
    (void)std::snprintf(spec, sizeof spec, text, strategy, more);
    return to_json(frozen_document(parse_spec(spec)));
  };
  const std::string plain = frozen("", "");
  EXPECT_EQ(frozen(", parallelism: 7", ", throttle: {replica_lag: 5s}, retention: 1 day"), plain);
  EXPECT_NE(frozen(", retries: 7", ""), plain);
}

}  // namespace
}  // namespace backfill
