// What must hold before a swap is tried at all, looked at without locks, so that a refusal costs nobody anything.
#pragma once

#include <vector>

#include "catalog/job.hpp"
#include "publish/swap.hpp"

namespace backfill {

// 25001 unless the transaction is READ COMMITTED: an older snapshot would not see what is to be drained.  25006 where it
// is read-only.
void require_read_committed(const std::string &function);

// State, checks, shape, dependents, capture, names.  Each raises 55000 (42P07 for a name that is taken), with what is
// wrong in the detail and what to do in the hint.
void require_publishable(const Job &job);
void require_undoable(const Job &job);

// The same for rows that are written where they are; each is asked again once DDL on the table is shut out.
void require_writable(const Job &job);
void require_written_undoable(const Job &job);
void require_free_archive_name(const Job &job);

// Dependents that came or went since they were recorded and move by themselves are recorded anew, with an event.
// REQUIRES: the checks above; nobody can bind anything to the table but a view or a function.
void take_in_dependents(const Job &job);

// Once more under lock: whatever may have changed between looking and locking.  Takes no lock.
void require_unchanged(const Swap &swap);

// Waits until no session is left that would find the new version empty or stale; raises 55000 naming those that are in
// the way at once (old_snapshots: refuse), or when give_up_after has passed.
void await_old_snapshots(const std::vector<Job> &jobs);

}  // namespace backfill
