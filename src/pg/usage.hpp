// What this process has used so far.
#pragma once

#include <cstdint>

namespace backfill::pg {

// Bytes of WAL written by this process and by parallel workers that have ended; not what other sessions write.
std::int64_t wal_written();

}  // namespace backfill::pg
