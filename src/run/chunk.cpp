// Batches are measured by a Ruler: in blocks, or in units of the chunk column (days, microseconds, the integer itself).  It
// says how wide the chunk is and where a batch of some width ends, never beyond the chunk; BatchSizer's rule says how wide
// the next should be.  What was measured is kept for the worker's next chunk.
#include "run/chunk.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "catalog/delivery.hpp"
#include "copy/batch_copy.hpp"
#include "copy/replica_copy.hpp"
#include "copy/transform.hpp"
#include "core/batch.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/fault.hpp"
#include "pg/replica.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "pg/usage.hpp"
#include "pg/worker.hpp"
#include "run/read_source.hpp"
#include "run/throttle.hpp"

namespace backfill {

namespace {

constexpr double first_batch_rows = 20000;  // before anything is measured

// Rows per millisecond of this worker's last batches: the next chunk begins with a good guess.
double measured_rate = 0;
// Bytes of WAL a row of theirs.
double measured_wal = 0;

// The unit batches are counted in: blocks, days, microseconds, or the integer itself.
class Ruler {
 public:
  virtual ~Ruler() = default;
  virtual std::int64_t width(const Step &step) const = 0;  // of the whole chunk
  // Where a batch that begins at `from` and is `width` wide ends; never beyond the chunk.
  virtual std::string end(const Step &step, const std::string &from, std::int64_t width) const = 0;
};

class BlockRuler final : public Ruler {
 public:
  explicit BlockRuler(const Job &job) : blocks_(count_blocks(job)) {}
  std::int64_t width(const Step &step) const override { return std::max<std::int64_t>(1, stop(step) - start(step)); }
  std::string end(const Step &step, const std::string &from, std::int64_t width) const override {
    long long const next = std::stoll(from) + width;
    return std::to_string(std::max(std::stoll(from), std::min(next, stop(step))));
  }

 private:
  // Capture began before the copy: rows in blocks added since are in the log, so an open end is the end of now.
  static long long count_blocks(const Job &job) {
    return pg::as_extension([&] {
      return pg::query_integer("SELECT pg_relation_size($1::oid::regclass) / current_setting('block_size')::bigint",
                               {pg::Param::oid(job.live)});
    });
  }
  long long start(const Step &step) const { return std::stoll(*step.lo); }
  long long stop(const Step &step) const { return step.hi ? std::stoll(*step.hi) : std::max(blocks_, start(step)); }
  long long blocks_;
};

class ValueRuler final : public Ruler {
 public:
  explicit ValueRuler(const TableShape &shape) : type_(shape.chunk_type) {}
  std::int64_t width(const Step &step) const override {
    const char *const difference = type_ == "date"  ? "SELECT ($2::%s - $1::%s)::bigint"
                                   : is_timestamp() ? "SELECT (extract(epoch FROM $2::%s - $1::%s) * 1e6)::bigint"
                                                    : "SELECT $2::%s::numeric - $1::%s::numeric";
    return std::max<std::int64_t>(1, pg::query_integer(typed(difference), {*step.lo, *step.hi}));
  }
  std::string end(const Step &step, const std::string &from, std::int64_t width) const override {
    const char *const sum = is_timestamp()    ? "SELECT least($1::%s + least($2 / 1e6, extract(epoch FROM $3::%s - "
                                                "$1::%s)) * interval '1 s', $3::%s)::text"
                            : type_ == "date" ? "SELECT least($1::%s + least($2, $3::%s - $1::%s)::int, $3::%s)::text"
                                              : "SELECT least($1::numeric + $2, $3::numeric)::text";
    std::string const next = *pg::query_value(typed(sum), {from, width, *step.hi});
    return next == from ? *step.hi : next;
  }

