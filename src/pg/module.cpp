// What makes this library a PostgreSQL module.
#include "pg/fault.hpp"
#include "pg/guard.hpp"
#include "pg/launcher.hpp"
#include "pg/settings.hpp"

extern "C" {
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);
void _PG_init(void) {
  backfill::pg::entry([] {
#ifdef BACKFILL_TESTING
    backfill::pg::define_fault_setting();
#endif
    backfill::pg::define_settings();
    backfill::pg::register_launcher();
  });
}
}
