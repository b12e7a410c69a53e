// The range of a chunk as people say it.
#pragma once

#include <string>
#include <string_view>

namespace backfill {

// Half-open [lo, hi), given as PostgreSQL prints dates, timestamps and integers under DateStyle ISO:
//   2023-01-01 .. 2024-01-01            "2023"
//   2023-01-01 .. 2023-04-01            "Q1 2023"
//   2023-01-01 .. 2023-02-01            "Jan 2023"
//   2023-07-03 .. 2023-07-04            "2023-07-03"
//   2023-07-03 .. 2023-07-10            "2023-07-03 – 2023-07-09"
//   2023-07-03 14:00 .. 2023-07-03 15:00  "2023-07-03 14:00 – 15:00"
//   100 .. 200                          "100 – 199"
// Anything else (BC, fractions of a second) is told as "from lo until before hi".  Zone offsets are not told.
std::string range_text(std::string_view lo, std::string_view hi);

}  // namespace backfill
