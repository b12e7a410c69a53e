// From a scope to chunks: sub-ranges of the chunk column, and blocks for the rows they do not hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/spec.hpp"
#include "plan/target.hpp"

namespace backfill {

inline constexpr int chunk_limit = 100000;

// The scope with its boundaries as typed values; canonical text in the scope's time zone.
struct FrozenScope {
  std::optional<Column> column;  // none: the whole table
  std::optional<std::string> start, stop;
  double start_ordinal = 0, stop_ordinal = 0;  // seconds of the epoch, or the key itself
  std::string time_zone;
  bool bounded() const { return start.has_value(); }
  bool calendar() const;  // date, timestamp, timestamptz
};

struct Chunk {
  bool blocks = false;  // else a range
  std::string lo;
  std::optional<std::string> hi;  // blocks: nullopt is the open end
  bool whole = false;             // blocks: rows in scope pass through the transform as well
  double rows = 0;
};

struct ChunkPlan {
  std::vector<Chunk> chunks;         // in the order of work
  std::vector<std::string> exclude;  // pairs lo, hi: merged, ascending, within the scope
  std::string by;                    // "month", "6 hours", "100000 keys", "blocks"
  bool chosen = false;               // `by` was our choice
  int ranges = 0;
  double rows_in_scope = 0, rows_verbatim = 0;
  std::vector<std::string> warnings;  // sentences
};

// Types the boundaries.  22023 unknown zone, start not before stop, infinite; 42804 chunk column of another type;
// 42703 unknown column; the type's own SQLSTATE for a value it does not take, naming the path.
FrozenScope freeze_scope(const Target &target, const Spec &spec);

// whole: chunks for every row of the table; else ranges for those in scope only (REQUIRES: bounded, not by blocks).
// 22023 for a width that does not go with the column, 54000 for more than chunk_limit chunks.
ChunkPlan plan_chunks(const Target &target, const FrozenScope &scope, const Spec &spec, bool whole);

}  // namespace backfill
