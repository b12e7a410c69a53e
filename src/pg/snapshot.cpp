#include "pg/snapshot.hpp"

#include "pg/guard.hpp"

namespace backfill::pg {

namespace {
Snapshot current = nullptr;  // registered with the resource owner of the transaction that began it
bool keep = false;           // within with_one_snapshot
}  // namespace

void *current_snapshot() { return current; }

namespace detail {

void *begin_snapshot() {
  Snapshot const previous = current;
  current = call([] { return RegisterSnapshot(keep ? current : GetLatestSnapshot()); });
  return previous;
}

void end_snapshot(void *previous) {
  Snapshot const mine = current;
  current = static_cast<Snapshot>(previous);
  call([&] { UnregisterSnapshot(mine); });
}

void restore_snapshot(void *previous) noexcept { current = static_cast<Snapshot>(previous); }

Keep::Keep() noexcept : outer_(keep) { keep = true; }
Keep::~Keep() { keep = outer_; }

}  // namespace detail

}  // namespace backfill::pg
