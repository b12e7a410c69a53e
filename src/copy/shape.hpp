// One version of a table given the shape of another: the shadow that of live, and before a way back the archive that of
// what is in service by then.
//
// Columns are paired by name; indexes by the name that the twin of an index has while it is out of service.  Everything is
// idempotent and runs in the caller's transaction.  Locks: ACCESS EXCLUSIVE on `to` at most, ACCESS SHARE on `from`.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"

namespace backfill {

struct Versions {
  Oid from = 0, to = 0;
  std::string (*twin)(const Job &, const std::string &);  // what an index called so on `from` is called on `to`
};

// "schema"."name" for SQL.
std::string table_sql(Oid relation);

// Storage options of a table and of its TOAST table, ready for WITH and SET.
struct Option {
  std::string name, value;  // name: quoted, with "toast". in front where it is the TOAST table's
  bool autovacuum;          // is it autovacuum_enabled?
};
std::vector<Option> options_of(Oid table);

// What changes no meaning: statistics targets and options, storage, compression and comments of columns; options,
// replica identity, cluster mark and comment of the table; comments on constraints and indexes; targets and owners of
// statistics objects.  As `from` has them, set or not.  autovacuum: autovacuum_enabled as well.
void align_settings(const Job &job, const Versions &versions, bool autovacuum);

// What `to` demands and `from` does not any more: NOT NULL, CHECK, and indexes that are twins of none (never the one of
// the job's key).  Defaults as `from` has them.
void loosen(const Job &job, const Versions &versions);

// What `from` demands and `to` does not yet, and indexes and statistics objects it lacks.  What the rows of `to` do not
// allow is left out: returns a line for each, with the statement to run.  What needs a column that `to` does not have
// is left out in silence.
std::vector<std::string> tighten(const Job &job, const Versions &versions);

// Builds on `to` a copy of an index of `from` and of the constraint it carries, with its comments and statistics targets.
// Does nothing where it is there already; warns and does nothing for an invalid index.  Errors: 42704 when `from` no longer
// has it; 23505, 23P01 when the rows do not allow it.  Locks: SHARE on `to`.
void copy_index(const Job &job, Oid index, const Versions &versions);

}  // namespace backfill
