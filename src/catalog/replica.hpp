// backfill.replica: the mark that a replica must show before it is read, and where chunks are read.
//
// Every function runs its statements as the extension, in the current transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/step.hpp"

namespace backfill {

struct ReplicaState {
  std::string mark;
  std::string marked_at;             // for people
  std::optional<std::string> reads;  // "replica", "primary"
  std::optional<std::string> problem;
  std::int64_t trouble_ms = 0;  // for how long it has had one
  bool on_primary = false;      // reads stay here for a while
  std::string read_from;        // of the spec, as it is by now
};

// Makes the mark where there is none.  It counts when this transaction has committed.
ReplicaState replica_state(int job);

// The next copy needs a new one: the log was emptied, and with it goes what a replica behind that moment would need.
void forget_replica(int job);

void note_replica_trouble(int job, const std::string &problem);
void stay_on_primary(int job, std::int64_t milliseconds);
// False when that was so before.
bool note_reads(int job, const std::string &where);

// Why a running step does not go on; nullopt: it does.
void set_step_waiting(const Step &step, const std::optional<std::string> &why);

// What this server tells of itself, for comparison.
struct ServerFacts {
  std::string system_identifier, lsn;  // lsn: on disk, so that a replica can have it
  std::int64_t timeline = 0, major = 0;
};
ServerFacts this_server();

}  // namespace backfill
