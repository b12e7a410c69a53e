// A page of sections (core/page.hpp).  Tables (chunks, dependents) are aligned, and of many chunks the first and the last are
// shown.
#include "plan/plan_text.hpp"

#include <algorithm>
#include <cmath>

#include "core/node.hpp"
#include "core/page.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "core/webhook.hpp"

namespace backfill {

namespace {

std::string count(double value) { return format_count(std::llround(value)); }

// A boundary as people say it: midnight is not told, the zone is told once, with the scope.
std::string shown(const std::string &value) {
  std::size_t const midnight = value.find(" 00:00:00");
  if (midnight != std::string::npos && value.find('.', midnight) == std::string::npos) {
    bool const era = value.ends_with(" BC");
    return value.substr(0, midnight) + (era ? " BC" : "");
  }
  return value;
}

std::string share(double part, double whole) {
  return whole > 0 ? " (" + format_percent(std::round(1000 * part / whole) / 10) + ")" : "";
}

void tell_record(Page &page, const PlanFacts &facts) {
  const Spec &spec = facts.job.spec;
  page.heading("Backfill " + quote_ident(facts.job.name) + " of " + facts.target.label());
  std::string by = "planned by " + facts.planned_by;
  if (!spec.requested_by.empty()) by += " for " + spec.requested_by;
  page.heading("  " + by + ", job " + std::to_string(facts.job.id));
  if (!spec.description.empty()) page.heading("  " + one_line(spec.description));
  page.blank();
}

void tell_target(Page &page, const PlanFacts &facts) {
  const Target &target = facts.target;
  page.section("Target");
  page.line((target.analyzed ? "≈ " : "perhaps ") + plural(std::llround(target.rows), "row") + ", " +
            format_bytes(target.bytes()) + " (table " + format_bytes(target.heap_bytes + target.toast_bytes) +
            ", indexes " + format_bytes(target.index_bytes) + "), owner " + target.owner_name);
  std::string key;
  for (const std::string &column : facts.job.key) key += (key.empty() ? "" : ", ") + column;
  page.line("key (" + key + ")");
}

void tell_scope(Page &page, const PlanFacts &facts) {
  page.section("Scope");
  if (!facts.scope.bounded()) {
    page.line("the whole table");
    return;
  }
  std::string text =
      facts.scope.column->name + " from " + shown(*facts.scope.start) + " until before " + shown(*facts.scope.stop);
  if (facts.scope.column->type_oid == 1184) text += ", " + facts.scope.time_zone;
  page.line(text);
  for (std::size_t i = 0; i + 1 < facts.chunks.exclude.size(); i += 2)
    page.line("less " + shown(facts.chunks.exclude[i]) + " until before " + shown(facts.chunks.exclude[i + 1]));
  page.line("≈ " + plural(std::llround(facts.chunks.rows_in_scope), "row") +
            share(facts.chunks.rows_in_scope, facts.target.rows) + " are recomputed, ≈ " +
            count(facts.chunks.rows_verbatim) +
            (facts.choice.placement->builds_whole ? " are copied as they are" : " are left alone"));
}

void tell_swap(Page &page, const PlanFacts &facts) {
  if (!facts.choice.placement->in_place)
    page.line(
        "swap       writes ≈ " + format_bytes(facts.estimate.disk_bytes) + " beside the live table, then renames it in",
        11);
  else
    page.line("swap       no: it would write the whole table anew, ≈ " + format_bytes(facts.target.bytes()), 11);
}

void tell_merge(Page &page, const PlanFacts &facts) {
  double const share = facts.target.rows > 0 ? facts.chunks.rows_in_scope / facts.target.rows : 0;
  std::string const rows = count(facts.chunks.rows_in_scope);
  if (facts.choice.placement->in_place)
    page.line("merge      writes ≈ " + format_bytes(facts.estimate.disk_bytes) + " beside the live table, then of ≈ " +
                  rows + " live rows those that differ, in one transaction",
              11);
  else if (facts.choice.unwritable)
    page.line("merge      no: " + facts.choice.unwritable->why, 11);
  else
    page.line("merge      no: it would rewrite ≈ " + rows + " live rows, ≈ " +
                  format_bytes(std::llround(2 * share * static_cast<double>(facts.target.bytes()))),
              11);
}

void tell_strategy(Page &page, const PlanFacts &facts) {
  page.section("Strategy");
  if (facts.choice.placement->in_place) tell_merge(page, facts);
  tell_swap(page, facts);
  if (!facts.choice.placement->in_place) tell_merge(page, facts);
  page.line("partition  no: the table is not partitioned", 11);
}

void tell_transform(Page &page, const PlanFacts &facts) {
  const Transform &transform = facts.job.spec.transform;
  page.section("Transform");
  if (transform.is_query()) page.line("query " + one_line(transform.query), 6);
  std::size_t longest = 0;
  for (const auto &[column, expression] : transform.set) longest = std::max(longest, columns(column));
  bool first = true;
  for (const auto &[column, expression] : transform.set) {
    page.line((first ? "set   " : "      ") + padded(column, longest) + " = " + one_line(expression), longest + 9);
    first = false;
  }
  if (!transform.join.empty()) page.line("join  " + one_line(transform.join), 6);
  for (const auto &[column, type] : transform.add_columns) page.line("add   " + column + " " + type, 6);
  if (!transform.dedupe.empty()) page.line("keep  one row a key, the first by " + one_line(transform.dedupe), 6);
  if (transform.preserve_existing) page.line("keep  values that are already filled", 6);
}

// The first and the last of many.
constexpr std::size_t shown_first = 5, shown_last = 2;

void tell_ranges(Page &page, const PlanFacts &facts) {
  std::size_t const total = static_cast<std::size_t>(facts.chunks.ranges);
  bool const all = total <= shown_first + shown_last + 1;
  std::size_t numbers = std::to_string(total).size(), lo = 0, hi = 0, rows = 0;
  auto const skipped = [&](std::size_t i) { return !all && i >= shown_first && i + shown_last < total; };
  for (std::size_t i = 0; i < total; i++) {
    if (skipped(i)) continue;
    const Chunk &chunk = facts.chunks.chunks[i];
    lo = std::max(lo, columns(shown(chunk.lo)));
    hi = std::max(hi, columns(shown(*chunk.hi)));
    rows = std::max(rows, columns(count(chunk.rows)));
  }
  for (std::size_t i = 0; i < total; i++) {
    const Chunk &chunk = facts.chunks.chunks[i];
    if (!all && i == shown_first) page.line("  " + right("…", numbers));
    if (skipped(i)) continue;
    page.line("  " + right(std::to_string(i + 1), numbers) + "  " + padded(shown(chunk.lo), lo) + "  " +
              padded(shown(*chunk.hi), hi) + "  ≈ " + right(count(chunk.rows), rows) +
              (std::llround(chunk.rows) == 1 ? " row" : " rows"));
  }
}

void tell_chunks(Page &page, const PlanFacts &facts) {
  const ChunkPlan &plan = facts.chunks;
  std::int64_t const blocks = static_cast<std::int64_t>(plan.chunks.size()) - plan.ranges;
  std::string const workers = plural(facts.job.parallelism, "worker");
  page.section("Chunks");
  if (plan.ranges == 0) {
    page.line(plural(blocks, "chunk") + " by blocks of the whole table, " + workers);
    return;
  }
  std::string const order = facts.job.spec.strategy.newest_first ? "newest first" : "oldest first";
  page.line(plural(plan.ranges, "chunk") + " by " + plan.by + (plan.chosen ? " (chosen from length and rows)" : "") +
            ", " + order + ", " + workers);
  tell_ranges(page, facts);
  if (blocks > 0)
    page.line("then " + format_count(blocks) + " by blocks for the rows out of scope, NULL and infinite ones included");
}

void tell_reads(Page &page, const PlanFacts &facts) {
  if (facts.reads.empty()) return;
  page.section("Reads");
  for (const std::string &line : facts.reads) page.line(line);
}

void tell_throttle(Page &page, const PlanFacts &facts) {
  const Throttle &throttle = facts.job.spec.throttle;
  if (throttle.empty()) return;
  double const least =
      least_seconds(throttle, static_cast<double>(facts.estimate.rows), static_cast<double>(facts.estimate.wal_bytes));
  if (least > 1) page.line("not less than " + format_duration(least) + " at the rates of the throttle");
  if (!throttle.windows.empty() && open_share(throttle.windows) < 1) {
    double const open = open_share(throttle.windows);
    page.line("its windows are open " + format_percent(std::round(1000 * open) / 10) +
              " of a week: by the clock up to " + format_duration(facts.estimate.slow_seconds / open));
  }
  page.section("Throttle");
  for (const std::string &line : describe(throttle, facts.job.time_zone)) page.line(line, 2);
}

void tell_costs(Page &page, const PlanFacts &facts) {
  const Estimate &estimate = facts.estimate;
  page.section("Disk");
  page.line("≈ " + format_bytes(estimate.disk_bytes) +
            (facts.choice.placement->in_place ? " for the rows in scope, and what the rows written were, until "
                                              : " for the new version; the old one stays until ") +
            facts.job.spec.retention + " after the publish");
  page.section("WAL");
  page.line("≈ " + format_bytes(estimate.wal_bytes));
  page.section("Time");
  std::string const fast = format_duration(estimate.fast_seconds), slow = format_duration(estimate.slow_seconds);
  page.line((fast == slow ? fast : fast + " – " + slow) +
            ", a guess at 0.3 – 1.5 million rows or 30 – 200 MB a second; the run measures");
  tell_throttle(page, facts);
  page.section("Locks");
  page.line("copy     ACCESS SHARE: nobody waits");
  page.line("capture  SHARE ROW EXCLUSIVE for a moment, tries of at most " +
            format_duration(static_cast<double>(facts.job.spec.publish.lock_timeout) / 1000));
  page.line((facts.choice.placement->in_place
                 ? "publish  EXCLUSIVE for at most " +
                       format_duration(static_cast<double>(facts.job.spec.publish.max_lock) / 1000) +
                       ": writers wait, readers do not; tries of at most "
                 : std::string("publish  ACCESS EXCLUSIVE for milliseconds, tries of at most ")) +
            format_duration(static_cast<double>(facts.job.spec.publish.lock_timeout) / 1000) +
            (facts.job.spec.publish.automatic ? "; by itself once the audit has passed" : ""));
}

void tell_dependents(Page &page, const PlanFacts &facts) {
  page.section("Dependents");
  if (facts.choice.placement->in_place)
    page.line("stay as they are: views and the like see the rows once they are written");
  else if (facts.dependents.empty())
    page.line("none");
  std::size_t kinds = 0;
  for (const Dependent &dependent : facts.dependents) kinds = std::max(kinds, columns(dependent.kind));
  for (std::size_t i = 0; i < facts.dependents.size();) {
    const Dependent &first = facts.dependents[i];
    std::string names;
    for (; i < facts.dependents.size() && facts.dependents[i].fate == first.fate &&
           facts.dependents[i].kind == first.kind;
         i++)
      names += (names.empty() ? "" : ", ") + facts.dependents[i].object +
               (facts.dependents[i].detail.empty() ? "" : " (" + facts.dependents[i].detail + ")");
    page.line(padded(first.fate, 9) + padded(first.kind, kinds) + "  " + names, 9 + kinds + 2);
  }
}

// What the spec declares, in the order in which it is brought up to date, together with the materialized views.
void tell_downstream(Page &page, const PlanFacts &facts) {
  const std::vector<Downstream> &items = facts.job.spec.downstream;
  if (items.empty()) return;
  page.section("Downstream");
  for (const Downstream &item : items)
    if (!item.cron_job.empty())
      page.line("pg_cron job " + item.cron_job + " (" + item.name + ") rests while the backfill is at work", 2);
  int position = 0;
  std::vector<std::string> refreshed;
  for (const Step &step : facts.publishing) {
    if (step.kind != "refresh" && step.kind != "downstream") continue;
    Node const params = parse_document(step.params);
    std::string line = std::to_string(++position) + "  " + step.title;
    const Node *const name = params.find("item");
    if (name != nullptr) refreshed.push_back(name->text());
    for (const Downstream &item : items)
      if (step.kind == "downstream" && item.name == refreshed.back()) line += ": " + one_line(item.refresh);
    if (const Node *const needs = params.find("needs")) {
      std::string before;
      for (const std::string &title : needs->texts()) before += (before.empty() ? "" : ", ") + title.substr(8);
      line += " (after " + before + ")";
    }
    page.line(line, 3);
  }
  std::string told;
  for (const Downstream &item : items)
    if (item.cron_job.empty() && std::find(refreshed.begin(), refreshed.end(), item.name) == refreshed.end())
      told += (told.empty() ? "" : ", ") + item.name;
  if (!told.empty()) page.line("told of it (event downstream_notice): " + told, 2);
}

void tell_checks(Page &page, const std::string &label, const std::vector<Step> &steps) {
  if (steps.empty()) return;
  page.section(label);
  for (const Step &step : steps) page.line(step.title, 2);
}

void tell_webhook(Page &page, const PlanFacts &facts) {
  const Monitoring &monitoring = facts.job.spec.monitoring;
  if (monitoring.webhook.empty()) return;
  page.section("Webhook");
  page.line(parse_webhook(monitoring.webhook, "monitoring.progress_webhook").place() + ", of every event and phase" +
            (monitoring.per_chunk ? ", and of every chunk" : ""));
}

void tell_warnings(Page &page, const PlanFacts &facts) {
  page.section(facts.warnings.size() == 1 ? "Warning" : "Warnings");
  for (const std::string &warning : facts.warnings) page.line("! " + warning, 2);
}

}  // namespace

Estimate estimate_work(const Target &target, const Spec &spec, double share) {
  constexpr double fast_rows = 1.5e6, slow_rows = 0.3e6, fast_bytes = 200e6, slow_bytes = 30e6, overhead = 1;
  constexpr double added_column_bytes = 16;
  Estimate estimate;
  double const rows = target.rows * share;
  double const added = rows * added_column_bytes * static_cast<double>(spec.transform.add_columns.size());
  double const table = static_cast<double>(target.heap_bytes + target.toast_bytes) * share + added;
  double const indexes = static_cast<double>(target.index_bytes) * share;
  estimate.rows = std::llround(rows);
  estimate.disk_bytes = std::llround(table + indexes);
  estimate.wal_bytes = std::llround(table * 1.1 + indexes);
  estimate.fast_seconds = overhead + std::max(rows / fast_rows, (table + indexes) / fast_bytes);
  estimate.slow_seconds = overhead + overhead + std::max(rows / slow_rows, (table + indexes) / slow_bytes);
  double const least = least_seconds(spec.throttle, rows, static_cast<double>(estimate.wal_bytes));
  estimate.fast_seconds = std::max(estimate.fast_seconds, least);
  estimate.slow_seconds = std::max(estimate.slow_seconds, least);
  return estimate;
}

std::vector<std::string> plan_text(const PlanFacts &facts) {
  Page page;
  tell_record(page, facts);
  tell_target(page, facts);
  tell_scope(page, facts);
  tell_strategy(page, facts);
  tell_transform(page, facts);
  tell_chunks(page, facts);
  tell_reads(page, facts);
  tell_costs(page, facts);
  tell_dependents(page, facts);
  tell_downstream(page, facts);
  tell_checks(page, "Pre-checks", facts.pre_checks);
  tell_checks(page, "Checks", facts.checks);
  tell_webhook(page, facts);
  if (!facts.warnings.empty()) tell_warnings(page, facts);
  page.blank();
  page.heading("Nothing has been written but the plan.  Run it with:");
  page.heading(next_command(facts.job.name, State::planned));
  return page.take();
}

}  // namespace backfill
