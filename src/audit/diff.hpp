// What publishing would change, or has changed: figures and samples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace backfill {

// backfill_diff, as lines of text.  chunk: only that chunk's rows; samples: how many rows of each kind are shown.
// The figures of a whole scope are stored for reports.
// Errors: 42704, 42501 as job_for_caller; 22023 no such chunk, or one of blocks, or samples out of 0 to 100; 55000 when
// there is nothing to compare (yet), the columns are not those of the plan, or a TRUNCATE waits in the log.
// Locks: ACCESS SHARE on both versions.
std::vector<std::string> diff(const std::string &name, std::optional<std::int64_t> chunk, std::int64_t samples);

}  // namespace backfill
