// What only tests call (make TESTING=1): the steps of a job one at a time, each in the caller's transaction, so that an
// isolation spec can put writers between any two of them.  test/modules/backfill_steps--1.0.sql declares the functions.
//
// They are thin calls of what the workers call.  A transaction of REPEATABLE READ gives a copy the snapshot it began
// with, like a chunk whose SELECT takes long.
#ifdef BACKFILL_TESTING

#include "capture/capture.hpp"
#include "capture/drain.hpp"
#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/batch_copy.hpp"
#include "copy/shadow.hpp"
#include "copy/transform.hpp"
#include "core/error.hpp"
#include "core/sql_text.hpp"
#include "pg/function.hpp"
#include "pg/lock.hpp"
#include "pg/role.hpp"

using namespace backfill;

namespace {

Job job_of(pg::Call &call) { return job_for_caller(call.text_argument(0)); }

Step chunk_of(const Job &job, std::int64_t number) {
  for (const char *kind : {"range", "blocks"})
    for (const Step &step : load_steps(job.id, kind))
      if (step.chunk == number) return step;
  throw Error(sqlstate::undefined_object, "there is no chunk " + std::to_string(number));
}

std::string describe(const DrainResult &result) {
  return std::to_string(result.taken) + " taken, " + std::to_string(result.keys) + " keys" +
         (result.truncated ? ", truncated" : "");
}

// Rows of one query that the other does not yield, as text.
std::vector<std::string> rows_without(const std::string &word, const std::string &these, const std::string &those) {
  std::vector<std::string> lines;
  for (const pg::Row row : pg::execute("SELECT row::text AS line FROM (" + these +
                                       ") AS row EXCEPT ALL SELECT row::text FROM (" + those + ") AS row ORDER BY 1"))
    lines.push_back(word + " " + row.text("line"));
  return lines;
}

}  // namespace

BACKFILL_FUNCTION(steps_shadow) {
  create_shadow(job_of(call));
  return call.nothing();
}

BACKFILL_FUNCTION(steps_capture) {
  Job job = job_of(call);
  if (job.capture_log == 0) job.capture_log = create_log(job);
  install_capture(job);
  return call.nothing();
}

BACKFILL_FUNCTION(steps_capture_intact) { return call.boolean(capture_intact(job_of(call))); }

// What a worker does to get a step; the step's number.
BACKFILL_FUNCTION(steps_claim) {
  Job const job = job_of(call);
  std::optional<int> const stage = open_stage(job.id);
  if (!stage) return call.nothing();
  std::optional<Step> const step = claim_step(job.id, *stage);
  return step ? call.integer(step->id) : call.nothing();
}

BACKFILL_FUNCTION(steps_copy) {
  Job const job = job_of(call);
  Step const chunk = chunk_of(job, *call.optional_integer(1));
  return call.integer(copy_batch(job, read_shape(job), chunk, *chunk.lo, chunk.hi));
}

BACKFILL_FUNCTION(steps_replace) {
  Job const job = job_of(call);
  pg::lock_job(job.id, pg::JobLock::drain);
  return call.integer(replace_chunk(job, read_shape(job), chunk_of(job, *call.optional_integer(1))));
}

BACKFILL_FUNCTION(steps_purge) {
  Job const job = job_of(call);
  pg::lock_job(job.id, pg::JobLock::drain);
  return call.text(describe(purge_logged_keys(job, read_shape(job))));
}

BACKFILL_FUNCTION(steps_build) {
  Job const job = job_of(call);
  for (const pg::Row row : pg::as_extension([&] {
         return pg::execute(
             "SELECT indexrelid FROM pg_index WHERE indrelid = $1 ORDER BY indisprimary DESC, indexrelid",
             {pg::Param::oid(job.live)});
       }))
    build_index(job, row.oid("indexrelid"));
  return call.nothing();
}

BACKFILL_FUNCTION(steps_drain) {
  Job const job = job_of(call);
  pg::lock_job(job.id, pg::JobLock::drain);
  return call.text(describe(drain_batch(job, read_shape(job), *call.optional_integer(1))));
}

// What publish does to capture, when the tables have their new names.
BACKFILL_FUNCTION(steps_turn) {
  remove_capture(job_of(call), job_of(call).archive);
  create_reverse_log(job_of(call));
  install_reverse_capture(job_of(call));
  install_guard(job_of(call));
  return call.boolean(reverse_capture_intact(job_of(call)));
}

BACKFILL_FUNCTION(steps_drain_reverse) {
  Job const job = job_of(call);
  pg::lock_job(job.id, pg::JobLock::drain);
  return call.text(describe(drain_reverse(job, read_shape(job), *call.optional_integer(1))));
}

BACKFILL_FUNCTION(steps_pending) { return call.integer(pending_keys(job_of(call))); }

// Nothing, where the shadow is the transform of live; else what it lacks and what it has too much.
BACKFILL_FUNCTION(steps_compare) {
  Job const job = job_of(call);
  TableShape const shape = read_shape(job);
  std::string columns;
  for (const std::string &column : shadow_columns(shape))
    columns += (columns.empty() ? "" : ", ") + quote_ident(column);
  std::string const shadow = "SELECT " + columns + " FROM " + qualified(shape.schema, job.shadow_name);
  std::string const right = whole_image(job, shape, true, true);
  return as_job_owner(job, [&] {
    std::vector<std::string> lines = rows_without("lost", right, shadow);
    for (std::string &line : rows_without("extra", shadow, right)) lines.push_back(std::move(line));
    if (lines.empty()) lines.push_back("equal");
    return call.rows(lines);
  });
}

#endif
