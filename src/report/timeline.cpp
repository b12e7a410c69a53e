// What ran when: a row a phase, a bar a step, steps that ran at the same time in lanes below each other.
//
// A job may stand ready for hours between minutes of work, so idle stretches are cut: time is divided into stretches of
// work, and a gap of more than a tenth of all work is drawn as a mark of fixed width that says how long it was.
#include <algorithm>
#include <vector>

#include "core/page.hpp"
#include "core/units.hpp"
#include "report/html_text.hpp"
#include "report/svg.hpp"

namespace backfill {

namespace {

constexpr double gap_share = 0.05, longest_gap = 0.1;
constexpr int lane_height = 7, most_lanes = 8;

struct Stretch {
  double from, to;     // seconds since the start
  double left, right;  // shares of the width
};

class Clock {
 public:
  explicit Clock(const std::vector<Story::Phase> &phases) {
    std::vector<std::pair<double, double>> spans;
    for (const Story::Phase &phase : phases) {
      if (phase.bars.empty()) spans.emplace_back(phase.from, phase.to);
      for (const Story::Bar &bar : phase.bars) spans.emplace_back(bar.from, bar.to);
    }
    std::sort(spans.begin(), spans.end());
    double work = 0;
    for (const auto &[from, to] : spans) work += to - from;
    for (const auto &[from, to] : spans) {
      if (stretches_.empty() || from - stretches_.back().to > std::max(longest_gap * work, 0.05))
        stretches_.push_back({from, to, 0, 0});
      else
        stretches_.back().to = std::max(stretches_.back().to, to);
    }
    place();
  }

  double share(double seconds) const {
    for (const Stretch &stretch : stretches_) {
      if (seconds > stretch.to) continue;
      double const part = (std::max(seconds, stretch.from) - stretch.from) / std::max(stretch.to - stretch.from, 1e-9);
      return stretch.left + part * (stretch.right - stretch.left);
    }
    return 1;
  }

  const std::vector<Stretch> &stretches() const { return stretches_; }

 private:
  void place() {
    double busy = 0;
    for (const Stretch &stretch : stretches_) busy += stretch.to - stretch.from;
    double const gaps = gap_share * static_cast<double>(stretches_.size() - 1);
    double at = 0;
    for (Stretch &stretch : stretches_) {
      stretch.left = at;
      double const equal = (1 - gaps) / static_cast<double>(stretches_.size());
      stretch.right = at += busy > 0 ? (1 - gaps) * (stretch.to - stretch.from) / busy : equal;
      at += gap_share;
    }
  }

  std::vector<Stretch> stretches_;
};

// Of each bar the lane, the first that is free.
std::vector<int> lanes_of(const std::vector<Story::Bar> &bars) {
  std::vector<double> free;
  std::vector<int> lanes;
  for (const Story::Bar &bar : bars) {
    std::size_t lane = 0;
    while (lane < free.size() && free[lane] > bar.from + 1e-6) lane++;
    if (lane == free.size() && free.size() == most_lanes) lane = free.size() - 1;
    if (lane == free.size()) free.push_back(0);
    free[lane] = bar.to;
    lanes.push_back(static_cast<int>(lane));
  }
  return lanes;
}

std::string rectangle(const Clock &clock, const Story::Bar &bar, int lane, int height) {
  double const left = clock.share(bar.from), right = clock.share(bar.to);
  std::string const look = bar.status == "failed" ? "failed" : bar.status == "running" ? "running" : "done";
  return "<rect class=\"bar-" + look + "\" x=\"" + percent_of(left) + "\" width=\"" +
         percent_of(std::max(right - left, 0.002)) + "\" y=\"" + std::to_string(lane * lane_height) + "\" height=\"" +
         std::to_string(height) + "\" rx=\"1\"><title>" + escape_html(bar.title) + ": " + bar.status + ", " +
         format_duration(bar.to - bar.from) + ", begun after " + format_duration(bar.from) + "</title></rect>";
}

std::string pauses(const Clock &clock, int height) {
  std::string out;
  for (std::size_t i = 1; i < clock.stretches().size(); i++) {
    Stretch const &before = clock.stretches()[i - 1], &after = clock.stretches()[i];
    std::string const middle = percent_of((before.right + after.left) / 2);
    out += "<g><title>nothing ran for " + format_duration(after.from - before.to) +
           "</title><line class=\"pause-mark\" x1=\"" + middle + "\" x2=\"" + middle + "\" y1=\"0\" y2=\"" +
           std::to_string(height) + "\"/></g>";
  }
  return out;
}

std::string row(const Clock &clock, const Story::Phase &phase) {
  std::vector<Story::Bar> bars = phase.bars;
  if (bars.empty()) bars.push_back({phase.from, phase.to, plural(phase.steps, "step"), "done"});
  std::vector<int> const lanes = lanes_of(bars);
  int const count = *std::max_element(lanes.begin(), lanes.end()) + 1;
  int const height = count == 1 ? 12 : count * lane_height;
  std::string const span = format_duration(phase.to - phase.from);
  std::string out = "<div><span>" + escape_html(phase.name) + " <span class=\"soft\">" + format_count(phase.done) +
                    (phase.done == phase.steps ? "" : " of " + format_count(phase.steps)) +
                    "</span></span><svg height=\"" + std::to_string(height) + "\" role=\"img\" aria-label=\"" +
                    escape_html(phase.name) + ": " + span + ", begun after " + format_duration(phase.from) + "\">" +
                    pauses(clock, height) + "<line class=\"lane\" x1=\"0\" x2=\"100%\" y1=\"" + std::to_string(height) +
                    "\" y2=\"" + std::to_string(height) + "\"/>";
  for (std::size_t i = 0; i < bars.size(); i++)
    out += rectangle(clock, bars[i], lanes[i], count == 1 ? 12 : lane_height - 1);
  return out + "</svg><span class=\"n soft\">" + span + "</span></div>\n";
}

std::string axis(const Clock &clock) {
  std::string out = "<div><span></span><svg height=\"14\" aria-hidden=\"true\">";
  Stretch const &last = clock.stretches().back();
  out += "<text class=\"axis\" x=\"0\" y=\"11\">0</text><text class=\"axis\" x=\"100%\" y=\"11\" text-anchor=\"end\">" +
         format_duration(last.to) + "</text>";
  for (std::size_t i = 1; i < clock.stretches().size(); i++) {
    Stretch const &before = clock.stretches()[i - 1], &after = clock.stretches()[i];
    out += "<text class=\"axis\" x=\"" + percent_of((before.right + after.left) / 2) +
           "\" y=\"11\" text-anchor=\"middle\">" + format_duration(after.from - before.to) + "</text>";
  }
  return out + "</svg><span></span></div>\n";
}

}  // namespace

std::string phase_timeline(const Story &story) {
  if (story.phases.empty()) return "";
  Clock const clock(story.phases);
  std::string out = "<div class=\"time\">\n";
  for (const Story::Phase &phase : story.phases) out += row(clock, phase);
  return out + axis(clock) + "</div>\n" +
         (clock.stretches().size() > 1
              ? "<p class=\"note\">Dashed lines stand for time in which nothing ran; it is cut.</p>\n"
              : "");
}

}  // namespace backfill
