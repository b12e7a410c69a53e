// What was true of the target when it was planned, and must still be.
#pragma once

#include <string>
#include <vector>

#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

// functions: those the transform calls, sorted.  See table_fingerprint() of plan/plan.hpp.
std::string take_fingerprint(pg::Oid live, const Spec &spec, const std::vector<pg::Oid> &functions);

}  // namespace backfill
