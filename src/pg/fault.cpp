// What happens at a fault point (fault.hpp).  Only tests have it.
#ifdef BACKFILL_TESTING

#include "pg/fault.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "pg/guard.hpp"
#include "pg/worker.hpp"

extern "C" {
#include "access/xact.h"
#include "storage/lmgr.h"
}

namespace backfill {

namespace {

struct Fault {
  std::string point, action, argument, once;
};

char *wanted = nullptr;

constexpr std::size_t longest_name = 64;
char ending[longest_name] = "";  // the transaction's name for fault_at_commit

Fault parse(std::string_view text) {
  Fault fault;
  std::size_t const mark = text.find('#');
  if (mark != std::string_view::npos) fault.once = text.substr(mark + 1);
  text = text.substr(0, mark);
  for (std::string *part : {&fault.point, &fault.action, &fault.argument}) {
    std::size_t const colon = part == &fault.argument ? std::string_view::npos : text.find(':');
    *part = text.substr(0, colon);
    text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  }
  return fault;
}

// False: it has happened before.
bool leave_mark(const std::string &once) {
  if (once.empty()) return true;
  int const file = open(("backfill_fault." + once).c_str(), O_CREAT | O_EXCL | O_WRONLY, S_IRUSR | S_IWUSR);
  if (file < 0) return false;
  close(file);
  return true;
}

// An interrupt ends it.
[[noreturn]] void await_end() {
  pg::call([] {
    for (;;) {
      CHECK_FOR_INTERRUPTS();
      pg_usleep(1000);
    }
  });
  throw Error(sqlstate::internal_error, "nobody ended this process");
}

// Not in the lock's queue: the lock_timeout of whoever waits here is meant for others.
void wait_for_advisory_lock(const std::string &number) {
  std::uint64_t const key = std::stoull(number);
  pg::call([&] {
    bool const alone = !IsTransactionState();
    if (alone) StartTransactionCommand();
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(key >> 32), static_cast<uint32>(key), 1);
    while (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL) {
      CHECK_FOR_INTERRUPTS();
      pg_usleep(1000);
    }
    (void)LockRelease(&tag, ShareLock, false);
    if (alone) CommitTransactionCommand();
  });
}

void happen(const Fault &fault) {
  if (fault.action == "error")
    throw Error(fault.argument.empty() ? sqlstate::internal_error : fault.argument, "fault at " + fault.point);
  if (fault.action == "crash") (void)kill(getpid(), SIGKILL);
  if (fault.action == "terminate") (void)kill(getpid(), SIGTERM);
  if (fault.action == "stop") (void)kill(PostmasterPid, SIGQUIT);
  if (fault.action == "sleep")
    pg::sleep_interruptibly(std::stol(fault.argument));
  else if (fault.action == "wait")
    wait_for_advisory_lock(fault.argument);
  else
    await_end();
}

// After the commit: errors are not raised, and who is terminated ends when the server lets him.
void happen_after_commit(const Fault &fault) {
  if (fault.action == "crash") (void)kill(getpid(), SIGKILL);
  if (fault.action == "terminate") (void)kill(getpid(), SIGTERM);
  if (fault.action == "stop") {
    (void)kill(PostmasterPid, SIGQUIT);
    for (;;) pg_usleep(1000);
  }
}

bool is_due(const Fault &fault, std::string_view what, std::string_view how_far) {
  return fault.point == std::string(what) + "_" + std::string(how_far) && leave_mark(fault.once);
}

void at_end(XactEvent event, void *) {
  if (ending[0] == '\0' || wanted == nullptr) return;
  if (event == XACT_EVENT_PRE_COMMIT) pg::entry([] { fault(ending, "before_commit"); });
  if (event == XACT_EVENT_COMMIT)
    if (Fault const fault = parse(wanted); is_due(fault, ending, "after_commit")) happen_after_commit(fault);
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT) ending[0] = '\0';
}

bool check(char **value, void **, GucSource) {
  if (*value == nullptr || **value == '\0') return true;
  std::string const action = parse(*value).action;
  for (const char *known : {"error", "crash", "terminate", "stop", "sleep", "wait"})
    if (action == known) return true;
  GUC_check_errdetail("There is no such action.");
  return false;
}

}  // namespace

void fault(std::string_view what, std::string_view how_far) {
  if (wanted == nullptr || *wanted == '\0') return;
  Fault const fault = parse(wanted);
  if (is_due(fault, what, how_far)) happen(fault);
}

void fault_at_commit(std::string_view what) {
  std::size_t const length = what.copy(ending, longest_name - 1);
  ending[length] = '\0';
}

void pg::define_fault_setting() {
  call([] {
    DefineCustomStringVariable("backfill.fault", "Where a process of a test fails, and how.", nullptr, &wanted, "",
                               PGC_SUSET, 0, check, nullptr, nullptr);
    RegisterXactCallback(at_end, nullptr);
  });
}

}  // namespace backfill

#endif
