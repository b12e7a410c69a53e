// How a job's new version gets into place, as the facts in which strategies differ.  Whoever has to do one thing for the one and
// another for the other asks for a fact; what publishing and rolling back are is in publish/service.hpp.
#pragma once

#include <string>

#include "catalog/job.hpp"

namespace backfill {

struct Placement {
  const char *word;
  // The shadow has a row for every row of the table, and everything that hangs on it.  Else it has those in scope, and the
  // index of the key.
  bool builds_whole;
  // Publishing writes the rows that differ to the table in service, which stays where it is; the archive has what they were.
  // Else the shadow takes the table's place, which becomes the archive.
  bool in_place;
};

const Placement &placement_named(const std::string &word);  // XX000 for any other word than swap and merge
const Placement &placement_of(const Job &job);

}  // namespace backfill
