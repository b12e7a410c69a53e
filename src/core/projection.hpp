// What a few chunks, built apart, say about the whole job: arithmetic only.
//
// Nothing here is known better than the sample knows it, so every figure is a range: from the best of what was measured to the
// worst, widened by what a sample cannot see (other load, sorts that no longer fit into memory, workers in each other's way).
#pragma once

#include <cstddef>
#include <vector>

namespace backfill {

struct Span {
  double low = 0, high = 0;
};

// Which n of the weights, spread over their sum: the first, the last and what lies evenly between (n = 1: the middle).
// Ascending, no index twice; all where n >= weights.size().  Weights below 1 count as 1.
std::vector<std::size_t> spread(const std::vector<double> &weights, std::size_t n);

// One chunk that was copied.
struct SampledChunk {
  double units = 0;      // what its time is in proportion to: rows of a range, blocks of a stretch of blocks
  double estimated = 0;  // rows, by the plan
  double rows = 0;       // rows written
  double seconds = 0;
};

// Chunks of one kind: those that were copied, and what they stand for.
struct SampledPart {
  std::vector<SampledChunk> chunks;
  double bytes = 0, wal = 0;    // of the rows written, without indexes
  double check_seconds = 0;     // of checks that read all of them
  double whole_chunks = 0;      // of the job
  double whole_rows = 0;        // by the plan
  double whole_units = 0;       // blocks; 0: units are rows, so whole_rows
  bool rows_by_chunks = false;  // the plan knows nothing of rows: as many a chunk as in the sample

  double rows() const;
  double seconds() const;
};

struct SampledIndex {
  bool first = false;  // built before the others, which are built at once: the key's
  double seconds = 0, bytes = 0, wal = 0;
};

struct Sample {
  SampledPart computed, verbatim;
  std::vector<SampledIndex> indexes;  // over the rows computed
  int parallelism = 1;
};

struct Projection {
  Span rows, copy_seconds, build_seconds, check_seconds, seconds, disk_bytes, wal_bytes;
};

// REQUIRES: parallelism >= 1.
Projection project(const Sample &sample);

// n workers at it: as good as n at best, each but the first worth 40 % at worst.  Never more than there are tasks.
Span speedup(int parallelism, double tasks);

// How much longer sorting takes for `to` things than for `from`: n log n.  1 where there is nothing to compare.
double sort_growth(double from, double to);

}  // namespace backfill
