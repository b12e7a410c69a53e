// Sizing batches: a batch is a sub-interval of its chunk, as wide as takes about the target time.
#pragma once

#include <cstdint>

namespace backfill {

inline constexpr double batch_growth = 4;  // a batch is at most this much wider than the last one ...
inline constexpr double batch_shrink = 8;  // ... and at least this fraction of it

// The width of the next batch, after one of width took actual_ms: width scaled by target/actual, bounded by
// growth and shrink, at least 1.  A batch too quick to measure (actual_ms <= 0) grows by the full bound.
// width is in the unit of the chunk column (microseconds, days, keys, blocks).
// REQUIRES: width >= 1, target_ms > 0.
std::int64_t next_width(std::int64_t width, double actual_ms, double target_ms);

// The same after a batch of `rows` rows: never so narrow that fewer than batch_rows_least are to be expected.  Such a
// batch is all overhead (a commit that waits for a standby, say), and a narrower one takes as long.
inline constexpr std::int64_t batch_rows_least = 20;
std::int64_t next_width(std::int64_t width, std::int64_t rows, double actual_ms, double target_ms);

// next, cut down so that no more than `most` rows are to be expected where a batch of width brought `rows`; at least 1.
std::int64_t limited_width(std::int64_t next, std::int64_t width, double rows, double most);

// The width of the batches of one chunk worker, kept from chunk to chunk.  Lives in the worker; no lock.
class BatchSizer {
 public:
  // REQUIRES: first_width >= 1, target_ms > 0.
  BatchSizer(std::int64_t first_width, double target_ms) : width_(first_width), target_ms_(target_ms) {}

  // Width of the next batch where remaining is left of the chunk.  A remainder that would leave less than
  // half a batch over is taken along, so that no chunk ends in a sliver.  At least 1, at most remaining.
  // REQUIRES: remaining >= 1.
  std::int64_t width_for(std::int64_t remaining) const;

  // A batch of width took actual_ms.  One that its chunk's end cut short does not shrink the next.
  void record(std::int64_t width, double actual_ms);

  // A batch failed or was cut off by a timeout: try again much narrower.
  void record_failure();

  std::int64_t width() const { return width_; }

 private:
  std::int64_t width_;
  double target_ms_;
};

}  // namespace backfill
