// The diff as text to read in psql.
#pragma once

#include <string>
#include <vector>

#include "catalog/difference.hpp"
#include "catalog/job.hpp"

namespace backfill {

// Rows to look at.  They go to the caller and nowhere else.
struct DiffSamples {
  struct Change {
    std::string column, before, after;
  };
  struct Row {
    std::string key;
    std::vector<Change> changes;
  };
  std::vector<Row> changed;
  std::vector<std::string> added, removed;  // keys
};

struct DiffHeading {
  std::string table;                  // schema.table
  std::string of;                     // which rows: of a chunk or a scope
  std::vector<std::string> left_out;  // columns that only one version has
};

// REQUIRES: difference.columns has only columns with a change.
std::vector<std::string> diff_text(const Job &job, const DiffHeading &heading, const Difference &difference,
                                   const DiffSamples &samples);

// A measured number for people, four significant digits and grouped: 12.5, 0.001235, 1,234,568.
std::string figure_text(double value);
// The same, or a duration where the column holds times.
std::string shift_text(const ColumnDifference::Shift &shift, double value);

}  // namespace backfill
