// backfill_sample: a dry run on a few chunks, of which nothing stays but an event.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace backfill {

// Builds `chunks` chunks of the job (spread over its scope, always the same ones) into a table of their own as the run
// would, with indexes; runs the checks that chunks can answer, compares with live, measures, projects the whole, and drops
// everything.  Returns lines to read, the next command last.  Works in the caller's session and ends with it.
// Errors: 42704, 42501, 25006 on a standby, 55000 unless planned, paused, failed or ready, or the table has changed since
// the plan, 22023 chunks < 1, and whatever the transform or the table's constraints raise, with the chunk named.
// Locks: ACCESS SHARE on the target and what the transform reads.
std::vector<std::string> sample_backfill(const std::string &name, std::int64_t chunks);

}  // namespace backfill
