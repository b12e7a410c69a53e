// Queries with which a person checks by hand what the audit has checked, filled in with the job's names and ranges.
#pragma once

#include <string>

#include "report/facts.hpp"

namespace backfill {

// Two sections of Markdown, "Before the publish" (new version against the table in service) and "After the publish" (table
// in service against archive).  REQUIRES: as_extension.
std::string validation_queries(const Facts &facts);

}  // namespace backfill
