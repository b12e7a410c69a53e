// Tables that a publication takes in unasked: FOR ALL TABLES, FOR TABLES IN SCHEMA.
#pragma once

#include "pg/spi.hpp"

namespace backfill::pg {

// The server refuses to update and delete rows that are published without a replica identity.  A table that has just been
// made has none: where such a publication has it, it gets REPLICA IDENTITY FULL.  As the extension.
void identify_rows(Oid table);

}  // namespace backfill::pg
