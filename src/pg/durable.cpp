#include "pg/durable.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/xact.h"
}

namespace backfill::pg {

namespace {

constexpr char setting[] = "synchronous_commit";
bool wanted = false;

}  // namespace

void commit_lazily() {
  call([] { SetConfigOption(setting, "off", PGC_SUSET, PGC_S_SESSION); });
}

void commit_durably() { wanted = true; }

namespace detail {

// Whoever has set it for the transaction knows better.
void settle_durability() {
  if (wanted && synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
    call([] {
      (void)set_config_option(setting, GetConfigOptionResetString(setting), PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
                              true, 0, false);
    });
}

void forget_durability() { wanted = false; }

}  // namespace detail

}  // namespace backfill::pg
