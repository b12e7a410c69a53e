// One statement of a user's that is run for what it does, not for what it returns.
//
// Both are called as the role it is to run as, with the search_path it means.
#pragma once

#include <cstdint>
#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

struct StatementFacts {
  Oid procedure = 0;  // that it calls
  Oid matview = 0;    // that it refreshes
  bool concurrently = false, no_data = false;
};

// Asks the server what it thinks of it: one statement that may be run in a transaction to compute something (SELECT,
// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, CALL, DO, REFRESH MATERIALIZED VIEW).  Nothing of it is run.  Raises 42601 for
// anything else, and what analysis raises: no such table, procedure, privilege of schema.
StatementFacts check_statement(const std::string &sql);

// Runs it, without keeping its rows; returns how many it returned or changed.  A procedure cannot commit in it (2D000).
std::int64_t run_statement(const std::string &sql);

}  // namespace backfill::pg
