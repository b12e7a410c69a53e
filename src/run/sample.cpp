// In one subtransaction that is rolled back whatever happens, so that nothing is left:
//
//   1. choose   chunks spread over the scope by their estimated rows; one or two stretches of blocks for the rest
//   2. build    a table as the shadow would be, in one snapshot the chunks, each by the copy's own code, then the key's index
//               and the others; the stretches of blocks into a table of their own
//   3. audit    the checks that chunks can answer, the proof of the images, what would change
//   4. measure  seconds, rows, bytes, WAL of each; they are kept in memory
//
// Then, with the table gone, the whole is projected (core/projection.hpp) and told.
//
// It is C++ because it must run what the run runs: the copy, the shape and the checks.
#include "run/sample.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "audit/sample_audit.hpp"
#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/batch_copy.hpp"
#include "copy/shadow.hpp"
#include "copy/shape.hpp"
#include "core/page.hpp"
#include "core/projection.hpp"
#include "core/range_text.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "pg/snapshot.hpp"
#include "pg/transaction.hpp"
#include "pg/usage.hpp"
#include "pg/worker.hpp"
#include "plan/plan.hpp"

namespace backfill {

namespace {

constexpr std::size_t stretches = 2;  // of blocks, where ranges hold the scope

// ---- may it be sampled ----

void require_count(std::int64_t chunks) {
  if (chunks >= 1) return;
  throw Error(sqlstate::invalid_parameter_value, "a sample needs at least one chunk",
              "It is asked for " + std::to_string(chunks) + ".", "Two or three tell most of what a sample can tell.");
}

void require_state(const Job &job) {
  for (const char *const state : {"planned", "paused", "failed", "ready"})
    if (job.state == state) return;
  std::string const name = quote_literal(job.name);
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "cannot sample backfill \"" + job.name + "\": it is " + job.state,
              "To sample a backfill it must be planned, paused, failed or ready.",
              job.state == "running"     ? "Pause it first: SELECT backfill_pause(" + name + ");"
              : job.state == "published" ? "See what it has changed: SELECT backfill_diff(" + name + ");"
                                         : "Plan it again under the same name with backfill_plan.");
}

// ---- choosing ----

struct Chosen {
  std::vector<Step> chunks;            // through the transform: ranges, or blocks where the job has no ranges
  std::vector<Step> verbatim;          // blocks of what is out of scope
  SampledPart of_chunks, of_verbatim;  // what they stand for
};

std::vector<Step> choose(const std::vector<Step> &steps, std::size_t n) {
  std::vector<double> weights;
  for (const Step &step : steps) weights.push_back(static_cast<double>(step.rows_estimated));
  std::vector<Step> chosen;
  for (std::size_t const i : spread(weights, n)) chosen.push_back(steps[i]);
  return chosen;
}

SampledPart part_of(const std::vector<Step> &steps, double blocks) {
  SampledPart part;
  part.whole_chunks = static_cast<double>(steps.size());
  for (const Step &step : steps) part.whole_rows += static_cast<double>(step.rows_estimated);
  part.rows_by_chunks = part.whole_rows <= 0;
  if (!steps.empty() && steps.front().kind == "blocks") part.whole_units = blocks;
  return part;
}

std::int64_t live_blocks(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_integer("SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint",
                             {pg::Param::oid(job.live)});
  });
}

Chosen choose_chunks(const Job &job, std::size_t n, double blocks) {
  std::vector<Step> const ranges = load_steps(job.id, "range"), rest = load_steps(job.id, "blocks");
  Chosen chosen;
  if (ranges.empty()) {
    chosen.chunks = choose(rest, n);
    chosen.of_chunks = part_of(rest, blocks);
    return chosen;
  }
  chosen.chunks = choose(ranges, n);
  chosen.of_chunks = part_of(ranges, blocks);
  chosen.verbatim = choose(rest, std::min(n, stretches));
  chosen.of_verbatim = part_of(rest, blocks);
  return chosen;
}

// ---- measuring ----

class Meter {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }
  double wal() const { return static_cast<double>(pg::wal_written() - wal_); }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::int64_t wal_ = pg::wal_written();
};

double table_bytes(Oid table) {
  return pg::as_extension(
      [&] { return static_cast<double>(pg::query_integer("SELECT pg_table_size($1::oid)", {pg::Param::oid(table)})); });
}

// ---- building ----

struct Built {
  std::string name;
  SampledIndex figures;
};

struct Findings {
  Sample sample;
  std::vector<Built> indexes;
  SampledChecks checks;
  SampledChange change;
  std::int64_t differing = 0, verbatim_differing = 0;
  bool proven = false;
};

