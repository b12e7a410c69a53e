// Chance, for pauses: processes that wait for the same thing are not to come back in step.
#pragma once

#include <cstdint>

namespace backfill::pg {

// Any of least … most, each as likely; of the process's own sequence, which the server seeds.  REQUIRES: 0 <= least <= most.
std::int64_t random_between(std::int64_t least, std::int64_t most);

}  // namespace backfill::pg
