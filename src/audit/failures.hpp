// Rows at fault, kept for checks with store_failures in a table beside the target: the owner's, without privileges for
// anybody else, emptied when the check runs again.  Evidence and events hold how many they are, never the rows.
#pragma once

#include <string>

#include "audit/check.hpp"

namespace backfill {

// Before a check runs: what an earlier audit has kept goes.
void empty_failures(const Job &job, const Check &check);

// Keeps the scene's rows at fault, up to the check's limit (1000) over all its scenes; makes the table where it does not
// exist.  Returns a phrase: how many are kept, and where.
std::string store_failures(const Check &check, const Scene &scene);

}  // namespace backfill
