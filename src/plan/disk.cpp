// Tablespaces on one file system share what is free there.  What is needed is divided as the table and its indexes are now.
#include "plan/disk.hpp"

#include <map>
#include <optional>

#include "core/error.hpp"
#include "core/units.hpp"
#include "pg/disk.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

struct Disk {
  pg::DiskSpace space;
  std::string names;
  std::int64_t bytes = 0;
};

std::vector<Disk> disks_of(const std::vector<Place> &places) {
  std::map<std::uint64_t, Disk> disks;
  for (const Place &place : places) {
    std::optional<pg::DiskSpace> const space = pg::space_if_told([&] { return pg::tablespace_disk(place.tablespace); });
    if (!space) continue;
    Disk &disk = disks[space->device];
    disk.space = *space;
    disk.names += (disk.names.empty() ? "" : ", ") + place.name;
    disk.bytes += place.bytes;
  }
  std::vector<Disk> out;
  for (auto &[device, disk] : disks) out.push_back(std::move(disk));
  return out;
}

// WAL that shares no disk with the table is not part of what the new version needs there.
std::optional<std::string> wal_warning(std::int64_t wal, const std::vector<Disk> &disks) {
  std::optional<pg::DiskSpace> const space = pg::space_if_told(pg::wal_disk);
  if (!space || wal <= space->free) return std::nullopt;
  for (const Disk &disk : disks)
    if (disk.space.device == space->device) return std::nullopt;
  return "The run writes ≈ " + format_bytes(wal) + " of WAL, and the disk of pg_wal has " + format_bytes(space->free) +
         " free: it waits while too little is left. Checkpoints make room; slots and a failing archive_command do not.";
}

// measured: with sizes, which takes ACCESS SHARE on the table and its indexes for a moment.
std::vector<Place> find_places(pg::Oid table, bool measured) {
  return pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT s.oid, s.spcname, sum(r.bytes)::bigint AS bytes FROM pg_database d CROSS JOIN LATERAL ("
        "  SELECT c.reltablespace AS place, CASE WHEN $2 THEN pg_table_size(c.oid) ELSE 0 END AS bytes FROM pg_class c "
        "WHERE c.oid = $1"
        "  UNION ALL SELECT c.reltablespace, CASE WHEN $2 THEN pg_relation_size(c.oid) ELSE 0 END FROM pg_index i"
        "   JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1) AS r JOIN pg_tablespace s ON s.oid = "
        "coalesce(nullif(r.place, 0), "
        "d.dattablespace) WHERE d.datname = current_database() GROUP BY s.oid, s.spcname ORDER BY s.spcname",
        {pg::Param::oid(table), measured});
    std::vector<Place> places;
    for (const pg::Row &row : found) places.push_back({row.oid("oid"), row.text("spcname"), row.integer("bytes")});
    return places;
  });
}

}  // namespace

std::vector<Place> places_of(pg::Oid table) { return find_places(table, false); }

std::vector<std::string> disk_warnings(pg::Oid table, std::int64_t needed, std::int64_t wal, const Throttle &throttle) {
  std::vector<Place> const places = find_places(table, true);
  double total = 0;
  for (const Place &place : places) total += static_cast<double>(place.bytes);
  std::vector<std::string> warnings;
  std::vector<Disk> const disks = disks_of(places);
  for (const Disk &disk : disks) {
    double const share = total > 0 ? static_cast<double>(disk.bytes) / total : 1.0 / static_cast<double>(places.size());
    auto const wanted = static_cast<std::int64_t>(static_cast<double>(needed) * share);
    std::string const where = "of the disk of tablespace " + disk.names;
    if (wanted > disk.space.free)
      warnings.push_back("The new version needs ≈ " + format_bytes(wanted) + " " + where + ", where " +
                         format_bytes(disk.space.free) + " are free.");
    else if (static_cast<double>(disk.space.free - wanted) < wanted_free(throttle, disk.space.total))
      warnings.push_back("With the new version less than throttle.free_disk would be left " + where +
                         ": the run will wait until there is more.");
  }
  if (std::optional<std::string> const warning = wal_warning(wal, disks)) warnings.push_back(*warning);
  return warnings;
}

}  // namespace backfill
