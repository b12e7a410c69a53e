#include "publish/movers.hpp"

namespace backfill {

const std::vector<Mover> &movers() {
  static const std::vector<Mover> table = {
      {"indexes", nullptr, move_indexes},
      {"statistics", nullptr, move_statistics},
      {"sequences", sequence_locks, move_sequences},
      {"foreign keys", foreign_key_locks, move_foreign_keys},
      {"views", view_locks, move_views},
  };
  return table;
}

std::vector<LockRequest> dependent_locks(const Swap &swap) {
  std::vector<LockRequest> all;
  // Backwards: views are what readers lock first.
  for (auto mover = movers().rbegin(); mover != movers().rend(); ++mover) {
    if (mover->locks == nullptr) continue;
    for (const LockRequest &request : mover->locks(swap)) all.push_back(request);
  }
  return all;
}

std::vector<std::string> moving_statements(const Swap &swap) {
  std::vector<std::string> all;
  for (const Mover &mover : movers())
    for (std::string &statement : mover.statements(swap)) all.push_back(std::move(statement));
  return all;
}

}  // namespace backfill
