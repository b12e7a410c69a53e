// Workers connect as the bootstrap superuser (owners are often roles that cannot log in), pin every setting a role or a
// database may have given them, and take another identity for whatever they run (role.hpp).
#include "pg/worker.hpp"

#include <unistd.h>

#include "pg/guard.hpp"

extern "C" {
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"
}

namespace backfill::pg {

static_assert(sizeof(WorkerOrder) <= BGW_EXTRALEN);

struct Worker::Handle {
  BackgroundWorkerHandle *handle;  // in TopMemoryContext; small, kept until the process ends
};

namespace {

// Settings of roles and databases must not reach the work.
constexpr struct {
  const char *name, *value;
} worker_settings[] = {
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 170000
    {"transaction_timeout", "0"},
#endif
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_deferrable", "off"},
    {"session_replication_role", "origin"},
    {"search_path", "pg_catalog, pg_temp"},
    {"row_security", "off"},
    {"client_min_messages", "warning"},
    {"synchronize_seqscans", "off"},
    {"exit_on_error", "off"},
};

bool connected = false;

// A worker that could not even connect (its database is gone, no connection slot) must not be restarted for ever:
// the postmaster starts anew whatever exits with another status than 0.
void leave_for_good_unless_connected(int, ::Datum) {
  if (!connected) _exit(0);
}

void connect_worker(const WorkerOrder &order) {
  pqsignal(SIGTERM, die);
  pqsignal(SIGINT, StatementCancelHandler);
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  BackgroundWorkerUnblockSignals();
  on_proc_exit(leave_for_good_unless_connected, 0);
  BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);
  connected = true;
  SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_SUSET, PGC_S_SESSION);
  for (const auto &setting : worker_settings) SetConfigOption(setting.name, setting.value, PGC_SUSET, PGC_S_SESSION);
}

void await_order(const WorkerOrder &order) {
  if (order.wait_for_xid == InvalidTransactionId) return;
  StartTransactionCommand();
  XactLockTableWait(order.wait_for_xid, nullptr, nullptr, XLTW_None);
  CommitTransactionCommand();
}

BgwHandleStatus status_of(BackgroundWorkerHandle *handle, pid_t *pid) {
  *pid = 0;
  return GetBackgroundWorkerPid(handle, pid);
}

}  // namespace

std::optional<Worker> launch_worker(const char *entry, const std::string &name, const WorkerOrder &order,
                                    bool restart) {
  const char *const title = name.c_str();
  BackgroundWorkerHandle *const handle = call([&] {
    BackgroundWorker worker;
    MemSet(&worker, 0, sizeof worker);
    WorkerOrder told = order;
    told.database = MyDatabaseId;
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = restart ? 5 : BGW_NEVER_RESTART;
    worker.bgw_notify_pid = MyProcPid;
    strlcpy(worker.bgw_library_name, "backfill", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, entry, sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, title, sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "backfill", sizeof worker.bgw_type);
    memcpy(worker.bgw_extra, &told, sizeof told);
    MemoryContext const caller = MemoryContextSwitchTo(TopMemoryContext);
    BackgroundWorkerHandle *started = nullptr;
    bool const registered = RegisterDynamicBackgroundWorker(&worker, &started);
    MemoryContextSwitchTo(caller);
    return registered ? started : nullptr;
  });
  if (handle == nullptr) return std::nullopt;
  Worker worker;
  worker.handle_ = std::make_shared<Worker::Handle>(Worker::Handle{handle});
  return worker;
}

bool Worker::running() const {
  BackgroundWorkerHandle *const handle = handle_->handle;
  return call([&] {
    pid_t pid;
    BgwHandleStatus const status = status_of(handle, &pid);
    return status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED;
  });
}

void Worker::stop() const {
  BackgroundWorkerHandle *const handle = handle_->handle;
  call([&] { TerminateBackgroundWorker(handle); });
}

int Worker::pid() const {
  BackgroundWorkerHandle *const handle = handle_->handle;
  return call([&] {
    pid_t pid;
    (void)status_of(handle, &pid);
    return static_cast<int>(pid);
  });
}

void worker_main(std::uintptr_t, void (*body)(const WorkerOrder &)) {
  entry([&] {
    WorkerOrder order;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
    call([&] {
      connect_worker(order);
      await_order(order);
    });
    body(order);
  });
}

void wait_latch(long milliseconds) {
  call([&] {
    InvalidateCatalogSnapshotConditionally();  // nobody's rows are kept for one who waits
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    if (ConfigReloadPending && MyBackendType == B_BG_WORKER) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
  });
}

void sleep_interruptibly(long milliseconds) {
  std::int64_t const until = now_ms() + milliseconds;
  for (std::int64_t left = milliseconds; left > 0; left = until - now_ms()) wait_latch(static_cast<long>(left));
}

void check_for_interrupts() {
  call([] { CHECK_FOR_INTERRUPTS(); });
}

void report_activity(const std::string &text) {
  const char *const activity = text.c_str();
  call([&] { pgstat_report_activity(STATE_RUNNING, activity); });
}

void set_statement_limit(std::int64_t milliseconds) {
  call([&] {
    if (milliseconds > 0)
      enable_timeout_after(STATEMENT_TIMEOUT, static_cast<int>(milliseconds));
    else
      disable_timeout(STATEMENT_TIMEOUT, false);
  });
}

int my_pid() { return MyProcPid; }

bool in_worker() { return MyBackendType == B_BG_WORKER; }

void signal_terminate(int pid) {
  call([&] {
    if (BackendPidGetProc(pid) != nullptr) (void)kill(pid, SIGTERM);
  });
}

std::int64_t now_ms() {
  instr_time now;
  INSTR_TIME_SET_CURRENT(now);
  return static_cast<std::int64_t>(INSTR_TIME_GET_MILLISEC(now));
}

}  // namespace backfill::pg
