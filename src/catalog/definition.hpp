// Statements that define dependents anew, kept for the way back.
//
// A table that entered service may have columns that the old one lacks, and the server puts them into what it says of a
// definition (the column aliases of a table in FROM).  Such a text cannot be read for the old table; the one it replaced
// can.
#pragma once

#include <string>
#include <vector>

namespace backfill {

struct Definition {
  std::string found;  // the statement as the way back would make it from what the publish left
  std::string meant;  // the one to be run in its place
};

// In place of those the job has; none for an empty list.
void store_definitions(int job, const std::vector<Definition> &definitions);
std::vector<Definition> load_definitions(int job);

}  // namespace backfill
