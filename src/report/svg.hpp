// The pictures of an HTML report, as inline SVG and lists that CSS paints.  All of them can be hovered for figures, say in a
// label what they show, and keep their shape at any width: positions are percentages, text is outside of what stretches.
#pragma once

#include <string>

#include "report/story.hpp"

namespace backfill {

std::string progress_strip(const Story &story);            // a cell a chunk
std::string rows_chart(const Story &story);                // a column a chunk: its rows, and how many were expected
std::string phase_timeline(const Story &story);            // what ran when; idle time is cut
std::string metric_chart(const Story::Metric &metric);     // live and new, bucket by bucket
std::string metric_key();                                  // which line is which
std::string rows_share(const Difference &difference);      // added, removed, changed, unchanged
std::string meter(std::int64_t part, std::int64_t whole);  // a thin bar within a cell of a table

}  // namespace backfill
