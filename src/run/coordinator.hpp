// The coordinator: one background worker a job.
//
//   attach            take the job's life lock: that lock is liveness; whoever comes second leaves
//   begin             where coordinators before it died early, wait (run/upkeep.hpp)
//   while running     stage by stage: launch chunk workers for stages of many steps, run the others itself;
//                     steps of dead workers are taken back; when a stage can get no further, the job fails
//   while ready       drain what is captured
//   while published   run the steps after publish, keep the archive in step, end its retention
//   otherwise         leave
//
// It holds no snapshot and no relation lock between steps.  While there is nothing to do but to drain, it leaves for
// whoever wants the database to himself, and comes back if the database does.
#pragma once

namespace backfill {

// Registers a coordinator for the job with the server, and in the ledger, to start when the current transaction has ended.  Raises 53000
// when no worker slot is free.
void launch_coordinator(int job);

}  // namespace backfill
