// The SQL-callable functions, one line of work each.  src/sql/functions.sql declares and documents them.
#include "audit/audit.hpp"
#include "audit/diff.hpp"
#include "catalog/job.hpp"
#include "pg/function.hpp"
#include "pg/matview.hpp"
#include "plan/arguments.hpp"
#include "plan/plan.hpp"
#include "publish/movers.hpp"
#include "publish/publish.hpp"
#include "publish/way_back.hpp"
#include "report/provenance.hpp"
#include "report/report.hpp"
#include "report/runbook.hpp"
#include "run/control.hpp"
#include "run/notifier.hpp"
#include "run/sample.hpp"

using namespace backfill;

static std::vector<std::string> plan(const Node &document) {
  return plan_backfill(document, {plan_pre_checks, plan_checks, plan_publish_steps});
}

BACKFILL_FUNCTION(backfill_plan) { return call.rows(plan(parse_document(call.text_argument(0)))); }

BACKFILL_FUNCTION(backfill_plan_named) { return call.rows(plan(document_of_arguments(call))); }

BACKFILL_FUNCTION(backfill_run) { return call.text(run_backfill(call.text_argument(0))); }

BACKFILL_FUNCTION(backfill_wait) {
  wait_for(call.text_argument(0), call.optional_text(1));
  return call.nothing();
}

BACKFILL_FUNCTION(backfill_pause) { return call.text(pause_backfill(call.text_argument(0))); }

BACKFILL_FUNCTION(backfill_cancel) { return call.text(cancel_backfill(call.text_argument(0))); }

BACKFILL_FUNCTION(backfill_retry) { return call.text(retry_chunk(call.text_argument(0), *call.optional_integer(1))); }

BACKFILL_FUNCTION(backfill_audit) { return call.text(audit_again(call.text_argument(0))); }

BACKFILL_FUNCTION(backfill_alter) {
  std::optional<std::vector<std::string>> windows;
  if (!call.null(4)) windows = call.text_array(4);
  return call.text(alter_backfill(call.text_argument(0), call.optional_integer(1), call.optional_text(2),
                                  call.optional_text(3), windows, call.optional_text(5)));
}

BACKFILL_FUNCTION(backfill_maintain) { return call.text(maintain()); }

BACKFILL_FUNCTION(backfill_publish) { return call.text(publish_named(call.text_array(0))); }

BACKFILL_FUNCTION(backfill_rollback) {
  return call.text(roll_back(job_for_caller(call.text_argument(0)), call.text_array(1)));
}

BACKFILL_FUNCTION(backfill_finish) { return call.text(finish_job(job_for_caller(call.text_argument(0)))); }

BACKFILL_FUNCTION(backfill_redeliver) { return call.text(redeliver(call.text_argument(0))); }

BACKFILL_FUNCTION(backfill_waive) {
  std::string const check = call.text_argument(1);
  waive_check(job_for_caller(call.text_argument(0), true), check, call.text_argument(2));
  return call.text("check " + check + " is waived until the next audit");
}

BACKFILL_FUNCTION(backfill_sample) {
  return call.rows(sample_backfill(call.text_argument(0), *call.optional_integer(1)));
}

BACKFILL_FUNCTION(backfill_diff) {
  return call.rows(diff(call.text_argument(0), call.optional_integer(1), call.optional_integer(2).value_or(5)));
}

BACKFILL_FUNCTION(backfill_report) { return call.text(report_backfill(call.text_argument(0), call.text_argument(1))); }

BACKFILL_FUNCTION(backfill_provenance) {
  return call.table(provenance_of(call.text_argument(0), call.text_argument(1)));
}

BACKFILL_FUNCTION(backfill_runbook) { return call.text(runbook_of_backfill(call.text_argument(0))); }

// For the view backfill.jobs.
BACKFILL_FUNCTION(backfill_pending_keys) {
  std::optional<std::int64_t> const count = visible_pending_keys(static_cast<int>(*call.optional_integer(0)));
  return count ? call.integer(*count) : call.null_result();
}

// For the statements of a swap.
BACKFILL_FUNCTION(backfill_retire_key) {
  retire_foreign_key(static_cast<pg::Oid>(std::stoul(call.text_argument(0))));
  return call.nothing();
}

// For the view backfill.way_back.
BACKFILL_FUNCTION(backfill_look_back) { return call.table(look_back(static_cast<int>(*call.optional_integer(0)))); }

// For the swap: a statement of the movers.
BACKFILL_FUNCTION(backfill_replace_query) {
  pg::replace_query(static_cast<pg::Oid>(*call.optional_integer(0)), call.text_argument(1));
  return call.nothing();
}
