// What a rollback would lose, looked for before it is made: nothing written since publish is given up unless told so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "capture/carried.hpp"
#include "catalog/job.hpp"
#include "core/error.hpp"

namespace backfill {

// Columns of the table in service that the old version lacks, with the rows in which writers gave them values.
struct Unplaced {
  UnplacedColumn column;
  std::int64_t rows = 0;  // of those drained
  // Stands in the way: values of writers, or a column that the backfill did not add.
  bool matters() const { return rows > 0 || !column.by_backfill; }
};
std::vector<Unplaced> find_unplaced(const Job &job, const TableShape &shape);

// "tier in 3 rows, late (added since publish) in 0 rows"
std::string describe(const std::vector<Unplaced> &unplaced);

// The call that gives them up.
std::string discarding_call(const Job &job, const std::vector<Unplaced> &unplaced);

// Both versions are there, the old one under its name: 42P01, 55000.
void require_archive(const Job &job);

// By the catalog alone.  Raises 55000 where a column of the old version is gone, 2BP01 where something else needs a column
// that the old version lacks, 22023 where `discard` names a column that need not be given up.
void require_placeable(const Job &job, const std::vector<std::string> &discard);

// Raises 55000 unless all that has no place is named in `discard`, and returns what is given up so.  Reads the capture log.
std::vector<Unplaced> require_placed(const Job &job, const TableShape &shape, const std::vector<std::string> &discard);

// What the drain met, told by columns and numbers of rows where types that were changed since publish are the cause; else
// as it is.
Error explain_refusal(const Job &job, const TableShape &shape, const Error &failure);

// A row of the view backfill.way_back: inserted, updated, deleted, problem, next_command.  No row for a job that is not
// published.  Never raises for what stands in the way: that is the problem it tells.
std::vector<std::vector<std::optional<std::string>>> look_back(int job);

}  // namespace backfill
