// backfill.difference: the figures of the newest backfill_diff of a job over its whole scope, for reports.  No row of the
// table is in them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace backfill {

struct ColumnDifference {
  // By how much values moved that are numbers, or times, in both versions and differ: new - old.
  struct Shift {
    std::int64_t values = 0;                     // how many; those too large or small for the figures are left out
    double mean = 0, p50 = 0, p95 = 0, max = 0;  // of |new - old|
    double net = 0;                              // mean of new - old
    bool seconds = false;                        // of dates, times and intervals
  };
  std::string name;
  std::int64_t changed = 0, emptied = 0, filled = 0;  // the last two are among the first
  std::optional<Shift> shift;
};

struct Difference {
  int audit = 0;           // the job's newest audit by then
  bool published = false;  // archive and live were compared; else live and shadow
  std::int64_t added = 0, removed = 0, changed = 0, unchanged = 0, pending = 0;
  std::vector<ColumnDifference> columns;  // those with a change
  std::string at;                         // when the snapshot was taken
  std::string by;                         // who asked; set by load_difference
};

// Replaces the job's figures.  Does nothing in a read-only transaction.
void store_difference(int job, const Difference &difference);
std::optional<Difference> load_difference(int job);

}  // namespace backfill
