#include "pg/type_name.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "parser/parse_type.h"
}

namespace backfill::pg {

TypeName resolve_type(const std::string &text) {
  const char *const name = text.c_str();
  return call([&] {
    ::Oid oid;
    int32 modifier;
#if PG_VERSION_NUM >= 160000
    (void)parseTypeString(name, &oid, &modifier, nullptr);
#else
    parseTypeString(name, &oid, &modifier, false);
#endif
    return TypeName{oid, modifier};
  });
}

std::string format_type(const TypeName &type) {
  return call([&] { return format_type_extended(type.oid, type.modifier, FORMAT_TYPE_TYPEMOD_GIVEN); });
}

}  // namespace backfill::pg
