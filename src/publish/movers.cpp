#include "publish/movers.hpp"

#include "core/sql_text.hpp"
#include "publish/downstream.hpp"

namespace backfill {

const std::vector<Mover> &movers() {
  static const std::vector<Mover> table = {
      {"indexes", nullptr, move_indexes, nullptr},
      {"statistics", nullptr, move_statistics, nullptr},
      {"sequences", sequence_locks, move_sequences, nullptr},
      {"foreign keys", foreign_key_locks, move_foreign_keys, after_foreign_keys},
      {"views", view_locks, move_views, nullptr, nullptr, true},
      {"triggers", trigger_locks, move_triggers, nullptr},
      {"rules", rule_locks, move_rules, nullptr},
      {"policies", policy_locks, move_policies, nullptr},
      {"security labels", nullptr, move_labels, nullptr},
      {"functions", function_locks, move_functions, nullptr, hold_functions, true},
      {"publications", nullptr, move_publications, nullptr, hold_publications},
      {"policies of others", policy_locks_of_others, move_policies_of_others, nullptr, nullptr, true},
      {"rules of others", rule_locks_of_others, move_rules_of_others, nullptr, nullptr, true},
      {"materialized views", matview_locks, move_matviews, after_downstream, nullptr, true},
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

void hold_dependents(const Swap &swap) {
  for (const Mover &mover : movers())
    if (mover.hold != nullptr) mover.hold(swap);
}

std::vector<std::string> moving_statements(const Swap &swap) {
  std::vector<std::string> all;
  for (const Mover &mover : movers())
    for (std::string &statement : mover.statements(swap)) all.push_back(std::move(statement));
  return all;
}

std::vector<Step> after_steps(const Swap &swap) {
  std::vector<Step> all;
  for (const Mover &mover : movers()) {
    if (mover.after == nullptr) continue;
    for (Step &step : mover.after(swap)) all.push_back(std::move(step));
  }
  return all;
}

Step after_step(const Swap &swap, int stage, const char *kind, const std::string &title, const std::string &params) {
  Step step;
  step.job = swap.job.id;
  step.stage = stage;
  step.phase = "after";
  step.kind = kind;
  step.title = title;
  step.params = params;
  return step;
}

void append_comment(std::vector<std::string> &sql, const std::string &what, const std::optional<std::string> &comment) {
  if (comment) sql.push_back("COMMENT ON " + what + " IS " + quote_literal(*comment));
}

}  // namespace backfill
