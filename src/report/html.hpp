// A report as one HTML file: no network, no script; to open, to mail, to print.
#pragma once

#include <string>

#include "report/story.hpp"

namespace backfill {

// Well-formed as XML, too.
std::string html_report(const Story &story);

}  // namespace backfill
