#include "pg/random.hpp"

#include "pg/postgres.hpp"

extern "C" {
#include "common/pg_prng.h"
}

namespace backfill::pg {

std::int64_t random_between(std::int64_t least, std::int64_t most) {
  return static_cast<std::int64_t>(
      pg_prng_uint64_range(&pg_global_prng_state, static_cast<uint64>(least), static_cast<uint64>(most)));
}

}  // namespace backfill::pg
