// Is the transform one that can be run?  Asked of the server's parser, as the owner, before anything is stored.
#pragma once

#include <string>
#include <vector>

#include "core/spec.hpp"
#include "plan/chunks.hpp"
#include "plan/target.hpp"

namespace backfill {

struct TransformFacts {
  std::vector<Oid> functions;         // called by it, built-in ones left out; sorted
  std::vector<std::string> warnings;  // sentences
  std::string probe;                  // a SELECT of all its expressions; placeholders are typed nulls
};

// Raises, naming the path: 42703 unknown column, 42701 a column given twice or added though it exists, 42804 another
// type, 42601 not an expression, a join, one SELECT, 42P10 a volatile key, 22023 what may not be computed, and
// whatever the server says of the text itself.  Runs as the owner; takes ACCESS SHARE on the tables it reads.
TransformFacts check_transform(const Target &target, const FrozenScope &scope, const std::vector<std::string> &key,
                               const Spec &spec, const std::string &search_path);

// Has :chunk, :chunk_start or :chunk_stop, so that a row's values depend on the chunk it belongs to.
bool depends_on_chunk(const Transform &transform);

}  // namespace backfill
