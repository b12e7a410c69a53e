// Servers defined for postgres_fdw, as a place to find an address and credentials.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pg/spi.hpp"

namespace backfill::pg {

// How a role reaches a foreign server.
struct ForeignServer {
  std::string name;
  std::vector<std::pair<std::string, std::string>> options;  // libpq keywords, of the server and of the role's mapping
  std::string user;                                          // whom the mapping names there; "" where it does not
  bool needs_password = true;                                // the server must have asked for one: see pg/replica.hpp
};

// The server and the mapping that postgres_fdw would take for `role`: its own, else the one of PUBLIC.
// Errors: 42704 no such server, or no mapping; 42809 not of postgres_fdw; 42501 no USAGE; 2F003 as postgres_fdw: a role
// that is no superuser needs a password in the mapping, unless a superuser has set password_required to false there.
// Locks nothing.
ForeignServer find_foreign_server(const std::string &name, Oid role);

}  // namespace backfill::pg
