#include "pg/usage.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "executor/instrument.h"
}

namespace backfill::pg {

std::int64_t wal_written() { return static_cast<std::int64_t>(pgWalUsage.wal_bytes); }

}  // namespace backfill::pg
