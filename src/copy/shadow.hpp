// The shadow table: created beside the target without indexes, filled, then given everything the target has.
//
// Privileges are not among it before the swap: until then nobody but the owner has business there, and who could write
// to the shadow would go past the triggers of live.
#pragma once

#include <string>

#include "catalog/job.hpp"

namespace backfill {

// Creates the shadow (LIKE INCLUDING ALL EXCLUDING INDEXES plus added columns; owner, access method, tablespace and
// options of live; autovacuum off), stores its OID in the job and returns it.  CHECK constraints that live does not
// guarantee (NOT VALID) wait for finish_shape.
// Errors: 42P01 when live is gone, 55000 when it is no longer the planned table or belongs to somebody else, 42P07 when
// the name is taken.  Locks: ACCESS SHARE on the target.
Oid create_shadow(const Job &job);
// The same table, called job.shadow_name, without a word in the job: for a sample.
Oid create_version(const Job &job);

// Builds on the shadow a copy of live's index and of the constraint it carries, under shadow_index_name(), with
// its comments and statistics targets.  Does nothing where it is there already; warns and does nothing for an invalid
// index.  Errors: 42704 when live no longer has it; 23505, 23P01 when the shadow's rows do not allow it.
// Locks: SHARE on the shadow, ACCESS SHARE on the target.
void build_index(const Job &job, Oid live_index);

// What an index, sequence or statistics object of live is called on the shadow before the swap, and on the archive
// after it.  Different names stay different, however long they are.
std::string shadow_index_name(const Job &job, const std::string &name);
std::string archive_index_name(const Job &job, const std::string &name);
std::string sample_index_name(const Job &job, const std::string &name);

// Statistics targets and options of columns and of statistics objects, NOT VALID constraints, replica identity, cluster
// mark, comments.  Idempotent.  REQUIRES: all indexes are built.  Locks: ACCESS EXCLUSIVE on the shadow.
void finish_shape(const Job &job);

// For the swap: gives the shadow exactly live's autovacuum options.  Locks: SHARE UPDATE EXCLUSIVE on the shadow.
void restore_autovacuum(const Job &job);

void analyze_shadow(const Job &job);  // ANALYZE within the transaction

}  // namespace backfill
