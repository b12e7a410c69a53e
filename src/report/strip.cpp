// Chunks: the strip of cells, and the chart of their rows.
#include <algorithm>
#include <cmath>

#include "core/page.hpp"
#include "core/units.hpp"
#include "report/html_text.hpp"
#include "report/svg.hpp"

namespace backfill {

namespace {

constexpr std::size_t few_cells = 40;

struct Look {
  const char *css, *word;
};

std::int64_t size_of(const Story::Cell &cell) {
  return cell.done + cell.running + cell.failed + cell.skipped + cell.pending;
}

// Of several chunks the one that needs attention gives the cell its look.
Look look_of(const Story &story, const Story::Cell &cell) {
  if (cell.failed > 0) return {"failed", "failed"};
  if (cell.running > 0)
    return story.state.word == "stalled" ? Look{"running", "interrupted"} : Look{"running", "running"};
  if (cell.pending == size_of(cell)) return {"pending", story.over ? "not run" : "to do"};
  if (cell.pending > 0) return {"partly", "partly done"};
  if (cell.done == 0) return {"skipped", "skipped"};
  return cell.copied ? Look{"copied", "copied as it is"} : Look{"done", "done"};
}

std::string cell_title(const Story &story, const Story::Cell &cell) {
  std::string out = cell.first == cell.last
                        ? "chunk " + std::to_string(cell.first)
                        : "chunks " + std::to_string(cell.first) + " to " + std::to_string(cell.last);
  out += ", " + cell.range + ": " + look_of(story, cell).word;
  if (cell.first != cell.last && cell.failed > 0) out += " (" + format_count(cell.failed) + ")";
  out += "\n" + format_count(cell.rows) + " of ~" + format_count(cell.estimated) + " rows";
  if (cell.seconds) out += ", " + format_duration(*cell.seconds);
  if (!cell.error.empty()) out += "\n" + cell.error;
  return out;
}

std::string key_of(const Story &story) {
  std::vector<std::pair<Look, std::int64_t>> looks;
  for (const Story::Cell &cell : story.cells) {
    Look const look = look_of(story, cell);
    auto const at = std::find_if(looks.begin(), looks.end(),
                                 [&](const auto &known) { return std::string(known.first.word) == look.word; });
    if (at == looks.end())
      looks.emplace_back(look, 1);
    else
      at->second++;
  }
  std::string out = "<ul class=\"key\">";
  for (const auto &[look, count] : looks)
    out += "<li><i class=\"" + std::string(look.css) + "\"></i>" + look.word + " " + format_count(count) + "</li>";
  return out + "</ul>\n";
}

}  // namespace

std::string progress_strip(const Story &story) {
  if (story.cells.empty()) return "";
  bool const few = story.cells.size() <= few_cells;
  std::string const label =
      format_count(story.progress.chunks_done) + " of " + plural(story.progress.chunks_total, "chunk") + " done";
  std::string out =
      std::string("<ol class=\"strip") + (few ? " few" : "") + "\" role=\"img\" aria-label=\"" + label + "\">";
  for (const Story::Cell &cell : story.cells) {
    out += "<li class=\"" + std::string(look_of(story, cell).css) + "\" title=\"" +
           escape_html(cell_title(story, cell)) + "\"";
    if (cell.pending > 0 && cell.done > 0)
      out +=
          " style=\"--share:" + percent_of(static_cast<double>(cell.done) / static_cast<double>(size_of(cell))) + "\"";
    out += "></li>";
  }
  out += "</ol>\n";
  std::int64_t const each = size_of(story.cells.front());
  return out + key_of(story) +
         (each > 1 ? "<p class=\"note\">Each cell is " + format_count(each) + " chunks.</p>\n" : "");
}

std::string rows_chart(const Story &story) {
  std::vector<const Story::Cell *> cells;
  std::int64_t most = 0;
  for (const Story::Cell &cell : story.cells) {
    if (cell.copied) continue;
    cells.push_back(&cell);
    most = std::max({most, cell.rows, cell.estimated});
  }
  if (cells.size() < 2 || most == 0) return "";
  double const width = 100.0 / static_cast<double>(cells.size());
  double const gap = std::min(0.6, width * 0.15);
  std::string out =
      "<figure><figcaption>Rows of each chunk; the line is the estimate of the plan</figcaption>"
      "<div class=\"plot columns\"><div class=\"y\"><span>" +
      format_count(most) +
      "</span><span>0</span></div><svg role=\"img\" aria-label=\"Rows of each chunk against the estimate\" "
      "viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\">";
  auto const number = [](double value) { return std::to_string(value); };
  for (std::size_t i = 0; i < cells.size(); i++) {
    double const x = width * static_cast<double>(i);
    double const height = 100.0 * static_cast<double>(cells[i]->rows) / static_cast<double>(most);
    double const expected = 100 - 100.0 * static_cast<double>(cells[i]->estimated) / static_cast<double>(most);
    out += "<g><title>" + escape_html(cell_title(story, *cells[i])) + "</title><rect class=\"hit\" x=\"" + number(x) +
           "\" y=\"0\" width=\"" + number(width) + "\" height=\"100\"/><rect class=\"col\" x=\"" + number(x + gap) +
           "\" y=\"" + number(100 - height) + "\" width=\"" + number(width - 2 * gap) + "\" height=\"" +
           number(height) + "\"/><path class=\"expected\" d=\"M" + number(x + gap) + " " + number(expected) + "H" +
           number(x + width - gap) + "\"/></g>";
  }
  return out + "</svg><div class=\"x\"><span>" + escape_html(cells.front()->range) + "</span><span>" +
         escape_html(cells.back()->range) + "</span></div></div></figure>\n";
}

}  // namespace backfill
