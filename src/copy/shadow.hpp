// The shadow table: created beside the target without indexes, filled, then given everything the target has.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// Creates the shadow (LIKE INCLUDING ALL EXCLUDING INDEXES plus added columns; owner, access method, tablespace,
// autovacuum off) and returns its OID.  Checks first that the target is still what was planned (OID, shape).
// Locks: ACCESS SHARE on the target.
Oid create_shadow(const Job &job);

// The indexes of the target to be built, key first; each becomes a step at plan time whose params hold
// {"index": oid, "name": ..., "constraint": bool}.
struct IndexPlan {
  Oid index;
  std::string name;
  bool is_key;
};
std::vector<IndexPlan> plan_indexes(Oid live, const std::vector<std::string> &key);

// Builds on the shadow a copy of the target's index (or constraint), under a temporary name.  Idempotent.
// Locks: SHARE on the shadow.
void build_index(const Job &job, Oid live_index);
// What an index of live is called on the shadow before the swap, and on the archive after it.
std::string shadow_index_name(const Job &job, const std::string &name);
std::string archive_index_name(const Job &job, const std::string &name);

// Options, statistics targets, replica identity, cluster mark, comments, ACLs.  Idempotent.
void finish_shape(const Job &job);

void analyze_shadow(const Job &job);  // ANALYZE within the transaction

}  // namespace backfill
