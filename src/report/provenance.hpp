// Which run computed a value's row: answered from the record, for tables that have no column for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace backfill {

// The chunks of published (or finished) backfills of the table that hold `value` of their chunk column, newest publish
// first: name, id, chunk, lo, hi, rows, computed_at, published_at.  Of jobs the caller may see.  Errors: 42P01 no such
// table, and what the chunk column's type says of the value.
std::vector<std::vector<std::optional<std::string>>> provenance_of(const std::string &table, const std::string &value);

}  // namespace backfill
