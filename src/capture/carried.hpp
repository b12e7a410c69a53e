// What the reverse drain has carried into the archive since publish.
//
// While a job is published its capture log holds no keys of its own: they were all drained before the swap.  The reverse
// drain puts each key it takes there, so that after a rollback the rejected version's rows are derived again, and tells
// with it what the batch did to the archive's row of that key, and which columns of live have values of writers for which
// the archive has no place.  So the way back can be counted, and refused, at any time later.
//
//   op    'i' the archive had no row of the key before the batch and has one since; 'd' the other way round; 'u' it had
//         and has; 'b' after merging: came and went, or went and came; 't' everything was truncated
//   cols  attribute numbers of live
//
// A batch's letter is the difference it made, so letters of one key add up in any order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/log.hpp"
#include "copy/transform.hpp"

namespace backfill {

// A column of live that the archive does not have.
struct UnplacedColumn {
  std::string name;
  int attnum = 0;
  bool by_backfill = false;  // one of add_columns; else it was added, or renamed, since publish
  bool generated = false;    // no writer gives it values
  std::string type;          // as format_type writes it
  std::string constant;      // its default where that is a constant, as SQL; else ""
};
std::vector<UnplacedColumn> unplaced_columns(const Job &job);

// SQL over the alias `l` of live: does this row, inserted since publish, hold a value that its writer gave the column?
std::string given_by_writer(const UnplacedColumn &column);

// How the table has changed since publish, by key: a row whose key changed counts as one deleted and one inserted.
struct Carried {
  std::int64_t inserted = 0, updated = 0, deleted = 0;
  bool truncated = false;  // then all rows of live are `inserted`, and those deleted are not known
  std::int64_t rows() const { return inserted + updated + deleted; }
};
Carried count_carried(const Job &job, const TableShape &shape);
std::string describe(const Carried &carried);  // "2 rows inserted, 1 updated, 0 deleted"

// Rows of live with a value that a writer gave such a column since publish (of those in `columns` only).  One number a
// column, of rows drained so far.
std::vector<std::int64_t> count_unplaced(const Job &job, const TableShape &shape,
                                         const std::vector<UnplacedColumn> &columns);

// Values that had no place when they were carried, of columns the archive has by now: puts their keys into the reverse
// log again.  Returns how many.
std::int64_t carry_again(const Job &job);

// One row a key, whatever its number of changes.  In the current transaction; hold JobLock::drain.  Returns how many
// rows are left.
std::int64_t compact_carried_keys(const Job &job);

}  // namespace backfill
