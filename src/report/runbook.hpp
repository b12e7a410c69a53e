// The runbook of a job: what to type, what to check, whom to tell, how to go back, with its own names and ranges filled in.
#pragma once

#include <string>

namespace backfill {

// Markdown, at any state; it marks the step that is due.  Every block of SQL in it runs as printed, in psql, at the time
// written above it ("When ready:").  Everybody who may see the job may have it.
// Errors: 42704 unknown or not visible.  Reads the catalog and the ledger only; takes no lock on the tables.
std::string runbook_of_backfill(const std::string &name);

}  // namespace backfill
