#include "pg/lock.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace backfill::pg {

namespace {

LOCKTAG job_tag(int job, JobLock purpose) {
  ::Oid const table = get_relname_relid("job", get_namespace_oid("backfill", false));
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table, static_cast<uint32>(job), static_cast<uint16>(purpose));
  // Held for a session, a lock of the default method goes with the first transaction that aborts, and stays behind when
  // a process exits outside of one; those of the user's method end with the process, and only then.
  tag.locktag_lockmethodid = USER_LOCKMETHOD;
  return tag;
}

bool relation_exists(::Oid relation) { return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)); }

}  // namespace

bool try_lock_job(int job, JobLock purpose, bool session) {
  return call([&] {
    LOCKTAG const tag = job_tag(job, purpose);
    return LockAcquire(&tag, ExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
  });
}

void lock_job(int job, JobLock purpose) {
  call([&] {
    LOCKTAG const tag = job_tag(job, purpose);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
  });
}

void unlock_job(int job, JobLock purpose) {
  call([&] {
    LOCKTAG const tag = job_tag(job, purpose);
    (void)LockRelease(&tag, ExclusiveLock, true);
  });
}

void share_job_lock(int job, JobLock purpose) {
  call([&] {
    LOCKTAG const tag = job_tag(job, purpose);
    (void)LockAcquire(&tag, ShareLock, false, false);
  });
}

void wake_lock_holders(int job, JobLock purpose) {
  call([&] {
    LOCKTAG const tag = job_tag(job, purpose);
    for (VirtualTransactionId *holder = GetLockConflicts(&tag, ExclusiveLock, nullptr);
         VirtualTransactionIdIsValid(*holder); holder++) {
#if PG_VERSION_NUM >= 170000
      PGPROC *const process = ProcNumberGetProc(holder->procNumber);
#else
      PGPROC *const process = BackendIdGetProc(holder->backendId);
#endif
      if (process != nullptr) SetLatch(&process->procLatch);
    }
  });
}

int job_lock_holder(int job, JobLock purpose) {
  Result const found = execute(
      kept("SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'object' AND granted"
           " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
           " AND classid = 'backfill.job'::pg_catalog.regclass AND objid = $1::text::oid AND objsubid = $2"),
      {std::to_string(job), static_cast<int>(purpose)});
  return found.empty() ? 0 : static_cast<int>(found[0].integer("pid"));
}

bool lock_relation(Oid relation, LockMode mode) {
  return call([&] {
    LockRelationOid(relation, static_cast<LOCKMODE>(mode));
    return relation_exists(relation);
  });
}

bool try_lock_relation(Oid relation, LockMode mode) {
  return call([&] {
    if (!ConditionalLockRelationOid(relation, static_cast<LOCKMODE>(mode))) return false;
    return relation_exists(relation);
  });
}

bool try_lock_object(const std::string &catalog, Oid object) {
  return call([&] {
    ::Oid const relation = get_relname_relid(catalog.c_str(), PG_CATALOG_NAMESPACE);
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, relation, object, 0);
    if (LockAcquire(&tag, AccessExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return false;
    AcceptInvalidationMessages();
    return true;
  });
}

}  // namespace backfill::pg
