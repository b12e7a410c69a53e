// The checks that every job has unless its spec says otherwise.
#pragma once

#include <vector>

#include "audit/check.hpp"

namespace backfill {

// unique(key), row_count_delta and the shrink guard in scope, exact out of scope, schema_match, and relationships for
// each foreign key, outgoing and incoming.  A check of the spec with the same word (and columns, or scope of `exact`) replaces one.
std::vector<CheckSpec> default_checks(const Job &job);
std::vector<CheckSpec> default_pre_checks(const Job &job);

}  // namespace backfill
