// Background workers: start one, be one, wait on the latch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pg/spi.hpp"

namespace backfill::pg {

// What a worker is told when it is started.
struct WorkerOrder {
  Oid database = 0;
  int job = 0;
  std::uint32_t wait_for_xid = 0;  // the transaction that must end before the worker looks
  int slot = 0;                    // which of a job's chunk workers it is
  std::uint32_t board = 0;         // shared memory of the coordinator that started it (run/throttle.hpp)
};

// A started worker, as seen by the one who started it.  Copyable.
class Worker {
 public:
  bool running() const;  // started or about to
  void stop() const;     // SIGTERM
  int pid() const;       // 0 while not started
  struct Handle;

 private:
  friend std::optional<Worker> launch_worker(const char *, const std::string &, const WorkerOrder &, bool);
  std::shared_ptr<Handle> handle_;
};

// Starts `entry` (a C symbol of this library) in a background worker named `name`, which is told `order` (database
// filled in).  restart: again after a crash of the server's processes.  nullopt: no worker slot is free.
std::optional<Worker> launch_worker(const char *entry, const std::string &name, const WorkerOrder &order, bool restart);

// The frame of a worker's main function: connects to order.database, pins every setting that a role or database may
// have set, waits for the ordering transaction, then runs body.  An error that escapes body is logged by the server
// and ends the process.
void worker_main(std::uintptr_t argument, void (*body)(const WorkerOrder &));

// Waits until the latch is set (somebody has news), or the time has passed.  Handles interrupts.  In pg_stat_activity it
// is the wait event Extension; the activity text tells more.
void wait_latch(long milliseconds);
void check_for_interrupts();
void report_activity(const std::string &text);        // pg_stat_activity.query
void set_statement_limit(std::int64_t milliseconds);  // cancels the current work with 57014 after so long; 0: off
int my_pid();
bool in_worker();                             // in a background worker, not in a session
void signal_terminate(int pid);               // SIGTERM to a backend of ours
std::int64_t now_ms();                        // monotonic
void sleep_interruptibly(long milliseconds);  // on the latch, for back-off in functions

}  // namespace backfill::pg

// Defines the worker entry point `name`.
#define BACKFILL_WORKER(name)                                                              \
  static void name##_body(const backfill::pg::WorkerOrder &order);                         \
  extern "C" {                                                                             \
  __attribute__((visibility("default"))) void name(std::uintptr_t argument);               \
  void name(std::uintptr_t argument) { backfill::pg::worker_main(argument, name##_body); } \
  }                                                                                        \
  static void name##_body([[maybe_unused]] const backfill::pg::WorkerOrder &order)
