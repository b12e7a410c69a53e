// What the server's disks have left: SQL does not tell.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "pg/spi.hpp"

namespace backfill::pg {

struct DiskSpace {
  std::uint64_t device = 0;  // file systems differ in it
  std::int64_t free = 0;     // bytes that the server may still write
  std::int64_t total = 0;
};

// The file system of a tablespace (pg_default and pg_global: of the data directory), or of pg_wal.  Raises 58030.
DiskSpace tablespace_disk(Oid tablespace);
DiskSpace wal_disk();
std::int64_t wal_segment_bytes();

// What disk() tells; nullopt where it raises: for whom a disk that does not tell is no reason to fail.
template <typename Fn>
std::optional<DiskSpace> space_if_told(Fn disk) {
  try {
    return disk();
  } catch (const Error &) {
    return std::nullopt;
  }
}

}  // namespace backfill::pg
