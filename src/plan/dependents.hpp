// Everything bound to the target by OID, and what becomes of it when the table is replaced.
#pragma once

#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

using pg::Oid;

struct Dependent {
  std::string object;  // its identity: public.flights_pkey, flights_check on public.flights
  std::string kind;    // index, primary key, foreign key, view, trigger …
  std::string fate;    // moved, rebuilt, blocks
  std::string detail;  // a phrase: "reads through view public.v"
  Oid classid = 0, objid = 0;
};

// Reads the catalog as of now, takes no locks.  Order: what blocks first, then by kind and name.
// spec: says whether publications that take in the new version unasked are allowed, and whether columns are added.
std::vector<Dependent> inventory(Oid live, const Spec &spec);

// 2BP01 naming every object that blocks; nothing where none does.
void require_movable(const std::string &table, const std::vector<Dependent> &dependents);

// 55000 where a provider of one of the security labels is not loaded: they are given through it.
void require_label_providers(const std::vector<Dependent> &dependents);

// The rows of backfill.dependent.
void store_dependents(int job, const std::vector<Dependent> &dependents);
void store_dependents_anew(int job, const std::vector<Dependent> &dependents);  // in place of those there are

// An object that came or went since the record was made.  By kind and name: a swap makes some anew, and one replaced by
// its like is no obstacle.
struct DependentChange {
  std::string kind, object;
  bool appeared;  // else gone
};
std::vector<DependentChange> changed_dependents(const Job &job);
std::string sentence(const DependentChange &change);  // "The view public.v is new."

// The new version has to be built with what it is on the table; a swap cannot make it.
bool is_built_before(const std::string &kind);

// The record follows what has changed, but for the kinds above: these stay as the new version was built.
void follow_dependents(const Job &job, const std::vector<DependentChange> &changes);

}  // namespace backfill
