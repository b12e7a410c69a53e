// Capture: which keys of live changed since when.
//
// One C trigger function, AFTER ROW, ENABLE ALWAYS, writes the key columns of OLD and NEW (both where they differ) into
// the heap of the log, in the writer's transaction: no SPI, no index, no sequence, no privilege of the writer.  An AFTER
// TRUNCATE trigger leaves a marker.
#pragma once

#include <cstdint>
#include <string>

#include "catalog/job.hpp"

namespace backfill {

// Creates the capture log (base types of the key columns, op, and cols, for carried.hpp), stores its OID in the job and returns it.
Oid create_log(const Job &job);
// Installs the capture triggers on live; when it returns no older writer is in flight.
// Locks: SHARE ROW EXCLUSIVE on live, waited for at most lock_timeout (55P03: the caller retries).
void install_capture(const Job &job);
// The triggers are there, enabled ALWAYS, and point to this job's log; and nobody has altered them since they were
// installed, not even back and forth: what was written in between is not in the log.
bool capture_intact(const Job &job);

// VACUUM FULL and CLUSTER move rows between blocks, of which no trigger tells; the file of the table does.  It is noted
// when capture is installed, and anew when the copy has to begin again.
void note_file(const Job &job);
bool was_rewritten(const Job &job);  // live has another file than the one noted, as TRUNCATE gives it one too
// A new file, and columns altered: ALTER COLUMN … TYPE … USING may have changed every value, also where the type is the
// same.  VACUUM FULL alone changes none.
bool was_altered(const Job &job);
bool truncate_logged(const Job &job);

void remove_capture(const Job &job, Oid table);  // drops the job's capture triggers; caller holds ACCESS EXCLUSIVE

// The same for the way back: on the new live after publish; logs which columns each UPDATE changed.
Oid create_reverse_log(const Job &job);
void install_reverse_capture(const Job &job);
// Both logs belong to it.
bool reverse_capture_intact(const Job &job);
// A guard on the archive that raises 55000 on any write but our own drain's.
void install_guard(const Job &job);
void remove_guard(const Job &job);

// Rows waiting in the log of the job's present direction.
std::int64_t pending_keys(const Job &job);
bool has_pending_keys(const Job &job);

}  // namespace backfill
