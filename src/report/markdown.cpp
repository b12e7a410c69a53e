// The report in Markdown, sections one after the other:
//
//   head         name, when, state, who and why, what is computed
//   progress     bar, chunks, rows, times; of many chunks the first, those that run, those that failed
//   failures     error and the statement to type
//   checks       evidence of the newest audit
//   changes      the newest diff in figures
//   metrics      live and the new version side by side
//   phases       what ran when
//   dependents   what hangs on the table
//   history      who did what when: publish, rollback and all else
//   way back     how to undo it, now
//   next         the statement that takes the job on
#include "report/markdown.hpp"

#include <algorithm>
#include <cmath>

#include "audit/diff_text.hpp"
#include "core/page.hpp"
#include "core/units.hpp"
#include "report/markdown_text.hpp"

namespace backfill {

namespace {

constexpr std::size_t bar_width = 25, metric_points = 40;

std::string cell(const std::string &value) { return dash_if_empty(escaped(value)); }

std::string labelled(const Story::Labelled &list) {
  Lines lines;
  for (const auto &[label, value] : list) lines.add(label, escaped(value));
  return lines.take();
}

// -- head

std::string head(const Story &story) {
  std::string const detail = story.state.detail.empty() ? "" : " (" + story.state.detail + ")";
  Story::Labelled lines = story.times;
  lines.insert(lines.begin() + 1, {"Current Status", story.state.mark + ' ' + story.state.text + detail});
  return std::string("# Backfill ") + (story.in_progress ? "Progress" : "Report") + ": " + escaped(story.name) +
         "\n\n" + labelled(lines) + labelled(story.people) + sql(story.transform) + "\n";
}

// -- progress

std::string progress_bar(const Story::Progress &progress) {
  std::size_t const full = static_cast<std::size_t>(std::floor(progress.percent / 100 * bar_width));
  std::string bar;
  for (std::size_t i = 0; i < bar_width; i++) bar += i < full ? "█" : "░";
  return bar + ' ' + std::to_string(static_cast<int>(std::floor(progress.percent))) + "% (" +
         format_count(progress.chunks_done) + '/' + format_count(progress.chunks_total) + " chunks)\n\n";
}

std::string chunk_status(const Story &story, const Story::Chunk &chunk) {
  std::string out = chunk.status == "done"      ? "✅"
                    : chunk.status == "running" ? "🔄"
                    : chunk.status == "stalled" ? "⚠️ interrupted"
                    : chunk.status == "failed"  ? "❌"
                    : chunk.status == "skipped" ? "⏭️"
                    : story.over                ? "-"
                                                : "⏳";
  if (chunk.again) out += " again";
  if (chunk.attempts > 1) out += " attempt " + std::to_string(chunk.attempts);
  return out;
}

std::string left_out(const Story &story) {
  std::string parts;
  std::int64_t total = 0;
  for (const auto &[status, count] : story.chunks_left_out) {
    total += count;
    parts += (parts.empty() ? "" : ", ") + format_count(count) + ' ' + status;
  }
  if (total == 0) return "";
  return "\n" + plural(total, "chunk") + (total == 1 ? " is" : " are") + " left out here (" + parts +
         "). All of them:\n\n" + sql(story.all_chunks);
}

std::string chunk_table(const Story &story) {
  Table table({"Chunk", "Range", "Rows", "Status", "Duration"});
  std::size_t const digits = std::max<std::size_t>(2, std::to_string(story.progress.chunks_total).size());
  for (const Story::Chunk &chunk : story.chunks) {
    std::string const number = std::to_string(chunk.number);
    table.add({"chunk_" + std::string(digits - std::min(digits, number.size()), '0') + number, escaped(chunk.range),
               chunk.begun ? format_count(chunk.rows) : "-", chunk_status(story, chunk),
               chunk.seconds ? format_duration(*chunk.seconds) : "-"});
  }
  return table.text() + left_out(story) + "\n";
}

std::string progress(const Story &story) {
  Story::Progress const &progress = story.progress;
  std::string out = "## Progress\n\n" + progress_bar(progress) + chunk_table(story);
  out += "**Rows Processed:** " + format_count(progress.rows_done) + " / ~" + format_count(progress.rows_estimated);
  if (progress.rows_done > 0 && progress.split)
    out += " (" + format_count(progress.recomputed) + " recomputed, " + format_count(progress.copied) +
           " copied as they are)";
  out += "  \n**Elapsed Time:** " + (progress.seconds ? format_duration(*progress.seconds) : "-");
  if (!progress.eta.empty()) out += "  \n**Estimated Remaining:** " + progress.eta;
  return out + "\n\n";
}

// -- failures

std::string failure_text(const Story::Failure &failure) {
  std::string out =
      "- **" + escaped(failure.title) + "**: " + escaped(failure.error) + " (SQLSTATE " + cell(failure.sqlstate) + ")";
  if (!failure.detail.empty()) out += " " + escaped(failure.detail);
  if (!failure.hint.empty()) out += " Hint: " + escaped(failure.hint);
  out += "\n";
  return failure.command.empty() ? out + "\n" : out + "\n" + sql(failure.command) + "\n";
}

std::string failures(const Story &story) {
  if (story.failures.empty()) return "";
  std::string out = "## Failures\n\n";
  if (!story.own_error.empty()) out += escaped(story.own_error) + ".\n\n";
  for (const Story::Failure &failure : story.failures) out += failure_text(failure);
  return out;
}

// -- checks

std::string outcome_text(const Story::Check &check) {
  std::string const mark = check.outcome == "pass"      ? "✅"
                           : check.outcome == "warn"    ? "⚠️"
                           : check.outcome == "skipped" ? "⏭️"
                                                        : "❌";
  std::string out = mark + ' ' + check.outcome;
  if (!check.waiver.empty()) out += ", waived by " + escaped(check.waived_by) + ": " + escaped(check.waiver);
  return out;
}

std::string checks(const Story &story) {
  std::string out = "## Checks\n\n";
  if (story.checks.empty())
    return out + (story.checks_waiting > 0 ? plural(story.checks_waiting, "check") + " to be run.\n\n"
                                           : "None has been run.\n\n");
  Table table({"Check", "Outcome", "Expected", "Actual", "Detail"});
  for (const Story::Check &check : story.checks) {
    std::string name = escaped(check.name);
    if (check.pre) name += " (before the start)";
    if (check.chunk) name += ", chunk " + std::to_string(*check.chunk);
    table.add({name, outcome_text(check), cell(check.expected), cell(check.actual), cell(check.detail)});
  }
  if (story.checks_waiting > 0 && !story.over) out += plural(story.checks_waiting, "check") + " to be run.\n\n";
  return out + table.text() + "\n";
}

// -- changes

std::string changes(const Story &story) {
  if (!story.difference && story.difference_command.empty()) return "";
  std::string out = "## Changes\n\n";
  if (!story.difference)
    return out + "Not measured yet. This compares both versions, row by row:\n\n" + sql(story.difference_command) +
           "\n";
  Difference const &difference = *story.difference;
  out +=
      "Measured " + difference.at + " by " + escaped(difference.by) +
      (difference.published ? ", the version before against the one in service." : ", live against the new version.");
  out += "\n\n**Added:** " + format_count(difference.added) + "  \n**Removed:** " + format_count(difference.removed) +
         "  \n**Changed:** " + format_count(difference.changed) + "  \n**Unchanged:** " +
         format_count(difference.unchanged);
  if (difference.pending > 0)
    out += "  \n**Left Out:** " + plural(difference.pending, "key") + " written meanwhile and not drained";
  out += "\n\n";
  if (difference.columns.empty()) return out;
  Table table({"Column", "Changed", "Became null", "Filled", "Mean move", "p50", "p95", "Max", "Net"});
  for (const ColumnDifference &column : difference.columns) {
    std::vector<std::string> cells = {escaped(column.name), format_count(column.changed), format_count(column.emptied),
                                      format_count(column.filled)};
    if (column.shift)
      for (double const value :
           {column.shift->mean, column.shift->p50, column.shift->p95, column.shift->max, column.shift->net})
        cells.push_back(shift_text(*column.shift, value));
    cells.resize(9, "-");
    table.add(cells);
  }
  return out + table.text() + "\n";
}

// -- metrics

std::string number_text(const std::optional<double> &value) { return value ? figure_text(*value) : "-"; }

bool differs(const Story::Point &point) { return point.live != point.fresh; }

// The buckets that differ.
std::string metric_text(const Story::Metric &metric) {
  Table table({"Bucket", "Live", "New", "Change"});
  std::size_t told = 0, different = 0;
  for (const Story::Point &point : metric.points) {
    if (!differs(point) || ++different > metric_points) continue;
    told++;
    bool const both = point.live && point.fresh && *point.live != 0;
    table.add({escaped(point.bucket), number_text(point.live), number_text(point.fresh),
               both ? format_percent(100 * (*point.fresh - *point.live) / std::fabs(*point.live)) : "-"});
  }
  auto const buckets = [](std::size_t count) { return plural(static_cast<std::int64_t>(count), "bucket"); };
  std::string rest;
  if (different > told) rest += "\n" + buckets(different - told) + " more in `backfill.metrics`.\n";
  if (metric.points.size() > different)
    rest += "\n" + buckets(metric.points.size() - different) + " without a difference.\n";
  return "### " + escaped(metric.name) + "\n\n" + table.text() + rest + "\n";
}

// Before the first audit there is nothing to compare with.
std::string metrics(const Story &story) {
  bool const compared = std::any_of(story.metrics.begin(), story.metrics.end(), [](const Story::Metric &metric) {
    return std::any_of(metric.points.begin(), metric.points.end(),
                       [](const Story::Point &point) { return point.fresh.has_value(); });
  });
  if (!compared) return "";
  std::string out = "## Metrics\n\n", same;
  for (const Story::Metric &metric : story.metrics)
    if (std::none_of(metric.points.begin(), metric.points.end(), differs))
      same += (same.empty() ? "" : ", ") + escaped(metric.name);
    else
      out += metric_text(metric);
  return same.empty() ? out : out + "**No difference in:** " + same + "\n\n";
}

// -- the rest

std::string phases(const Story &story) {
  if (story.phases.empty()) return "";
  Table table({"Phase", "Steps", "Begins After", "Duration"});
  for (const Story::Phase &phase : story.phases)
    table.add({phase.name, format_count(phase.done) + " / " + format_count(phase.steps), format_duration(phase.from),
               format_duration(phase.to - phase.from)});
  return "## Phases\n\n" + table.text() + "\n";
}

std::string dependents(const Story &story) {
  if (story.dependents.empty()) return "";
  Table table({"Object", "Kind", "Fate", "Detail"});
  for (const Story::Dependent &dependent : story.dependents)
    table.add({escaped(dependent.object), escaped(dependent.kind), dependent.fate, cell(dependent.detail)});
  return "## Dependents\n\n" + table.text() + "\n";
}

std::string history(const Story &story) {
  if (story.events.empty()) return "";
  std::string out = "## History\n\n";
  if (story.events_total > shown::events)
    out += "The newest " + format_count(shown::events) + " of " + plural(story.events_total, "event") + ":\n\n";
  Table table({"When", "Event", "By", "Detail"});
  for (const Story::Event &event : story.events)
    table.add({event.at, escaped(event.event), escaped(event.by), cell(event.detail)});
  return out + table.text() + "\n";
}

std::string way_back(const Story &story) {
  std::string const out = "## Rollback\n\n" + story.way_back + "\n\n";
  return story.way_back_command.empty() ? out : out + sql(story.way_back_command) + "\n";
}

std::string next_step(const Story &story) {
  return story.next_command.empty() ? "" : "## Next\n\n" + story.next + ":\n\n" + sql(story.next_command);
}

}  // namespace

std::string markdown_report(const Story &story) {
  std::string out = head(story) + progress(story) + failures(story) + checks(story) + changes(story) + metrics(story) +
                    phases(story) + dependents(story) + history(story) + way_back(story) + next_step(story);
  while (out.ends_with("\n")) out.pop_back();
  return out;
}

}  // namespace backfill
