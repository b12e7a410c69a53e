// A part's time is its units times the time of one: of the fastest chunk sampled, and of the slowest.  Its rows are the
// plan's, corrected by how far the plan was off in the chunks sampled, and not corrected: between these lies the truth.
#include "core/projection.hpp"

#include <algorithm>
#include <cmath>

namespace backfill {

namespace {

constexpr double quiet = 0.8, busy = 1.5;                    // a server less and more loaded than during the sample
constexpr double spill = 1.5;                                // a sort that leaves memory
constexpr double slack = 1.15, wal_slack = 1.3;              // free space in pages; full page images of checkpoints
constexpr double vacuum_fast = 1e9, vacuum_slow = 1e8;       // bytes a second
constexpr double fixed_fast = 0.3, fixed_slow = 3;           // seconds: starting, the catch up, what is short
constexpr double a_chunk_fast = 0.001, a_chunk_slow = 0.02;  // seconds: its claim, its checkpoints

Span operator+(const Span &a, const Span &b) { return {a.low + b.low, a.high + b.high}; }
Span operator*(const Span &a, const Span &b) { return {a.low * b.low, a.high * b.high}; }

double estimated(const SampledPart &part) {
  double sum = 0;
  for (const SampledChunk &chunk : part.chunks) sum += chunk.estimated;
  return sum;
}

Span whole_rows(const SampledPart &part) {
  if (part.chunks.empty()) return {part.whole_rows, part.whole_rows};
  if (part.rows_by_chunks) {
    double const rows = part.rows() / static_cast<double>(part.chunks.size()) * part.whole_chunks;
    return {rows, rows};
  }
  double const ratio = estimated(part) > 0 ? part.rows() / estimated(part) : 1;
  return {part.whole_rows * std::min(1.0, ratio), part.whole_rows * std::max(1.0, ratio)};
}

// Seconds a unit, of the fastest chunk and of the slowest.
Span pace(const SampledPart &part) {
  Span span;
  bool first = true;
  for (const SampledChunk &chunk : part.chunks) {
    if (chunk.units <= 0) continue;
    double const seconds = chunk.seconds / chunk.units;
    span = first ? Span{seconds, seconds} : Span{std::min(span.low, seconds), std::max(span.high, seconds)};
    first = false;
  }
  return span;
}

Span copy_seconds(const SampledPart &part) {
  Span const units = part.whole_units > 0 ? Span{part.whole_units, part.whole_units} : whole_rows(part);
  return units * pace(part);
}

// `amount` belongs to `rows` rows of the sample: that of all rows.
Span in_proportion(double amount, double rows, const Span &all) {
  return rows > 0 ? Span{amount / rows * all.low, amount / rows * all.high} : Span{};
}

Span divided(const Span &work, const Span &by) { return {work.low / by.high, work.high / by.low}; }

Span build_seconds(const Sample &sample, const Span &rows) {
  double const from = sample.computed.rows();
  Span const growth = {sort_growth(from, rows.low), sort_growth(from, rows.high)};
  double first = 0, others = 0, longest = 0, count = 0;
  for (const SampledIndex &index : sample.indexes) {
    if (index.first) {
      first += index.seconds;
      continue;
    }
    others += index.seconds;
    longest = std::max(longest, index.seconds);
    count++;
  }
  Span const by = speedup(sample.parallelism, count);
  double const low = first + std::max(longest, others / by.high), high = first + others / by.low;
  return Span{low, high * spill} * growth;
}

}  // namespace

double SampledPart::rows() const {
  double sum = 0;
  for (const SampledChunk &chunk : chunks) sum += chunk.rows;
  return sum;
}

double SampledPart::seconds() const {
  double sum = 0;
  for (const SampledChunk &chunk : chunks) sum += chunk.seconds;
  return sum;
}

std::vector<std::size_t> spread(const std::vector<double> &weights, std::size_t n) {
  std::size_t const size = weights.size();
  std::vector<std::size_t> chosen;
  if (n >= size) {
    for (std::size_t i = 0; i < size; i++) chosen.push_back(i);
    return chosen;
  }
  double total = 0;
  for (double const weight : weights) total += std::max(weight, 1.0);
  double below = 0;
  std::size_t at = 0;
  for (std::size_t k = 0; k < n; k++) {
    double const share = n == 1 ? 0.5 : static_cast<double>(k) / static_cast<double>(n - 1);
    std::size_t const last = size - (n - k);  // so many are to follow
    std::size_t const from = chosen.empty() ? 0 : chosen.back() + 1;
    while (at < last && (at < from || below + std::max(weights[at], 1.0) <= share * total)) {
      below += std::max(weights[at], 1.0);
      at++;
    }
    chosen.push_back(at);
  }
  return chosen;
}

Span speedup(int parallelism, double tasks) {
  double const workers = std::max(1.0, std::min(static_cast<double>(parallelism), tasks));
  return {1 + 0.4 * (workers - 1), workers};
}

double sort_growth(double from, double to) {
  if (from < 1 || to < 1) return 1;
  return to * std::log2(to + 1) / (from * std::log2(from + 1));
}

Projection project(const Sample &sample) {
  const SampledPart &computed = sample.computed, &verbatim = sample.verbatim;
  Span const of_scope = whole_rows(computed), of_rest = whole_rows(verbatim);
  double const chunks = computed.whole_chunks + verbatim.whole_chunks;
  Span const by = speedup(sample.parallelism, chunks);

  Projection out;
  out.rows = of_scope + of_rest;
  Span const heap = in_proportion(computed.bytes, computed.rows(), of_scope) +
                    (verbatim.rows() > 0 ? in_proportion(verbatim.bytes, verbatim.rows(), of_rest)
                                         : in_proportion(computed.bytes, computed.rows(), of_rest));
  double index_bytes = 0, index_wal = 0;
  for (const SampledIndex &index : sample.indexes) index_bytes += index.bytes, index_wal += index.wal;
  out.disk_bytes = (heap + in_proportion(index_bytes, computed.rows(), out.rows)) * Span{1, slack};
  out.wal_bytes = (in_proportion(computed.wal, computed.rows(), of_scope) +
                   (verbatim.rows() > 0 ? in_proportion(verbatim.wal, verbatim.rows(), of_rest)
                                        : in_proportion(computed.wal, computed.rows(), of_rest)) +
                   in_proportion(index_wal, computed.rows(), out.rows)) *
                  Span{1, wal_slack};

  Span const load = {quiet, busy};
  out.copy_seconds = divided(copy_seconds(computed) + copy_seconds(verbatim), by) * load;
  out.build_seconds = build_seconds(sample, out.rows) * load + Span{heap.low / vacuum_fast, heap.high / vacuum_slow};
  out.check_seconds = divided(in_proportion(computed.check_seconds, computed.rows(), of_scope) +
                                  in_proportion(verbatim.check_seconds, verbatim.rows(), of_rest),
                              speedup(sample.parallelism, 2)) *
                      load;
  out.seconds = out.copy_seconds + out.build_seconds + out.check_seconds +
                Span{fixed_fast + a_chunk_fast * chunks, fixed_slow + a_chunk_slow * chunks};
  return out;
}

}  // namespace backfill
