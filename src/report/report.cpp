#include "report/report.hpp"

#include "core/error.hpp"
#include "report/html.hpp"
#include "report/markdown.hpp"
#include "report/story.hpp"

namespace backfill {

std::string report_backfill(const std::string &name, const std::string &format) {
  bool const html = format == "html";
  if (!html && format != "markdown" && format != "md")
    throw Error(sqlstate::invalid_parameter_value, "unknown report format \"" + format + "\"",
                "The formats are 'markdown' and 'html'.",
                "Write backfill_report(name) or backfill_report(name, 'html').");
  Story const story = gather_story(find_job(name));
  return html ? html_report(story) : markdown_report(story);
}

}  // namespace backfill
