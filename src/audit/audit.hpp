// Audit: checks compare shadow and live; evidence is stored; publish asks here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// The checks of a job at plan time: the spec's, and the defaults (unique(key), row_count_delta in scope, exact out of
// scope, schema_match, the shrink guard, relationships of outgoing foreign keys).  Validates each one's parameters
// against the table (22023, 42703 naming the path).  One step each, phase audit (or prepare, for pre-checks).
std::vector<Step> plan_checks(const Job &job);
std::vector<Step> plan_pre_checks(const Job &job);

// Begins a new audit: number job.audit + 1; waivers of older ones are void.  All check steps become pending.
int begin_audit(const Job &job);

// Checks that the same pass over the rows would measure: pending check steps of the job, `step` left out.
std::vector<Step> companions_of(const Job &job, const Step &step);

// Runs a check step, or one and its companions, and stores their evidence under job.audit.  Never raises for a failing
// check or a check that cannot run (outcome error); raises only for interrupts and the like.  Runs the checks' SQL as the
// owner, in one snapshot, pending keys left out.
struct Verdict {
  std::string outcome;  // pass warn fail error skipped
  std::string detail;
};
std::vector<Verdict> run_checks(const Job &job, const std::vector<Step> &steps);
inline Verdict run_check(const Job &job, const Step &step) { return run_checks(job, {step})[0]; }

// Metrics of live and the new version side by side, into backfill.metric under job.audit; in one snapshot, as the owner.
// counts: check steps of counted_by_metrics(), which are judged by the rows counted with it, and their evidence stored.
std::vector<Verdict> collect_metrics(const Job &job, const std::vector<Step> &counts);
// Pending check steps that only ask how many rows both sides have in scope.
std::vector<Step> counted_by_metrics(const Job &job);

// What stands between the job and its publication: names of checks of the newest audit that failed or could not run and
// are not waived; empty when publish may go on.
std::vector<std::string> blocking_checks(const Job &job);

// The tables that hold rows at fault (store_failures).  They are dropped with what else the backfill made.
std::vector<Oid> failure_tables(int job);
void forget_failures(int job);

void waive_check(const Job &job, const std::string &check, const std::string &reason);

}  // namespace backfill
