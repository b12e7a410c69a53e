#include "core/bucket.hpp"

#include <algorithm>

namespace backfill {

namespace {
constexpr double day = 86400e6;  // µs
}

std::int64_t Bucket::take(std::int64_t amount, std::int64_t rate, std::int64_t now) {
  const double cost = static_cast<double>(std::max<std::int64_t>(amount, 0)) / static_cast<double>(rate) * 1e6;
  const auto span = static_cast<std::int64_t>(std::min(cost, day));
  std::int64_t paid = paid_until_.load();
  for (;;) {
    const std::int64_t until =
        std::min(std::max(paid, now - bucket_holds) + span, now + static_cast<std::int64_t>(day));
    if (paid_until_.compare_exchange_weak(paid, until)) return until;
  }
}

std::int64_t Bucket::debt(std::int64_t now) const { return std::max<std::int64_t>(0, paid_until_.load() - now); }

}  // namespace backfill
