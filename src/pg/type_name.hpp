// Names of types, as users write them.
#pragma once

#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

struct TypeName {
  Oid oid;
  int modifier;  // -1 where none was given
};

// Resolves "numeric(10,2)", "public.mood[]" … under the current search_path.  Raises 42704 for an unknown type, 42601
// for text that is not exactly a type's name: nothing else can hide in it.
TypeName resolve_type(const std::string &text);
// format_type: qualified unless visible under the current search_path.
std::string format_type(const TypeName &type);

}  // namespace backfill::pg
