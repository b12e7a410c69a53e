// Facts of the target table, read under ACCESS SHARE at plan time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/estimate.hpp"
#include "core/spec.hpp"
#include "pg/spi.hpp"

namespace backfill {

using pg::Oid;

struct Column {
  std::string name;
  std::string type;  // as format_type prints it
  Oid type_oid = 0;
  bool not_null = false, generated = false;
};

// A copy of the catalog's answers; what it says of shape stays true for as long as the transaction holds its lock.
struct Target {
  Oid oid = 0;
  std::string schema, name;  // unquoted
  Oid owner = 0;
  std::string owner_name;
  std::vector<Column> columns;

  bool analyzed = false;  // the counts below rest on statistics, not on a guess by width
  double rows = 0;
  std::int64_t pages = 0;  // of the heap, now
  std::int64_t page_bytes = 8192;
  std::int64_t heap_bytes = 0, toast_bytes = 0, index_bytes = 0;
  std::int64_t bytes() const { return heap_bytes + toast_bytes + index_bytes; }

  const Column *find_column(const std::string &column) const;
  std::string label() const;  // schema.table for people, quoted only where it must be
};

// Resolves the name under the caller's search_path, locks the table (ACCESS SHARE), and refuses whatever cannot be
// backfilled: 42P01 unknown (hint: the nearest name), 42501 caller is not a member of the owner, 42809 another kind of
// relation, 0A000 a kind of table this version cannot replace, 25006 on a standby.
Target find_target(const std::string &table);

// The column, or 42703 naming path and the nearest column.
const Column &require_column(const Target &target, const std::string &column, const std::string &path);

// The key by which changed rows are found again: strategy.key, or the primary key.  In the order of the index that
// enforces it.  Raises 55000 where no unique index does, 42703 for an unknown column.
std::vector<std::string> find_key(const Target &target, const std::vector<std::string> &wanted);

// Has a valid btree index that begins with the column.
bool has_leading_index(const Target &target, const std::string &column);

// pg_stats of the column as ordinals (see chunks.hpp); empty where it was never analyzed.
ColumnHistogram read_histogram(const Target &target, const Column &column, const std::string &time_zone);

}  // namespace backfill
