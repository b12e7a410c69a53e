// Databases as a whole: which there are, and whether somebody wants this one to himself.
#pragma once

#include <optional>
#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

// A database that takes connections; also where the caller is connected to none.  In a transaction.
std::optional<Oid> find_database(const std::string &name);

// Somebody holds or waits for a lock that keeps new connections out of this database: DROP DATABASE, ALTER DATABASE …
// RENAME or SET TABLESPACE, CREATE DATABASE … TEMPLATE.  He waits five seconds for those who are connected to leave.
// In a transaction; nothing is waited for, nothing kept.
bool database_is_wanted();

// Ends this process such that the postmaster starts it again by and by (launch_worker with restart; the launcher).  Where
// its database is gone by then, it is not started any more.
[[noreturn]] void step_aside();

}  // namespace backfill::pg
