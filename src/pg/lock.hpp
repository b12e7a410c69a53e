// Heavyweight locks: of jobs, and of relations.
//
// A job's locks are lock tags of class LOCKTAG_OBJECT on (backfill.job's OID, job id, purpose): visible in pg_locks
// (locktype 'object', classid = 'backfill.job'::regclass, objid = the job's id, objsubid = the purpose), and not to be
// taken by any user's advisory lock.
#pragma once

#include <cstdint>
#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

enum class JobLock {
  life = 1,   // held by the coordinator for as long as it lives: that lock is liveness
  drain = 2,  // held by whoever moves log rows: the coordinator a batch, the publisher a try
  post = 3,   // of job 0, which is none: held by the database's notifier for as long as it posts
  watch = 4,  // shared by those who wait for the job and want to be woken
};

enum class LockMode {
  access_share = 1,
  row_share = 2,
  row_exclusive = 3,
  share_update_exclusive = 4,
  share = 5,
  share_row_exclusive = 6,
  exclusive = 7,
  access_exclusive = 8,
};

// Exclusive lock of a job until the transaction ends (or, `session`, until the process ends or releases it).
// try_*: false when somebody has it.  lock_job waits (lock_timeout applies).
bool try_lock_job(int job, JobLock purpose, bool session = false);
void lock_job(int job, JobLock purpose);
void unlock_job(int job, JobLock purpose);  // of a session lock
// Shared, until the transaction ends.
void share_job_lock(int job, JobLock purpose);
// Sets the latches of those who hold it.
void wake_lock_holders(int job, JobLock purpose);
// The pid that holds it, or 0.
int job_lock_holder(int job, JobLock purpose);

// Locks a relation until the end of the transaction.  lock_relation waits at most lock_timeout (55P03);
// try_lock_relation does not wait.  Both return false when the relation no longer exists.
bool lock_relation(Oid relation, LockMode mode);
bool try_lock_relation(Oid relation, LockMode mode);

// Locks an object of the catalog (of pg_publication ...), as ALTER and DROP do, until the end of the transaction; does
// not wait.  False when somebody has it.
bool try_lock_object(const std::string &catalog, Oid object);

}  // namespace backfill::pg
