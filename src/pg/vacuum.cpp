#include "pg/vacuum.hpp"

#include "pg/guard.hpp"
#include "pg/transaction.hpp"

extern "C" {
#include "commands/vacuum.h"
#include "nodes/makefuncs.h"
#include "utils/portal.h"
}

namespace backfill::pg {

namespace {

// The statement must outlive the transactions that VACUUM ends and begins; its own memory hangs on PortalContext.
void run_vacuum(::Oid relation, MemoryContext home) {
  StartTransactionCommand();
  MemoryContextSwitchTo(home);
  VacuumStmt *const statement = makeNode(VacuumStmt);
  statement->is_vacuumcmd = true;
  statement->rels = list_make1(makeVacuumRelation(nullptr, relation, NIL));
  ExecVacuum(nullptr, statement, true);
  CommitTransactionCommand();
}

}  // namespace

void vacuum(Oid relation) {
  MemoryContext const outer = PortalContext;
  MemoryContext const home =
      call([] { return AllocSetContextCreate(TopMemoryContext, "backfill vacuum", ALLOCSET_DEFAULT_SIZES); });
  PortalContext = home;
  auto const leave = [&] {
    PortalContext = outer;
    call([&] { MemoryContextDelete(home); });
  };
  try {
    call([&] { run_vacuum(relation, home); });
  } catch (...) {
    detail::abort_transaction();
    leave();
    throw;
  }
  leave();
}

}  // namespace backfill::pg
