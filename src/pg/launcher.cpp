// One visit goes on at a time, so one word of shared memory is enough.
#include "pg/launcher.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace backfill::pg {

namespace {

constexpr int restart_seconds = 10;

pg_atomic_uint32 *report = nullptr;         // in shared memory
BackgroundWorkerHandle *visitor = nullptr;  // in TopMemoryContext, while a visit goes on
shmem_request_hook_type outer_request = nullptr;
shmem_startup_hook_type outer_startup = nullptr;

void request_memory() {
  if (outer_request != nullptr) outer_request();
  RequestAddinShmemSpace(sizeof *report);
}

void make_memory() {
  if (outer_startup != nullptr) outer_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found = false;
  report = static_cast<pg_atomic_uint32 *>(ShmemInitStruct("backfill launcher", sizeof *report, &found));
  if (!found) pg_atomic_init_u32(report, static_cast<uint32>(Visit::failed));
  LWLockRelease(AddinShmemInitLock);
}

BackgroundWorker describe(const char *entry, const char *name, int restart_after) {
  BackgroundWorker worker;
  MemSet(&worker, 0, sizeof worker);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = restart_after;
  strlcpy(worker.bgw_library_name, "backfill", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, entry, sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_name, name, sizeof worker.bgw_name);
  strlcpy(worker.bgw_type, "backfill launcher", sizeof worker.bgw_type);
  return worker;
}

}  // namespace

void register_launcher() {
  if (!process_shared_preload_libraries_in_progress) return;
  call([] {
    outer_request = shmem_request_hook;
    shmem_request_hook = request_memory;
    outer_startup = shmem_startup_hook;
    shmem_startup_hook = make_memory;
    BackgroundWorker launcher = describe("backfill_launcher_main", "backfill launcher", restart_seconds);
    RegisterBackgroundWorker(&launcher);
  });
}

bool start_visit(const char *entry, Oid database) {
  pg_atomic_write_u32(report, static_cast<uint32>(Visit::failed));
  return call([&] {
    BackgroundWorker worker = describe(entry, "backfill launcher visit", BGW_NEVER_RESTART);
    worker.bgw_notify_pid = MyProcPid;
    WorkerOrder order;
    order.database = database;
    memcpy(worker.bgw_extra, &order, sizeof order);
    MemoryContext const caller = MemoryContextSwitchTo(TopMemoryContext);
    bool const registered = RegisterDynamicBackgroundWorker(&worker, &visitor);
    MemoryContextSwitchTo(caller);
    return registered;
  });
}

bool visit_goes_on() {
  return call([] {
    if (visitor == nullptr) return false;
    pid_t pid = 0;
    BgwHandleStatus const status = GetBackgroundWorkerPid(visitor, &pid);
    if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED) return true;
    pfree(visitor);
    visitor = nullptr;
    return false;
  });
}

void end_visit() {
  call([] {
    if (visitor != nullptr) TerminateBackgroundWorker(visitor);
  });
}

void report_visit(Visit found) { pg_atomic_write_u32(report, static_cast<uint32>(found)); }
Visit take_report() { return static_cast<Visit>(pg_atomic_read_u32(report)); }

bool asked_to_leave() { return ShutdownRequestPending; }

void launcher_main(void (*body)()) {
  entry([&] {
    call([] {
      pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
      pqsignal(SIGHUP, SignalHandlerForConfigReload);
      BackgroundWorkerUnblockSignals();
      BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    });
    body();
  });
}

}  // namespace backfill::pg
