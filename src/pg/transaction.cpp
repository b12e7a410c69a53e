#include "pg/transaction.hpp"

#include "pg/durable.hpp"
#include "pg/guard.hpp"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "pgstat.h"
}

namespace backfill::pg {

namespace detail {

void begin_transaction() {
  call([] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
  });
}

void commit_transaction() {
  settle_durability();
  call([] {
    if (ActiveSnapshotSet()) PopActiveSnapshot();
    CommitTransactionCommand();
    pgstat_report_stat(false);
  });
  forget_durability();
}

void abort_transaction() {
  forget_durability();
  call([] {
    AbortCurrentTransaction();
    pgstat_report_stat(false);
  });
}

Outer begin_subtransaction() {
  return call([] {
    Outer const outer{CurrentMemoryContext, CurrentResourceOwner};
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(static_cast<MemoryContext>(outer.memory));
    return outer;
  });
}

void commit_subtransaction(const Outer &outer) {
  call([&] {
    ReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(static_cast<MemoryContext>(outer.memory));
    CurrentResourceOwner = static_cast<ResourceOwner>(outer.owner);
  });
}

void abort_subtransaction(const Outer &outer) {
  call([&] {
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(static_cast<MemoryContext>(outer.memory));
    CurrentResourceOwner = static_cast<ResourceOwner>(outer.owner);
  });
}

}  // namespace detail

void commit_and_begin() {
  call([] {
    SPI_connect_ext(SPI_OPT_NONATOMIC);
    SPI_commit();
    SPI_finish();
  });
}

std::uint32_t current_xid() {
  return call([] { return GetCurrentTransactionId(); });
}
bool isolation_is_read_committed() { return XactIsoLevel == XACT_READ_COMMITTED; }
bool in_recovery() { return RecoveryInProgress(); }
void make_visible() {
  call([] { CommandCounterIncrement(); });
}
bool has_pending_triggers(std::uint32_t relation) {
  return call([&] { return AfterTriggerPendingOnRel(relation); });
}

bool in_transaction_block() { return IsTransactionBlock(); }

void require_writable(const std::string &what) {
  if (in_recovery())
    throw Error(sqlstate::read_only_sql_transaction, what + " on a standby", {}, "Connect to the primary server.");
  if (!XactReadOnly) return;
  throw Error(
      sqlstate::read_only_sql_transaction, what + " in a read-only transaction",
      DefaultXactReadOnly ? "default_transaction_read_only is on, for this session, its role or the database." : "",
      DefaultXactReadOnly ? "SET default_transaction_read_only = off; in this session first."
                          : "Begin the transaction with BEGIN READ WRITE, or call it outside of one.");
}

void require_no_transaction_block(const std::string &what) {
  if (in_transaction_block())
    throw Error(sqlstate::active_sql_transaction, what + " cannot run inside a transaction block", {},
                "Commit first; it waits for work that other sessions do.");
}

}  // namespace backfill::pg
