// What the database says of its load, against the limits of a job's throttle.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "core/lag.hpp"

namespace backfill {

// A signal beyond its limit.
struct Excess {
  std::string signal;  // the key of the spec
  std::string reason;  // for people: "4 active sessions, limit 2"
};

// Lives in the coordinator: how far standbys are behind is told by what was seen before.
class Signals {
 public:
  // Measures the signals that have limits, in the current transaction.  Takes no lock on anybody's table.
  std::vector<Excess> look(const Job &job);

 private:
  void look_at_replicas(const Throttle &throttle, std::vector<Excess> &out);
  LagClock wal_;
};

// Why the job may not work now by its windows: "its window, opens at 2026-11-21 22:00 Europe/Berlin"; nullopt when it may.
std::optional<std::string> closed_window(const Job &job);

}  // namespace backfill
