#include "catalog/placement.hpp"

#include "core/error.hpp"

namespace backfill {

namespace {

constexpr Placement placements[] = {{"swap", true, false}, {"merge", false, true}};

}  // namespace

const Placement &placement_named(const std::string &word) {
  for (const Placement &placement : placements)
    if (word == placement.word) return placement;
  throw Error(sqlstate::internal_error, "there is no strategy \"" + word + "\"");
}

const Placement &placement_of(const Job &job) { return placement_named(job.strategy); }

}  // namespace backfill
