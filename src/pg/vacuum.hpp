// VACUUM, which runs transactions of its own and therefore cannot be a statement of ours.
#pragma once

#include "pg/spi.hpp"

namespace backfill::pg {

// Workers only, outside of a transaction.  Marks the pages all-visible, so that the first index-only scan after publish
// is one.  Errors: what VACUUM raises; the transaction it was in is aborted.  Locks: SHARE UPDATE EXCLUSIVE on relation.
void vacuum(Oid relation);

}  // namespace backfill::pg
