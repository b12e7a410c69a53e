// One connection of this process to another server, from which rows stream into a table here.
//
// libpq is driven on the latch: whatever is waited for, an interrupt ends it, and with it the connection.  There is no
// call that blocks (but for the resolving of a host's name).  A statement in flight is not cancelled by a connection of
// its own, which could block: the connection is closed, and the other server, which is told to look for that every second, ends it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "pg/foreign_server.hpp"

namespace backfill::pg {

// It is the replica that cannot go on, or cannot be trusted now, not the work that is wrong: the same may be tried again.
class ReplicaError final : public Error {
 public:
  using Error::Error;
};

// Connects, in place of what was connected before.  Call it outside of a transaction: it may take up to timeout_ms.
// Errors: ReplicaError; 2F003 where server.needs_password and the other side did not ask for one, so that nobody gets in
// there for being this server's operating system user.
void open_replica(const ForeignServer &server, long timeout_ms);
void close_replica() noexcept;
bool replica_is_open();  // as far as is known

// Runs one statement there that returns one row.  Errors: ReplicaError; others with the remote SQLSTATE.  Any error closes
// the connection.
std::vector<std::optional<std::string>> ask_replica(const std::string &sql);

struct StreamTarget {
  Oid table;
  std::vector<std::string> columns;  // of the SELECT, in this order
  bool binary;                       // or in text form, for types that have no binary one
  std::string condition;             // rows that do not fulfil it are left out; "" for all
};

struct Streamed {
  std::int64_t sent = 0;    // by the other server
  std::int64_t stored = 0;  // here
};

// COPY (select) TO STDOUT there, COPY target FROM STDIN here, in the current transaction: the server's own code, with the
// table's constraints, generated columns and indexes.  Returns only when the stream has come to its proper end.
// Errors: ReplicaError; those of the select with the remote SQLSTATE; those of the table.  Any error closes the
// connection.  REQUIRES: the current role may write to the table.  Locks: ROW EXCLUSIVE on the table.
Streamed copy_from_replica(const std::string &select, const StreamTarget &target);

}  // namespace backfill::pg
