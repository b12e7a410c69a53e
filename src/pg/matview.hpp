// What the server's SQL does not offer for a materialized view: another query under the same OID, and contents that were
// computed elsewhere.
#pragma once

#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

// Gives a materialized view another query; its contents, and everything that hangs on it, stay.
// Errors: 42809 not a materialized view, 42P16 when the query's columns are not the view's in number and type, and
// whatever parsing it raises.  Locks: SHARE UPDATE EXCLUSIVE on the view (nobody refreshes or drops it, readers go on),
// ACCESS SHARE on what the query reads.
void replace_query(Oid matview, const std::string &query);

// Exchanges what two relations store: two tables or materialized views of the same columns, with their TOAST tables, or
// two indexes of the same definition.
// REQUIRES: ACCESS EXCLUSIVE on both; same access method.
void exchange_storage(Oid one, Oid other);

// After exchange_storage, when the other one is gone: the TOAST table is called after the relation it belongs to.
void name_toast_table(Oid relation);

}  // namespace backfill::pg
