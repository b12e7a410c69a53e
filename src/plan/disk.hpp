// Where a version of a table stands on the server's disks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

// A tablespace that a table or one of its indexes is in, and what they take there now where that was measured.
struct Place {
  pg::Oid tablespace = 0;
  std::string name;
  std::int64_t bytes = 0;
};
// Without sizes and without a lock, so that no look at the load queues behind a user of the table.
std::vector<Place> places_of(pg::Oid table);

// Warnings where the disks have not what the new version is expected to need (needed bytes in all), or would go below the
// limit of throttle.free_disk; where a disk of pg_wal alone has not what is expected to be written of WAL.
std::vector<std::string> disk_warnings(pg::Oid table, std::int64_t needed, std::int64_t wal, const Throttle &throttle);

}  // namespace backfill