 private:
  bool is_timestamp() const { return type_.rfind("timestamp", 0) == 0; }
  pg::Sql typed(std::string sql) const {
    for (auto at = sql.find("%s"); at != std::string::npos; at = sql.find("%s", at)) sql.replace(at, 2, type_);
    return pg::kept(std::move(sql));
  }
  std::string type_;
};

// What stays the same for all batches of a chunk.
struct ChunkRun {
  const Job &job;
  const Step &step;
  TableShape shape;
  std::unique_ptr<Ruler> ruler;
  std::int64_t width = 1;  // of the whole chunk
  bool splits = true;      // a query without grain is never cut inside a chunk
};

ChunkRun begin_chunk(const Job &job, const Step &step) {
  return pg::transaction([&] {
    ChunkRun run{job, step, read_shape(job), nullptr, 1, true};
    pg::as_extension([&] {
      if (step.kind == "blocks")
        run.ruler = std::make_unique<BlockRuler>(job);
      else
        run.ruler = std::make_unique<ValueRuler>(run.shape);
      pg::set_local("TimeZone", job.time_zone);
      run.width = run.ruler->width(step);
    });
    run.splits = step.kind == "blocks" || !job.spec.transform.is_query();
    return run;
  });
}

// The first batch: as many rows as the target time allows by what was measured, or a small number to measure with.
std::int64_t first_width(const ChunkRun &run) {
  if (!run.splits) return run.width;
  double const rows = std::max<double>(1, static_cast<double>(run.step.rows_estimated));
  double const wanted =
      measured_rate > 0 ? measured_rate * static_cast<double>(run.job.spec.strategy.batch_target) : first_batch_rows;
  double const share = std::min(1.0, wanted / rows);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(run.width) * share));
}

double target_seconds(const Job &job) { return static_cast<double>(job.spec.strategy.batch_target) / 1000; }

double wal_per_row(const Job &job) {
  if (measured_wal > 0) return measured_wal;
  return static_cast<double>(job.bytes_estimated) / std::max(1.0, static_cast<double>(job.rows_estimated));
}

// No batch is wider than the rates give within a second, by the rows of the last one and by those that were estimated: a
// wide batch after an empty stretch might meet many.  Nor is it a large part of a chunk of which nothing is known yet.
constexpr double trust = 4;
constexpr std::int64_t first_part = 16;

std::int64_t within_rates(const ChunkRun &run, std::int64_t width) {
  double const most = rows_at_once(wal_per_row(run.job), target_seconds(run.job));
  if (!run.splits || std::isinf(most)) return width;
  return limited_width(width, run.width, static_cast<double>(run.step.rows_estimated), most * trust);
}

std::int64_t first_within_rates(const ChunkRun &run) {
  double const most = rows_at_once(wal_per_row(run.job), target_seconds(run.job));
  std::int64_t const width = first_width(run);
  if (!run.splits || std::isinf(most)) return width;
  return limited_width(std::min(width, std::max<std::int64_t>(1, run.width / first_part)), run.width,
                       static_cast<double>(run.step.rows_estimated), most);
}

std::int64_t width_after(const ChunkRun &run, std::int64_t width, std::int64_t rows, double elapsed) {
  if (!run.splits) return width;
  std::int64_t const next =
      std::min(next_width(width, rows, elapsed, static_cast<double>(run.job.spec.strategy.batch_target)), run.width);
  double const most = rows_at_once(wal_per_row(run.job), target_seconds(run.job));
  return within_rates(run, limited_width(next, width, static_cast<double>(rows), most));
}

struct Batch {
  std::string end;
  std::int64_t rows;
  bool last, stopped;
};

std::int64_t copy_rows(const ChunkRun &run, const std::string &from, const std::string &end, bool from_replica) {
  return from_replica ? copy_batch_from_replica(run.job, run.shape, run.step, from, end)
                      : copy_batch(run.job, run.shape, run.step, from, end);
}

