// How far a standby is behind, in time, by its position alone.
//
// pg_stat_replication.replay_lag is null on an idle server and stands still while replay does.  So the positions of the
// WAL are noted as time goes by: a standby is behind by the age of the oldest one that it has not replayed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace backfill {

class LagClock {
 public:
  // The WAL ended at `position` at `now` (ms).  REQUIRES: neither goes back.
  void note(std::int64_t position, std::int64_t now);

  // ms since the WAL went beyond what was replayed; 0 for a standby that has it all.
  std::int64_t lag(std::int64_t replayed, std::int64_t now) const;

  // Positions up to there have been replayed by all: they need not be kept.
  void forget(std::int64_t replayed);

  // Notes at most.  Beyond it they are taken together in pairs: a lag may then be told too long, by a 2048th of the longest
  // one, and never too short.
  static constexpr std::size_t kept = 4096;

 private:
  struct Note {
    std::int64_t position, at;
  };
  void thin();

  std::vector<Note> notes_;   // ascending; only positions that differ, each with the first moment it was seen
  std::int64_t spacing_ = 0;  // ms between notes at least
};

}  // namespace backfill
