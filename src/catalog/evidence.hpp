// backfill.evidence and backfill.waiver: what checks found, and who answered for it.
//
// Evidence is append-only; a new audit (job.audit + 1) makes that of older ones history, and their waivers void.
// Every function runs its statements as the extension, in the current transaction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"

namespace backfill {

// A row of backfill.evidence as it is written.
struct Evidence {
  std::string check, scope = "run";  // scope: run, chunk or pre
  std::optional<int> chunk;
  std::string severity = "error", outcome;
  std::string expected, actual, detail, sql;  // "" is stored as null
  std::optional<double> measured;
  std::optional<std::string> checked_at;  // of the snapshot; null: now
};
void insert_evidence(const Job &job, const Evidence &evidence);

// Begins the next audit: all check steps are pending again.  Returns its number.
int next_audit(int job);

// How a check stands in the job's newest audit.
struct CheckStanding {
  std::string check;
  std::string outcome;  // the worst in that audit: error fail warn pass skipped; "" when it has not run
  bool waived = false;
};
std::vector<CheckStanding> check_standings(int job);

// The newest audit counted as many rows in scope as live has (row_count_delta measured 0).  Its word does not hold for
// rows written since then that the transform yields nothing for.
bool audit_counted_every_row(int job);

void insert_waiver(const Job &job, const std::string &check, const std::string &reason, const std::string &by);

}  // namespace backfill
