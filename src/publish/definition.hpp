// What the movers of the table's own objects (triggers, rules, policies) share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "publish/attempt.hpp"
#include "publish/swap.hpp"

namespace backfill {

// Raises 55000 when one of these objects of `out` (OIDs in `catalog`: pg_trigger, pg_rewrite, pg_policy) uses a column
// that `in` does not have: made after the publish on a column that the backfill added, it stands in the way back.
void require_columns(const Swap &swap, const std::string &catalog, const std::vector<Oid> &objects);

// Relations that the definitions of these objects mention, less those that are swapped: creating the objects anew locks
// them.
std::vector<LockRequest> mentioned_relations(const Swap &swap, const std::string &catalog,
                                             const std::vector<Oid> &objects, pg::LockMode mode);

// COMMENT ON <what> IS <comment>; nothing where there is none.  For objects just made.
void append_comment(std::vector<std::string> &sql, const std::string &what, const std::optional<std::string> &comment);

}  // namespace backfill
