// Constraints where the server's own commands lock more than need be.
#pragma once

#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

// Renames a foreign key.  REQUIRES: SHARE ROW EXCLUSIVE, or stronger, on its table, to the end of the transaction.
//
// ALTER TABLE … RENAME CONSTRAINT takes ACCESS EXCLUSIVE, since what it renames may be a CHECK or carry an index, which
// readers look at.  Of a foreign key nobody but its triggers (writers, who are shut out), DDL (likewise) and catalog
// readers under their own snapshot reads the name.
// Errors: 42704 when there is no such constraint, 42710 when the table has another one of that name.
void rename_foreign_key(Oid constraint, const std::string &name);

}  // namespace backfill::pg
