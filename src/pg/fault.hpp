// Fault points: names at every change of state where a test can have the process fail (make TESTING=1).  In a release
// build they are nothing at all.
//
// The setting backfill.fault (superuser; a session's own, or of the server for the workers) says what happens where:
//
//   POINT:ACTION[:ARGUMENT][#ONCE]
//
//   error      raises the SQLSTATE of the argument (XX000)
//   crash      SIGKILL to itself, which makes the server restart all its processes
//   terminate  as pg_terminate_backend would
//   stop       an immediate stop of the server
//   sleep      for so many milliseconds, on the latch
//   wait       until the advisory lock of that number is free
//
// With ONCE, a word, it happens once in the life of a data directory, restarts included: a file backfill_fault.ONCE is
// left there, by which a test knows that the point was met.
//
// The name of a point is its two parts joined by an underscore: what is done, and how far it is.
#pragma once

#ifdef BACKFILL_TESTING

#include <string_view>

namespace backfill {

// Raises what the setting says, or does not return, or returns.
void fault(std::string_view what, std::string_view how_far);

// Sets the points WHAT_before_commit and WHAT_after_commit at the end of the current transaction.  An error at the latter
// is not raised: nothing can fail after commit.
void fault_at_commit(std::string_view what);

namespace pg {
void define_fault_setting();
}

}  // namespace backfill

#else

namespace backfill {

template <typename What, typename HowFar>
constexpr void fault(const What &, const HowFar &) noexcept {}
template <typename What>
constexpr void fault_at_commit(const What &) noexcept {}

}  // namespace backfill

#endif