// The job with another table in the shadow's place; without log and archive it is the only one there is.
Job with_table(const Job &job, const std::string &word) {
  Job sampled = job;
  sampled.shadow_name = suffixed_name(job.target_name, "_" + word + "_" + std::to_string(job.id));
  sampled.archive = sampled.capture_log = sampled.reverse_log = 0;
  sampled.shadow = 0;
  sampled.shadow = create_version(sampled);
  return sampled;
}

std::string range_of(const Step &chunk) {
  if (chunk.kind == "range") return range_text(*chunk.lo, *chunk.hi);
  return "blocks " + (chunk.hi ? range_text(*chunk.lo, *chunk.hi) : *chunk.lo + " to the end");
}

// The server's error, with the chunk it stands for: the run would meet it too.
std::int64_t copy_chunk(const Job &sampled, const TableShape &shape, const Step &chunk) {
  try {
    return copy_batch(sampled, shape, chunk, *chunk.lo, chunk.hi);
  } catch (const Error &failure) {
    if (failure.sqlstate.starts_with("57")) throw;
    throw Error(failure.sqlstate,
                "chunk " + std::to_string(chunk.chunk.value_or(0)) + " (" + range_of(chunk) +
                    ") cannot be built: " + failure.what(),
                failure.detail, failure.hint.empty() ? "The run would fail there as well." : failure.hint);
  }
}

SampledChunk measure_chunk(const Job &sampled, const TableShape &shape, const Step &chunk, double blocks) {
  Meter const meter;
  SampledChunk figures;
  figures.rows = static_cast<double>(copy_chunk(sampled, shape, chunk));
  figures.seconds = meter.seconds();
  figures.estimated = static_cast<double>(chunk.rows_estimated);
  double const end = chunk.kind == "blocks" && chunk.hi ? std::min(std::stod(*chunk.hi), blocks) : blocks;
  figures.units = chunk.kind == "blocks" ? std::max(0.0, end - std::stod(*chunk.lo)) : figures.rows;
  return figures;
}

// Where WAL is minimal, what is created and filled in one transaction is not logged; a run's copy is.
constexpr double logged = 1.05;  // WAL of a copied byte

void copy_part(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks, double blocks,
               SampledPart &part) {
  double const empty = table_bytes(sampled.shadow);
  Meter const meter;
  for (const Step &chunk : chunks) part.chunks.push_back(measure_chunk(sampled, shape, chunk, blocks));
  part.wal = meter.wal();
  part.bytes = table_bytes(sampled.shadow) - empty;
  if (pg::setting("wal_level") == "minimal") part.wal = logged * part.bytes;
}

Versions versions_of(const Job &sampled) { return {sampled.live, sampled.shadow, sample_index_name}; }

std::int64_t index_bytes(const Job &sampled) {
  return pg::as_extension(
      [&] { return pg::query_integer("SELECT pg_indexes_size($1::oid)", {pg::Param::oid(sampled.shadow)}); });
}

Built build(const Job &sampled, const Step &step) {
  Node const params = parse_document(step.params);
  std::int64_t const before = index_bytes(sampled);
  Meter const meter;
  copy_index(sampled, static_cast<Oid>(params.find("index")->integer()), versions_of(sampled));
  SampledIndex const figures = {step.kind == "key", meter.seconds(), static_cast<double>(index_bytes(sampled) - before),
                                meter.wal()};
  return {params.find("name")->text(), figures};
}

void build_indexes(const Job &sampled, Findings &findings) {
  for (const char *const kind : {"key", "index"})
    for (const Step &step : load_steps(sampled.id, kind)) {
      findings.indexes.push_back(build(sampled, step));
      findings.sample.indexes.push_back(findings.indexes.back().figures);
    }
  pg::as_extension([&] { pg::execute("ANALYZE " + qualified(sampled.target_schema, sampled.shadow_name)); });
}

// ---- auditing ----

void audit(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks, Findings &findings) {
  Meter const meter;
  findings.checks = check_sample(sampled, shape, chunks);
  findings.sample.computed.check_seconds = meter.seconds();
  findings.change = compare_sample(sampled, shape, chunks);
  findings.proven = chunks.front().kind == "range";
  if (findings.proven) findings.differing = differing_rows(sampled, shape, chunks);
}

void sample_rest(const Job &job, const Chosen &chosen, double blocks, Findings &findings) {
  findings.sample.verbatim = chosen.of_verbatim;
  if (chosen.verbatim.empty()) return;
  Job const sampled = with_table(job, "rest");
  TableShape const shape = read_shape(sampled);
  copy_part(sampled, shape, chosen.verbatim, blocks, findings.sample.verbatim);
  Meter const meter;
  findings.verbatim_differing = differing_rows(sampled, shape, chosen.verbatim);
  findings.sample.verbatim.check_seconds = meter.seconds();
}

