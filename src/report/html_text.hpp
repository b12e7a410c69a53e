// Text in HTML.
#pragma once

#include <string>

namespace backfill {

// For content and for attributes in double quotes.  Characters that XML does not know are shown as U+FFFD.
std::string escape_html(const std::string &text);

// What a person named: isolated, so that its direction changes nothing around it.
std::string name_html(const std::string &name);

// Escaped, with `what stands in backticks` as code.
std::string prose_html(const std::string &text);

// "12.34%": of an SVG coordinate or a CSS length.  share: 0 to 1.
std::string percent_of(double share);

}  // namespace backfill