// A batch and its checkpoint, in one transaction.
Batch run_batch(const ChunkRun &run, const std::string &from, std::int64_t width, bool from_replica) {
  return pg::transaction([&]() -> Batch {
    if (!may_go_on(run.job.id)) {
      give_back_step(run.step);
      return {from, 0, false, true};
    }
    bool const blocks = run.step.kind == "blocks";
    std::string const end = pg::as_extension([&] {
      pg::set_local("TimeZone", run.job.time_zone);
      return run.ruler->end(run.step, from, width);
    });
    // Past the end of the table there is nothing to read.
    std::int64_t const rows = blocks && end == from ? 0 : copy_rows(run, from, end, from_replica);
    bool const last = blocks && !run.step.hi ? run.ruler->end(run.step, end, 1) == end : end == run.step.hi;
    fault("batch", "copied");
    checkpoint(run.step, end, rows);
    if (from_replica) add_to_param(run.step, "replica_rows", rows);
    if (last) finish_chunk(run.job, run.step);
    fault("batch", "checkpointed");
    return {end, rows, last, false};
  });
}

// nullopt: the replica failed, and nothing has happened.
std::optional<Batch> run_batch_at(ReadSource::Place place, ReadSource &source, const ChunkRun &run,
                                  const std::string &from, std::int64_t width) {
  if (place == ReadSource::Place::here) return run_batch(run, from, width, false);
  try {
    Batch const batch = run_batch(run, from, width, true);
    if (!batch.stopped) source.succeeded();
    return batch;
  } catch (const pg::ReplicaError &failure) {
    pg::set_statement_limit(0);
    source.failed(failure);
    return std::nullopt;
  }
}

void require_time_left(const ChunkRun &run, std::int64_t used) {
  if (used < run.job.spec.strategy.chunk_timeout) return;
  throw Error(sqlstate::query_canceled,
              "chunk " + std::to_string(run.step.chunk.value_or(0)) + " took longer than chunk_timeout",
              "The limit is " + format_duration(static_cast<double>(run.job.spec.strategy.chunk_timeout) / 1000) +
                  "; its finished batches are kept.",
              "Raise strategy.chunk_timeout, or make the chunks smaller.");
}

}  // namespace

bool may_go_on(int job) {
  return pg::as_extension([&] {
           return pg::query_boolean(
               pg::kept(
                   "SELECT EXISTS (SELECT FROM backfill.job WHERE id = $1 AND state = 'running' AND request IS NULL)"),
               {job});
         }) &&
         coordinator_lives(job);
}

void finish_chunk(const Job &job, const Step &chunk, std::optional<std::int64_t> rows) {
  finish_step(chunk, rows);
  tell_chunk(job, chunk);
}

bool run_chunk(const Job &job, const Step &step) {
  ChunkRun const run = begin_chunk(job, step);
  std::string from = step.done_to.value_or(*step.lo);
  std::int64_t width = first_within_rates(run);
  std::int64_t const started = pg::now_ms();
  ReadSource source(job, step);
  std::int64_t waited = 0;  // for the rates; the source counts what it waits
  for (;;) {
    look_at_load(job.id, step.stage);
    waited += await_turn(job, step);
    if (is_held(step.stage) || is_dismissed()) {
      pg::transaction([&] { give_back_step(step); });
      return false;
    }
    ReadSource::Place const place = source.choose();
    if (place == ReadSource::Place::nowhere) return false;
    std::int64_t const batch_started = pg::now_ms(), used = batch_started - started - waited - source.waited();
    std::int64_t const wal_before = pg::wal_written();
    require_time_left(run, used);
    pg::set_statement_limit(job.spec.strategy.chunk_timeout - used);
    std::optional<Batch> const done = run_batch_at(place, source, run, from, width);
    pg::set_statement_limit(0);
    fault("batch", "committed");
    if (!done) {
      // A shorter query is less likely to be in the way of what the replica has to replay.
      if (run.splits) width = std::max<std::int64_t>(1, width / 2);
      continue;
    }
    Batch const &batch = *done;
    if (batch.stopped) return false;
    double const elapsed = std::max<double>(1, static_cast<double>(pg::now_ms() - batch_started));
    std::int64_t const wal = pg::wal_written() - wal_before;
    spend(batch.rows, wal);
    if (batch.rows > 0) {
      measured_rate = static_cast<double>(batch.rows) / elapsed;
      measured_wal = static_cast<double>(wal) / static_cast<double>(batch.rows);
    }
    if (batch.last) return true;
    from = batch.end;
    width = width_after(run, width, batch.rows, elapsed);
  }
}

}  // namespace backfill
