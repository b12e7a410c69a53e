// A swap as seen by whoever takes part in it: which table leaves service, which enters it, and what their objects are
// called before and after.  Publishing and rolling back are the same swap with the roles exchanged.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "pg/lock.hpp"

namespace backfill {

// Plain values; true for the job as it was when read, before the swap.
struct Swap {
  Job job;
  bool forward = true;       // publish; else rollback
  Oid out = 0;               // leaves service: live
  Oid in = 0;                // enters it: the shadow, or the archive on the way back
  std::string schema, name;  // of the table in service, before and after
  std::string out_name;      // what the one that leaves is called afterwards
  std::string in_name;       // what the one that enters is called before
  std::vector<Oid> peers;    // all tables that leave service in the same transaction, this one among them

  // Names of an index, sequence or statistics object called `name` while in service.
  std::string retired_name(const std::string &name) const;  // after leaving it
  std::string waiting_name(const std::string &name) const;  // before entering it

  std::string target_sql() const;   // quoted; before the renames it is `out`, after them `in`
  std::string retired_sql() const;  // quoted name of `out` after the renames

  bool leaves(Oid table) const;  // is it among the peers?
};

Swap publishing(const Job &job);
Swap rolling_back(const Job &job);
// Those of several jobs, each other's peers, in the order in which everybody locks them.
std::vector<Swap> publishing(const std::vector<Job> &jobs);

// "schema"."name" of a relation, quoted; empty when it does not exist.
std::string relation_sql(Oid relation);
// schema.name for people: quoted only where SQL asks for it.
std::string display_name(const std::string &schema, const std::string &name);
bool relation_exists(Oid relation);

}  // namespace backfill
