// What only tests call (make TESTING=1): one check run in the caller's transaction, whose own writes wait in the log.
#ifdef BACKFILL_TESTING

#include "audit/audit.hpp"
#include "pg/function.hpp"

using namespace backfill;

BACKFILL_FUNCTION(audit_run_check) {
  Job const job = job_for_caller(call.text_argument(0));
  std::string const name = call.text_argument(1);
  for (const Step &step : load_steps(job.id, "check"))
    if (parse_document(step.params).find("name")->text() == name) {
      Verdict const verdict = run_check(job, step);
      return call.text(verdict.outcome + ": " + verdict.detail);
    }
  return call.null_result();
}

#endif
