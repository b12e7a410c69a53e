// The launcher keeps the jobs of the databases in backfill.databases going: after a restart or crash of the server, after
// a promotion, after a coordinator's death.  See launcher.cpp; the library must be in shared_preload_libraries.
#pragma once

namespace backfill {

// Waits and visits until the server ends it.
void launch_visits();

// One visit, in a worker connected to the database: does what backfill_maintain() does, and reports.
void visit();

}  // namespace backfill
