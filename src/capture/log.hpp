// The logs of a job: names, columns, and the keys in them as text.
//
// Keys leave a log as text and come back as FROM items of the key's types, because whoever may read the log (the
// extension) is not who may evaluate the owner's code (the owner).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"

namespace backfill {

struct KeyColumn {
  std::string name;       // in the table
  int attnum = 0;         // in the table
  std::string type;       // base type, as format_type writes it
  std::string collation;  // schema-qualified and quoted, "" where the type has none
  bool sorts = false;     // by comparisons that cost next to nothing: fixed length, a btree order of its own
};

// The key's columns as they are in `table`.  Errors: 42703 when one is missing.
std::vector<KeyColumn> read_key(const Job &job, Oid table);

// schema.table of our logs, ready for SQL.
std::string log_name(const Job &job);          // backfill.log_<id>
std::string reverse_log_name(const Job &job);  // backfill.reverse_<id>

std::string key_list(std::size_t keys, const std::string &prefix);  // "k1, k2"

using KeyText = std::vector<std::string>;

// Keys turned on their side, one array a column: the parameters that keys_item() reads as $first, $first + 1 ...
std::vector<pg::Param> key_params(const std::vector<KeyText> &keys, std::size_t columns);
// "(SELECT DISTINCT ...) AS k(k1, k2)": those keys, once each by the semantics of their types; in the order of their index,
// as far as they sort, so that whoever looks them up meets each page once.
std::string keys_item(const std::vector<KeyColumn> &key, int first = 1, const std::string &alias = "k");

}  // namespace backfill
