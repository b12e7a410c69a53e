// Privileges of relations, array for array: grantors, grant options and the difference between "never granted" and
// "granted the default" survive, which GRANT and REVOKE cannot express.
#pragma once

#include "pg/spi.hpp"

namespace backfill::pg {

// Gives `to` exactly the privileges of `from`, and to its columns those of the columns of the same name (none where
// `from` has no such column).  REQUIRES: both have the same owner and are locked against concurrent GRANT by the caller.
void copy_privileges(Oid from, Oid to);
// As if nothing had ever been granted or revoked, by default privileges either.
void clear_privileges(Oid relation);

}  // namespace backfill::pg