void build_and_audit(const Job &job, const Chosen &chosen, double blocks, Findings &findings) {
  Job const sampled = with_table(job, "sample");
  TableShape const shape = read_shape(sampled);
  findings.sample.computed = chosen.of_chunks;
  findings.sample.parallelism = job.parallelism;
  pg::with_one_snapshot([&] {
    copy_part(sampled, shape, chosen.chunks, blocks, findings.sample.computed);
    build_indexes(sampled, findings);
    audit(sampled, shape, chosen.chunks, findings);
    sample_rest(job, chosen, blocks, findings);
  });
}

template <typename Fn>
void and_undo(Fn fn) {
  struct Undo {};
  try {
    pg::subtransaction([&] {
      fn();
      throw Undo{};
    });
  } catch (const Undo &) {
  }
}

// ---- telling ----

std::string count(double number) { return format_count(std::llround(number)); }
std::string bytes(double number) { return format_bytes(std::llround(number)); }

std::string span(const Span &of, std::string (*text)(double)) {
  std::string const low = text(of.low), high = text(of.high);
  return low == high ? low : low + " – " + high;
}

std::string rate(double rows, double seconds) {
  return seconds > 0 ? count(rows / seconds) + " rows/s" : "too quick to tell";
}

std::string share(double part, double whole) {
  return whole > 0 ? " (" + format_percent(std::round(1000 * part / whole) / 10) + ")" : "";
}

void tell_head(Page &page, const Job &job, const Chosen &chosen, const Findings &findings, double seconds) {
  std::size_t const built = chosen.chunks.size();
  double const rows = findings.sample.computed.rows() + findings.sample.verbatim.rows();
  page.heading("Sample of backfill " + quote_ident(job.name) + " of " + job.target_schema + "." + job.target_name);
  page.heading(
      "  " + plural(static_cast<std::int64_t>(built), "chunk") + " of " + count(findings.sample.computed.whole_chunks) +
      " built, audited and dropped again: " + plural(std::llround(rows), "row") + " in " + format_duration(seconds));
  page.blank();
}

void tell_chunks(Page &page, const std::vector<Step> &chunks, const SampledPart &part) {
  std::size_t number = 0, range = 0, rows = 0, time = 0;
  for (std::size_t i = 0; i < chunks.size(); i++) {
    number = std::max(number, std::to_string(chunks[i].chunk.value_or(0)).size());
    range = std::max(range, columns(range_of(chunks[i])));
    rows = std::max(rows, count(part.chunks[i].rows).size());
    time = std::max(time, format_duration(part.chunks[i].seconds).size());
  }
  for (std::size_t i = 0; i < chunks.size(); i++) {
    const SampledChunk &chunk = part.chunks[i];
    page.line(right(std::to_string(chunks[i].chunk.value_or(0)), number) + "  " + padded(range_of(chunks[i]), range) +
              "  " + right(count(chunk.rows), rows) + " rows (≈ " + count(chunk.estimated) + " planned)  " +
              right(format_duration(chunk.seconds), time) + "  " + rate(chunk.rows, chunk.seconds));
  }
}

void tell_measured(Page &page, const Findings &findings) {
  const SampledPart &computed = findings.sample.computed, &verbatim = findings.sample.verbatim;
  page.section("Measured");
  auto const copied = [&](const char *what, const SampledPart &part) {
    page.line(std::string(what) + rate(part.rows(), part.seconds()) + ", " + bytes(part.bytes) + ", WAL " +
              bytes(part.wal));
  };
  copied("copy    ", computed);
  if (!verbatim.chunks.empty()) copied("rest    ", verbatim);
  for (const Built &index : findings.indexes)
    page.line("index   " + index.name + ": " + format_duration(index.figures.seconds) + ", " +
                  bytes(index.figures.bytes) + ", WAL " + bytes(index.figures.wal),
              8);
  page.line("checks  " + format_duration(computed.check_seconds + verbatim.check_seconds));
}

std::string mark(const std::string &outcome) {
  return outcome == "pass" ? "✓" : outcome == "skipped" ? "-" : outcome == "warn" ? "!" : "✗";
}

void tell_check(Page &page, const std::string &outcome, const std::string &check, const std::string &found) {
  page.line(mark(outcome) + " " + padded(outcome, 7) + "  " + check + (found.empty() ? "" : ": " + found), 11);
}

void tell_exact(Page &page, const char *what, std::int64_t differing) {
  tell_check(page, differing == 0 ? "pass" : "fail", what,
             differing == 0 ? "no row differs" : plural(differing, "row") + " differ");
}

void tell_checks(Page &page, const Findings &findings) {
  page.section("Checks");
  for (const SampledChecks::Verdict &verdict : findings.checks.verdicts)
    tell_check(page, verdict.outcome, verdict.check,
               verdict.actual + (verdict.outcome == "error" ? ", " + verdict.detail : ""));
  if (findings.proven) tell_exact(page, "exact in these chunks", findings.differing);
  if (!findings.sample.verbatim.chunks.empty()) tell_exact(page, "exact in these blocks", findings.verbatim_differing);
  if (findings.checks.left_out.empty()) return;
  std::string names;
  for (const std::string &name : findings.checks.left_out) names += (names.empty() ? "" : ", ") + name;
  page.line("left to the run, for they need more than chunks: " + names, 2);
}

