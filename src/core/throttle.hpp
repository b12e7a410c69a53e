// What holds a job back, as the spec says it: two rates, signals of the database's load, and windows of time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/node.hpp"
#include "core/window.hpp"

namespace backfill {

struct Throttle {
  std::int64_t rows_per_second = 0;  // 0: no limit
  std::int64_t wal_per_second = 0;   // bytes; 0: no limit
  // The job is held while the measure is beyond the limit; 0 or nothing: no limit.
  std::int64_t replica_lag = 0;                 // ms
  std::optional<std::int64_t> active_sessions;  // of other clients
  std::int64_t slot_retained = 0;               // bytes
  std::int64_t free_disk = 0;                   // bytes at least ...
  double free_disk_percent = 0;                 // ... or a share of the file system
  std::int64_t oldest_snapshot = 0;             // ms
  std::vector<Window> windows;                  // none: at any time

  bool has_signals() const;
  bool empty() const { return rows_per_second == 0 && wal_per_second == 0 && !has_signals() && windows.empty(); }
};

// Reads the section `throttle` of a spec; null entries are no limits.  Errors: 22023 naming the path.
Throttle read_throttle(const Node &section);

// The section with `fragment` laid over it; what is null there is taken out.
Node lay_over_throttle(Node section, const Node &fragment);

// For people, a line each: "at most 1,000 rows a second"; none where nothing is limited.  zone: of the windows.
std::vector<std::string> describe(const Throttle &throttle, const std::string &zone);

// The seconds that the rates alone allow for so many rows and bytes of WAL at least.
double least_seconds(const Throttle &throttle, double rows, double wal_bytes);

// The bytes that the section wants free of a file system of so many; 0: none.
double wanted_free(const Throttle &throttle, std::int64_t total);

// Every entry of the section in which two differ: "rows_per_second from none to 1000".
std::vector<std::string> differences(const Node &before, const Node &after);

}  // namespace backfill
