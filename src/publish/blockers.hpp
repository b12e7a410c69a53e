// Who is in the way: holders of locks, of old snapshots, and prepared transactions, told without their queries.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"

namespace backfill {

// Other sessions and prepared transactions that hold a lock on the relation: "process 4711 (anna, idle in transaction
// for 12 s), prepared transaction "p1"".  "" when nobody does.
std::string lock_holders(Oid relation);

// Sessions of this database whose snapshot the new version would look wrong to: one from before the copy of any of the
// jobs had ended, or one kept open between statements (REPEATABLE READ, an open cursor); and prepared transactions that
// hold locks on the targets.  One description each.
std::vector<std::string> snapshot_holders(const std::vector<Job> &jobs);

}  // namespace backfill
