// Figures with units, as people write them in a spec and read them in a plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backfill {

// Each parser returns nothing when the text is not of its form or the value does not fit.
// Digits may be grouped by underscores; units may be in any case, with or without a space.

// "200ms", "1s", "10min", "1 h 30 min", "2 days", "1.5 hours"; units ms s min (m) h d w and their long
// forms; months and years have no fixed length and are refused.  In milliseconds.
std::optional<std::int64_t> parse_duration(std::string_view text);

// "64MB", "1.5 GB", "8192" (bytes); kB MB GB TB are powers of 1024, as in PostgreSQL.  In bytes.
std::optional<std::int64_t> parse_size(std::string_view text);

// "500_000", "~500_000 rows", "500k", "2.5M".  In rows.
std::optional<std::int64_t> parse_count(std::string_view text);

// "2%" and "-0.5 %" are 2.0 and -0.5; the sign % is required.
std::optional<double> parse_percent(std::string_view text);

// "-1.5", "500_000", "1e3".
std::optional<double> parse_number(std::string_view text);

std::string format_count(std::int64_t count);  // 5200000 -> "5,200,000"
std::string format_bytes(std::int64_t bytes);  // 1610612736 -> "1.5 GB"; three significant digits
std::string format_duration(double seconds);   // "120ms" "4.2s" "42s" "3m 20s" "18m" "2h 5m" "3d 4h"; "-" if not finite
std::string format_percent(double percent);    // 2.0 -> "2%", 12.345 -> "12.35%"

}  // namespace backfill
