#include "core/batch.hpp"

#include <algorithm>
#include <cmath>

namespace backfill {
namespace {

constexpr double widest = 4e18;  // within int64, with room to double

std::int64_t rounded(double width) { return std::llround(std::clamp(width, 1.0, widest)); }

}  // namespace

std::int64_t next_width(std::int64_t width, double actual_ms, double target_ms) {
  const double wanted = actual_ms > 0 ? target_ms / actual_ms : batch_growth;
  return rounded(static_cast<double>(width) * std::clamp(wanted, 1 / batch_shrink, batch_growth));
}

std::int64_t next_width(std::int64_t width, std::int64_t rows, double actual_ms, double target_ms) {
  const double share = rows > 0 ? static_cast<double>(batch_rows_least) / static_cast<double>(rows) : 1;
  const std::int64_t least = rounded(static_cast<double>(width) * std::min(share, 1.0));
  return std::max(next_width(width, actual_ms, target_ms), least);
}

std::int64_t limited_width(std::int64_t next, std::int64_t width, double rows, double most) {
  if (rows <= 0) return next;
  return std::min(next, rounded(static_cast<double>(width) * std::max(most, 0.0) / rows));
}

std::int64_t BatchSizer::width_for(std::int64_t remaining) const {
  const bool sliver = remaining - width_ < width_ / 2;  // also where width_ covers it all
  return sliver ? remaining : width_;
}

void BatchSizer::record(std::int64_t width, double actual_ms) {
  const std::int64_t scaled = next_width(std::max<std::int64_t>(width, 1), actual_ms, target_ms_);
  width_ = width < width_ && actual_ms <= target_ms_ ? std::max(scaled, width_) : scaled;
}

void BatchSizer::record_failure() { width_ = rounded(static_cast<double>(width_) / batch_shrink); }

}  // namespace backfill
