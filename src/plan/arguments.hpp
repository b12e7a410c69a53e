// The named arguments of backfill_plan(name, target, …) as the spec document they stand for.
#pragma once

#include "core/node.hpp"
#include "pg/function.hpp"

namespace backfill {

// Arguments in the order of src/sql/functions.sql; null ones are left out, options is laid over the rest.
Node document_of_arguments(const pg::Call &call);

}  // namespace backfill
