// The launcher's frame: a background worker that the server starts with itself and that is connected to no database, the
// visits it has made, and the one word a visit leaves behind, in shared memory.
//
// It starts when recovery has ended, so never on a standby, and on a promoted one at once.
#pragma once

#include <cstdint>

#include "pg/worker.hpp"

namespace backfill::pg {

// What a visit found.  `failed` is what is read where a visit has not told.
enum class Visit : std::uint32_t { failed, no_extension, other_version, idle, active };

// Called by _PG_init; does nothing unless the server is loading shared_preload_libraries.
void register_launcher();

// A visit: `entry` in a worker of its own, connected to that database.  False: no worker slot is free.  The next one may
// be started when it has ended.
bool start_visit(const char *entry, Oid database);
bool visit_goes_on();
void end_visit();                // SIGTERM
void report_visit(Visit found);  // by the visit
Visit take_report();             // by the launcher, once it has ended

// The launcher was told to end (SIGTERM).
bool asked_to_leave();

// The frame of its main function.
void launcher_main(void (*body)());

}  // namespace backfill::pg

// Defines the launcher's entry point.
#define BACKFILL_LAUNCHER()                                                                            \
  static void backfill_launcher_body();                                                                \
  extern "C" {                                                                                         \
  __attribute__((visibility("default"))) void backfill_launcher_main(std::uintptr_t argument);         \
  void backfill_launcher_main(std::uintptr_t) { backfill::pg::launcher_main(backfill_launcher_body); } \
  }                                                                                                    \
  static void backfill_launcher_body()
