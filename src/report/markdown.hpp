// A report in Markdown (GitHub's): to paste into a ticket, a channel or a post-mortem.
#pragma once

#include <string>

#include "report/story.hpp"

namespace backfill {

std::string markdown_report(const Story &story);

}  // namespace backfill
