// Can the spec's read_from work?  What this server's catalog can tell, without a connection.
#pragma once

#include <string>
#include <vector>

#include "core/spec.hpp"
#include "plan/target.hpp"
#include "plan/transform_check.hpp"

namespace backfill {

// One line or two about who reads what where; empty where the spec says no read_from.
// Errors: those of pg::find_foreign_server for the target's owner; 0A000 when the transform reads what no standby has, or
// its strays could not be told.
std::vector<std::string> check_read_from(const Target &target, const Spec &spec, const TransformFacts &transform,
                                         const std::string &search_path);

}  // namespace backfill
