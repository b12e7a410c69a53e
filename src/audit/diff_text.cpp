// The diff as text: blocks of aligned columns, labels to the left, numbers to the right, so that psql shows a page.
#include "audit/diff_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "catalog/placement.hpp"
#include "core/joined.hpp"
#include "core/page.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

using Lines = std::vector<std::string>;

// The first cell of a row stands left, the others right; the first row is the heading, and stands out by two.
class Block {
 public:
  explicit Block(Lines heading) { rows_.push_back(std::move(heading)); }
  void add(Lines cells) { rows_.push_back(std::move(cells)); }

  void tell(Lines &lines) const {
    std::vector<std::size_t> widths(rows_[0].size(), 0);
    for (std::size_t r = 0; r < rows_.size(); r++)
      for (std::size_t c = 0; c < rows_[r].size(); c++)
        widths[c] = std::max(widths[c], columns(rows_[r][c]) + (c == 0 && r > 0 ? 2 : 0));
    for (std::size_t r = 0; r < rows_.size(); r++) {
      std::string line = r == 0 ? "" : "  ";
      line += padded(rows_[r][0], widths[0] - line.size());
      for (std::size_t c = 1; c < rows_[r].size(); c++) line += "   " + right(rows_[r][c], widths[c]);
      while (line.ends_with(' ')) line.pop_back();
      lines.push_back(std::move(line));
    }
  }

 private:
  std::vector<Lines> rows_;
};

std::string share(std::int64_t part, std::int64_t whole) {
  if (part == 0 || whole <= 0) return "";
  double const percent = 100 * static_cast<double>(part) / static_cast<double>(whole);
  if (percent < 0.1) return "< 0.1%";
  if (percent > 99.9 && part != whole) return "> 99.9%";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", percent);
  return text;
}

void tell_rows(const DiffHeading &heading, const Difference &difference, Lines &lines) {
  std::int64_t const all = difference.added + difference.removed + difference.changed + difference.unchanged;
  Block block({"Rows in " + heading.of, "", ""});
  auto const row = [&](const char *label, std::int64_t count) {
    block.add({label, format_count(count), share(count, all)});
  };
  row("added", difference.added);
  row("removed", difference.removed);
  row("changed", difference.changed);
  row("unchanged", difference.unchanged);
  block.tell(lines);
}

void tell_columns(const Difference &difference, Lines &lines) {
  if (difference.columns.empty()) return;
  std::int64_t const pairs = difference.changed + difference.unchanged;
  Block block({"Columns", "changed", "of rows", "became null", "filled where null"});
  for (const ColumnDifference &column : difference.columns)
    block.add({column.name, format_count(column.changed), share(column.changed, pairs), format_count(column.emptied),
               format_count(column.filled)});
  lines.emplace_back("");
  block.tell(lines);
}

void tell_shifts(const Difference &difference, Lines &lines) {
  Block block({"Moved by", "mean", "p50", "p95", "max", "net mean"});
  bool any = false;
  for (const ColumnDifference &column : difference.columns) {
    if (!column.shift) continue;
    any = true;
    ColumnDifference::Shift const &shift = *column.shift;
    block.add({column.name, shift_text(shift, shift.mean), shift_text(shift, shift.p50), shift_text(shift, shift.p95),
               shift_text(shift, shift.max), (shift.net > 0 ? "+" : "") + shift_text(shift, shift.net)});
  }
  if (!any) return;
  lines.emplace_back("");
  block.tell(lines);
}

void tell_changes(const DiffSamples &samples, Lines &lines) {
  if (samples.changed.empty()) return;
  lines.emplace_back("");
  lines.emplace_back("First changed rows, before -> after");
  for (const DiffSamples::Row &row : samples.changed) {
    lines.push_back("  " + row.key);
    std::size_t names = 0, values = 0;
    for (const DiffSamples::Change &change : row.changes) {
      names = std::max(names, columns(change.column));
      values = std::max(values, columns(change.before));
    }
    for (const DiffSamples::Change &change : row.changes)
      lines.push_back("      " + padded(change.column, names) + "   " + padded(change.before, values) + " -> " +
                      change.after);
  }
}

void tell_keys(const std::string &title, const Lines &keys, Lines &lines) {
  if (keys.empty()) return;
  lines.emplace_back("");
  lines.push_back(title);
  for (const std::string &key : keys) lines.push_back("  " + key);
}

void tell_limits(const Job &job, const DiffHeading &heading, const Difference &difference, Lines &lines) {
  lines.emplace_back("");
  if (difference.pending > 0)
    lines.push_back(format_count(difference.pending) + (difference.pending == 1 ? " key" : " keys") +
                    " written meanwhile and not drained yet left out.");
  if (!heading.left_out.empty())
    lines.push_back("Not compared, because only one version has it, or with another type: " + joined(heading.left_out) +
                    ".");
  if (!placement_of(job).builds_whole)
    lines.emplace_back("Rows out of scope are not read here: publishing does not touch them.");
  else
    lines.emplace_back(job.start || heading.of.starts_with("chunk")
                           ? "Rows out of scope are not read here: the check exact proves them unchanged."
                           : "Every row of the table is in scope.");
}

}  // namespace

std::string figure_text(double value) {
  if (!std::isfinite(value)) return "-";
  if (std::fabs(value) >= 1e15 || (value != 0 && std::fabs(value) < 1e-4)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
  }
  if (std::fabs(value) >= 999.95) return format_count(std::llround(value));
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string shift_text(const ColumnDifference::Shift &shift, double value) {
  return shift.seconds && value != 0 ? format_duration(value) : figure_text(value);
}

std::vector<std::string> diff_text(const Job &job, const DiffHeading &heading, const Difference &difference,
                                   const DiffSamples &samples) {
  Lines lines = {"Backfill \"" + job.name + "\": " +
                     (difference.published ? "what publishing has changed in " : "what publishing would change in ") +
                     heading.table,
                 ""};
  tell_rows(heading, difference, lines);
  tell_columns(difference, lines);
  tell_shifts(difference, lines);
  tell_changes(samples, lines);
  tell_keys("First added rows", samples.added, lines);
  tell_keys("First removed rows", samples.removed, lines);
  tell_limits(job, heading, difference, lines);
  return lines;
}

}  // namespace backfill
