#include "pg/constraint.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_constraint.h"
}

namespace backfill::pg {

void rename_foreign_key(Oid constraint, const std::string &name) {
  const char *const to = name.c_str();
  call([&] {
    RenameConstraintById(constraint, to);
    CommandCounterIncrement();
  });
}

}  // namespace backfill::pg
