// A token bucket that several processes share, in one word: the moment until which what was taken is paid for.
//
// Whoever takes moves that moment on by amount / rate and waits until it has come.  So the rate holds for all takers
// together, they go on in the order in which they took, and nobody holds anything that he could fail to give back.
// Idle time is credit, but for no more than bucket_holds.
#pragma once

#include <atomic>
#include <cstdint>

namespace backfill {

inline constexpr std::int64_t bucket_holds = 1'000'000;  // µs of its rate

// Lives in memory shared by processes; all zero bytes are a full bucket.  Times are µs of one clock.
class Bucket {
 public:
  // Takes amount at rate per second; returns the moment to wait for, at most a day away.  REQUIRES: rate > 0.
  std::int64_t take(std::int64_t amount, std::int64_t rate, std::int64_t now);

  // µs of what was taken that are not paid for yet; 0: something is left.
  std::int64_t debt(std::int64_t now) const;

  // Neither credit nor debt.
  void reset(std::int64_t now) { paid_until_.store(now); }

 private:
  std::atomic<std::int64_t> paid_until_{0};
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "processes share it");

}  // namespace backfill
