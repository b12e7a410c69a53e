// What subscribers of the target should hear of before it is recomputed.
#pragma once

#include <string>
#include <vector>

#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

// Sentences for the plan: columns that subscribers must have before the publish, and row filters whose outcome the
// backfill changes behind their backs.  Empty where the table is not published.
std::vector<std::string> publication_warnings(pg::Oid live, const Spec &spec);

}  // namespace backfill
