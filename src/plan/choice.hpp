// Which strategy a backfill takes.
#pragma once

#include <optional>
#include <string>

#include "catalog/placement.hpp"
#include "plan/chunks.hpp"
#include "plan/target.hpp"
#include "plan/written.hpp"

namespace backfill {

struct Choice {
  const Placement *placement = nullptr;
  std::optional<Unwritable> unwritable;  // why not merge
};

// As the spec says; `auto` takes merge for a small part of a large table whose rows can be written within max_lock even if each
// of them differs, and swap otherwise.  chunks: as for swap.
// Errors: 0A000 for partition, and for merge where rows cannot be written where they are.
Choice choose_strategy(const Target &target, const Spec &spec, const std::vector<std::string> &key,
                       const ChunkPlan &chunks);

}  // namespace backfill
