// What a user can do about dependents that cannot be moved.
#pragma once

#include <string>
#include <vector>

#include "plan/dependents.hpp"

namespace backfill {

// A sentence or two for each kind among the blockers; of several kinds a line each, beginning with the kind.
std::string remedy(const std::vector<Dependent> &blockers);

}  // namespace backfill
