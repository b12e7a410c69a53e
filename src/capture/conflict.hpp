// A batch that meets a unique or exclusion violation goes again with the whole log.
//
// A value that moved from one row to another is there twice while only one of the two keys is drained.  Both changes are
// in the log that one snapshot sees (live itself never had the value twice), so with all of it there is no conflict; if
// there still is one, it is real, and is raised.
#pragma once

#include <cstdint>
#include <optional>

#include "capture/drain.hpp"
#include "core/error.hpp"
#include "pg/transaction.hpp"

namespace backfill {

// A value met twice: unique or exclusion violation.
inline bool is_conflict(const Error &failure) { return failure.sqlstate == "23505" || failure.sqlstate == "23P01"; }

// drain(limit): one batch of at most `limit` log rows, all that are visible where there is none.
template <typename Drain>
DrainResult retry_with_all(std::int64_t limit, Drain drain) {
  try {
    return pg::subtransaction([&] { return drain(std::optional<std::int64_t>(limit)); });
  } catch (const Error &failure) {
    if (!is_conflict(failure)) throw;
  }
  return drain(std::optional<std::int64_t>());
}

}  // namespace backfill