void tell_change(Page &page, const SampledChange &change) {
  constexpr std::size_t columns_shown = 8;
  auto const before = static_cast<double>(change.before());
  page.section("Changes");
  page.line(format_count(change.changed) + " of " + plural(change.before(), "row") + " would change" +
            share(static_cast<double>(change.changed), before) +
            (change.added > 0 ? ", " + format_count(change.added) + " be added" : "") +
            (change.removed > 0 ? ", " + format_count(change.removed) + " be removed" : ""));
  for (std::size_t i = 0; i < change.columns.size() && i < columns_shown; i++)
    page.line("  " + change.columns[i].first + ": " + plural(change.columns[i].second, "value"), 2);
  if (change.columns.size() > columns_shown)
    page.line("  and " + count(static_cast<double>(change.columns.size() - columns_shown)) + " columns more", 2);
}

void tell_whole(Page &page, const Job &job, const Findings &findings, const Projection &whole) {
  page.section("Whole");
  page.line("time    " + span(whole.seconds, format_duration) + ": copy " + span(whole.copy_seconds, format_duration) +
                ", indexes " + span(whole.build_seconds, format_duration) + ", checks " +
                span(whole.check_seconds, format_duration),
            8);
  page.line("disk    " + span(whole.disk_bytes, bytes) + " beside the table");
  page.line("WAL     " + span(whole.wal_bytes, bytes));
  page.line("for " + span(whole.rows, count) + " rows with " + plural(findings.sample.parallelism, "worker") +
            "; what is written to the table meanwhile comes on top");
  if (const Node *const throttle = job.spec.document.find("throttle"); throttle != nullptr && !throttle->is_null())
    page.line("! the throttle of the spec is not reckoned with: it makes the run longer", 2);
}

std::int64_t failed_checks(const Findings &findings) {
  auto const &verdicts = findings.checks.verdicts;
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [](const auto &one) { return one.outcome == "fail" || one.outcome == "error"; }) +
         (findings.differing > 0 ? 1 : 0) + (findings.verbatim_differing > 0 ? 1 : 0);
}

// Numbers only.
std::string summary(const Chosen &chosen, const Findings &findings, const Projection &whole) {
  return plural(static_cast<std::int64_t>(chosen.chunks.size()), "chunk") + ", " +
         plural(std::llround(findings.sample.computed.rows()), "row") + ", " + format_count(findings.change.changed) +
         " changed, " + format_count(failed_checks(findings)) +
         " checks failed; the whole: " + span(whole.seconds, format_duration) + ", " + span(whole.disk_bytes, bytes) +
         ", WAL " + span(whole.wal_bytes, bytes);
}

std::vector<std::string> tell(const Job &job, const Chosen &chosen, const Findings &findings, const Projection &whole,
                              double seconds) {
  Page page;
  tell_head(page, job, chosen, findings, seconds);
  page.section("Chunks");
  tell_chunks(page, chosen.chunks, findings.sample.computed);
  if (!chosen.verbatim.empty()) {
    page.section("As is");
    tell_chunks(page, chosen.verbatim, findings.sample.verbatim);
  }
  tell_measured(page, findings);
  tell_checks(page, findings);
  tell_change(page, findings.change);
  tell_whole(page, job, findings, whole);
  page.blank();
  if (std::int64_t const failed = failed_checks(findings); failed > 0)
    page.heading(plural(failed, "check") + " failed here and would keep the backfill from being published.");
  page.heading(job.state == "planned" ? "Nothing is left of the sample.  Run the backfill with:"
                                      : "Nothing is left of the sample.  The backfill goes on with:");
  page.heading(next_command(job.name, parse_state(job.state)));
  return page.take();
}

}  // namespace

std::vector<std::string> sample_backfill(const std::string &name, std::int64_t chunks) {
  pg::require_writable("a backfill cannot be sampled");
  Job const job = job_for_caller(name);
  require_count(chunks);
  require_state(job);
  require_unchanged(job);
  auto const blocks = static_cast<double>(live_blocks(job));
  Chosen const chosen = choose_chunks(job, static_cast<std::size_t>(chunks), blocks);
  Findings findings;
  Meter const meter;
  and_undo([&] { build_and_audit(job, chosen, blocks, findings); });
  Projection const whole = project(findings.sample);
  record_event(job.id, "sampled", summary(chosen, findings, whole));
  return tell(job, chosen, findings, whole, meter.seconds());
}

}  // namespace backfill
