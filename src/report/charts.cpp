// Figures of live and the new version, as lines and bars.
#include <algorithm>
#include <cmath>

#include "audit/diff_text.hpp"
#include "core/units.hpp"
#include "report/html_text.hpp"
#include "report/svg.hpp"

namespace backfill {

namespace {

using Value = std::optional<double> Story::Point::*;

// The scale begins at zero where that costs less than half of its height.
struct Scale {
  double low = 0, high = 1;

  explicit Scale(const Story::Metric &metric) {
    bool first = true;
    for (const Story::Point &point : metric.points)
      for (const auto &value : {point.live, point.fresh}) {
        if (!value || !std::isfinite(*value)) continue;
        low = first ? *value : std::min(low, *value);
        high = first ? *value : std::max(high, *value);
        first = false;
      }
    if (low > 0 && low < high * 0.6) low = 0;
    if (high < 0 && high > low * 0.6) high = 0;
    if (low == high) low -= std::max(1.0, std::fabs(low) * 0.1), high += std::max(1.0, std::fabs(high) * 0.1);
  }
  double y(double value) const { return 4 + 92 * (high - value) / (high - low); }
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

// Gaps where a bucket has no value; a value alone is a short dash.
std::string line(const Story::Metric &metric, const Scale &scale, Value value, const char *css) {
  double const step = 100.0 / static_cast<double>(metric.points.size());
  std::string path;
  std::size_t run = 0;
  double x = step / 2, y = 0;
  auto const end_run = [&] {
    if (run == 1) path += "h" + number(step / 4);
    run = 0;
  };
  for (const Story::Point &point : metric.points) {
    if (point.*value && std::isfinite(*(point.*value))) {
      y = scale.y(*(point.*value));
      path += (run == 0 ? "M" : "L") + number(x) + " " + number(y);
      run++;
    } else {
      end_run();
    }
    x += step;
  }
  end_run();
  return path.empty() ? "" : "<path class=\"" + std::string(css) + "\" d=\"" + path + "\"/>";
}

std::string value_text(const std::optional<double> &value) { return value ? figure_text(*value) : "none"; }

std::string hits(const Story::Metric &metric) {
  double const step = 100.0 / static_cast<double>(metric.points.size());
  std::string out;
  double x = 0;
  for (const Story::Point &point : metric.points) {
    out += "<rect class=\"hit\" x=\"" + number(x) + "\" y=\"0\" width=\"" + number(step) + "\" height=\"100\"><title>" +
           escape_html(point.bucket) + "\nlive " + value_text(point.live) + "\nnew " + value_text(point.fresh) +
           "</title></rect>";
    x += step;
  }
  return out;
}

}  // namespace

std::string metric_chart(const Story::Metric &metric) {
  if (metric.points.empty()) return "";
  Scale const scale(metric);
  return "<figure><h3>" + name_html(metric.name) + "</h3><div class=\"plot\"><div class=\"y\"><span>" +
         figure_text(scale.high) + "</span><span>" + figure_text(scale.low) +
         "</span></div><svg role=\"img\" aria-label=\"" + escape_html(metric.name) + ", live and new, " +
         escape_html(metric.points.front().bucket) + " to " + escape_html(metric.points.back().bucket) +
         "\" viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\">" + hits(metric) +
         line(metric, scale, &Story::Point::live, "live") + line(metric, scale, &Story::Point::fresh, "fresh") +
         "</svg><div class=\"x\"><span>" + escape_html(metric.points.front().bucket) + "</span><span>" +
         (metric.points.size() > 1 ? escape_html(metric.points.back().bucket) : "") + "</span></div></div></figure>\n";
}

std::string metric_key() {
  auto const sample = [](const char *css, const char *word) {
    return std::string("<li><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"") + css +
           "\" d=\"M1 4H21\"/></svg>" + word + "</li>";
  };
  return "<ul class=\"key\">" + sample("live", "live") + sample("fresh", "new version") + "</ul>\n";
}

std::string rows_share(const Difference &difference) {
  struct Part {
    const char *css, *word;
    std::int64_t count;
  };
  Part const parts[] = {{"share-same", "unchanged", difference.unchanged},
                        {"share-changed", "changed", difference.changed},
                        {"share-added", "added", difference.added},
                        {"share-removed", "removed", difference.removed}};
  std::int64_t all = 0;
  for (const Part &part : parts) all += part.count;
  std::string bars, key = "<ul class=\"key\">", label;
  double x = 0;
  for (const Part &part : parts) {
    double const share = all > 0 ? static_cast<double>(part.count) / static_cast<double>(all) : 0;
    std::string const text =
        std::string(part.word) + " " + format_count(part.count) + " (" + format_percent(100 * share) + ")";
    key += std::string("<li><i class=\"") + part.css + "\"></i>" + text + "</li>";
    label += (label.empty() ? "" : ", ") + text;
    if (part.count > 0)
      bars += std::string("<rect class=\"") + part.css + "\" x=\"" + percent_of(x) + "\" width=\"" +
              percent_of(std::max(share, 0.002)) + "\" height=\"16\"><title>" + text + "</title></rect>";
    x += share;
  }
  return "<svg class=\"share\" role=\"img\" aria-label=\"Rows: " + label + "\">" + bars + "</svg>\n" + key + "</ul>\n";
}

std::string meter(std::int64_t part, std::int64_t whole) {
  double const share = whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  return "<span class=\"share-text\">" + format_percent(100 * share) +
         "</span><svg class=\"meter\" aria-hidden=\"true\"><rect class=\"track\" width=\"100%\" height=\"6\" "
         "rx=\"3\"/><rect "
         "class=\"fill\" width=\"" +
         percent_of(share) + "\" height=\"6\" rx=\"3\"/></svg>";
}

}  // namespace backfill
