#include "pg/database.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/genam.h"
#include "catalog/pg_database.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
}

namespace backfill::pg {

namespace {

constexpr int left_half_made = -2;  // datconnlimit of a database whose DROP was interrupted

}  // namespace

std::optional<Oid> find_database(const std::string &name) {
  const char *const wanted = name.c_str();
  ::Oid const database = call([&]() -> ::Oid {
    Relation const relation = table_open(DatabaseRelationId, AccessShareLock);
    // Without the index: a server that has just been started for the first time cannot open it yet.
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(wanted));
    SysScanDesc const scan = systable_beginscan(relation, DatabaseNameIndexId, false, nullptr, 1, &key);
    HeapTuple const tuple = systable_getnext(scan);
    ::Oid found = InvalidOid;
    if (HeapTupleIsValid(tuple)) {
      Form_pg_database const row = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
      if (row->datallowconn && row->datconnlimit != left_half_made) found = row->oid;
    }
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return found;
  });
  if (database == InvalidOid) return std::nullopt;
  return database;
}

bool database_is_wanted() {
  return call([] {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
    if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return true;
    (void)LockRelease(&tag, RowExclusiveLock, false);
    return false;
  });
}

void step_aside() {
  call([] { proc_exit(1); });
  __builtin_unreachable();
}

}  // namespace backfill::pg
