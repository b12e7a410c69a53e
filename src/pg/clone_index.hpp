// Copies of indexes, made from the server's own statement nodes: no text of a definition is edited.
#pragma once

#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

// Builds on `table` a copy of `index` (of another table with columns of the same names and types) called `name`: same
// access method, operator classes, collations, options, tablespace, predicate, expressions, INCLUDE and NULLS NOT
// DISTINCT, and the same constraint where it carries one (primary key, unique, exclusion, deferrable).  Not copied:
// comments, statistics targets, CLUSTER and REPLICA IDENTITY marks.
// Expressions are evaluated as the table's owner, in a security-restricted operation.
// Locks: ACCESS SHARE on the source, SHARE on `table` (to the end of the transaction).
void clone_index(Oid index, Oid table, const std::string &name);

}  // namespace backfill::pg
