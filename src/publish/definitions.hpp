// The way back for definitions that the server words otherwise once the table has more columns (catalog/definition.hpp).
// Only where the backfill adds columns; elsewhere nothing is done.
#pragma once

#include <string>
#include <vector>

#include "publish/swap.hpp"

namespace backfill {

// What the movers that restate definitions say, mover by mover.
using Definitions = std::vector<std::vector<std::string>>;

// Before a publish, while the old names hold.
Definitions definitions_before(const Swap &swap);
// After it: keeps those that read otherwise by now.  published: the job as it is then.
void remember_definitions(const Job &published, const Definitions &before);
// For a rollback: what nobody has changed since the publish gets back the definition it had.
void recall_definitions(const Job &job, std::vector<std::string> &statements);

}  // namespace backfill
