// What strategy merge may write to the table in service, and when it must not: it updates rows where they are, and user
// triggers do not fire meanwhile, so whatever those triggers (foreign keys among them) or a unique index would have to
// judge row by row is left to strategy swap.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

using pg::Oid;

// The columns that publishing writes: those of `set`; of a query all but the key.  In the order of the table, generated ones
// left out.  Takes no lock.
std::vector<std::string> written_columns(Oid live, const Spec &spec, const std::vector<std::string> &key);

// Why rows cannot be written where they are, as a phrase ("it cannot add a column") with a sentence; nullopt where they can.
// By the catalog as of now, takes no lock.
struct Unwritable {
  std::string why, detail;
};
std::optional<Unwritable> why_not_written(Oid live, const Spec &spec, const std::vector<std::string> &key);

// How long writing so many rows is expected to keep writers waiting, and how many can be written in that time.
double seconds_to_write(Oid live, double rows);
std::int64_t rows_written_within(Oid live, Milliseconds milliseconds);

}  // namespace backfill
