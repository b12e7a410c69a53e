// INSERT … SELECT at the speed of COPY.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace backfill::pg {

struct BulkInsert {
  std::int64_t rows = 0;
  std::int64_t marked = 0;  // rows for which the expression of RETURNING was true
};

// Does what execute(sql) would do for `sql` = INSERT … SELECT [RETURNING one boolean], by multi-insert: the same casts,
// defaults, constraints, privileges and errors, since PostgreSQL's own analysis of the statement says what is to be
// stored.  The SELECT may run in parallel.  Memory does not depend on the number of rows.
// nullopt, and nothing done, where rows must go one by one: the table is not a plain heap, has indexes, triggers, rules
// or policies, or the statement is of another form.
// Locks: ROW EXCLUSIVE on the table, ACCESS SHARE on what is read.
std::optional<BulkInsert> bulk_insert(const std::string &sql);

}  // namespace backfill::pg
