// A server process stands in the data directory: paths are relative to it, and links are followed.
#include "pg/disk.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "pg/guard.hpp"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_tablespace_d.h"
}

namespace backfill::pg {

namespace {

DiskSpace disk_of(const std::string &path) {
  struct statvfs space;
  struct stat place;
  if (statvfs(path.c_str(), &space) != 0 || stat(path.c_str(), &place) != 0)
    throw Error("58030", "could not tell the free space of \"" + path + "\"", "It is looked for in the data directory.",
                "Look at the tablespace's directory on the server.");
  auto const block = static_cast<std::int64_t>(space.f_frsize);
  return {static_cast<std::uint64_t>(place.st_dev), static_cast<std::int64_t>(space.f_bavail) * block,
          static_cast<std::int64_t>(space.f_blocks) * block};
}

}  // namespace

DiskSpace tablespace_disk(Oid tablespace) {
  bool const own = tablespace == DEFAULTTABLESPACE_OID || tablespace == GLOBALTABLESPACE_OID;
  return disk_of(own ? "base" : "pg_tblspc/" + std::to_string(tablespace));
}

DiskSpace wal_disk() { return disk_of("pg_wal"); }
std::int64_t wal_segment_bytes() { return wal_segment_size; }

}  // namespace backfill::pg
