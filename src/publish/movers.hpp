// The objects that move with a swap, one mover a kind.
//
// A mover names the relations it needs locked besides the two tables.  Asked before the renames and under those locks, it
// reads the catalog and answers with the statements to be run after all tables have changed names.  So everything it
// needs (definitions by OID, as they were) is read while the old names still hold.  What may take long is not done then:
// it becomes steps of the ledger, run by the coordinator when the swap has committed (after.cpp).
//
// A new kind is one function of each sort and a line in the table of movers.cpp.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/step.hpp"
#include "publish/attempt.hpp"
#include "publish/swap.hpp"

namespace backfill {

struct Mover {
  const char *kind;
  // nullptr: nothing but the two tables.
  std::vector<LockRequest> (*locks)(const Swap &);
  // Raises 55000 when an object of `out` has no counterpart in `in` and cannot go without.
  std::vector<std::string> (*statements)(const Swap &);
  // Steps of phase `after`, told apart by kind and title; asked when `statements` is, and for the plan, when there is no
  // `in` yet.  nullptr: none.
  std::vector<Step> (*after)(const Swap &);
  // Holds until the end of the transaction what is no relation; raises Busy when somebody else is at it.
  // nullptr: nothing to hold.
  void (*hold)(const Swap &) = nullptr;
  // Its statements define objects anew that keep their OID, in the order of these, whichever way the swap goes.
  bool restates = false;
};

const std::vector<Mover> &movers();  // in the order their statements are to be run

// Of all movers.
std::vector<LockRequest> dependent_locks(const Swap &swap);
std::vector<std::string> moving_statements(const Swap &swap);
std::vector<Step> after_steps(const Swap &swap);
void hold_dependents(const Swap &swap);

// A step of phase `after`; params: a JSON object.
Step after_step(const Swap &swap, int stage, const char *kind, const std::string &title, const std::string &params);

// For an object made anew: COMMENT ON <what> IS <comment>, where there is one.
void append_comment(std::vector<std::string> &sql, const std::string &what, const std::optional<std::string> &comment);

// The single movers; each in a file of its own.
std::vector<std::string> move_indexes(const Swap &swap);
std::vector<std::string> move_statistics(const Swap &swap);
std::vector<LockRequest> sequence_locks(const Swap &swap);
std::vector<std::string> move_sequences(const Swap &swap);
std::vector<std::pair<Oid, Oid>> identity_twins(const Swap &swap);  // sequences of `out` and `in`
std::vector<LockRequest> foreign_key_locks(const Swap &swap);
std::vector<std::string> move_foreign_keys(const Swap &swap);
std::vector<Step> after_foreign_keys(const Swap &swap);
std::vector<LockRequest> view_locks(const Swap &swap);
std::vector<std::string> move_views(const Swap &swap);
std::vector<LockRequest> trigger_locks(const Swap &swap);
std::vector<std::string> move_triggers(const Swap &swap);
std::vector<LockRequest> rule_locks(const Swap &swap);
std::vector<std::string> move_rules(const Swap &swap);
std::vector<LockRequest> policy_locks(const Swap &swap);
std::vector<std::string> move_policies(const Swap &swap);
std::vector<std::string> move_labels(const Swap &swap);
std::vector<LockRequest> function_locks(const Swap &swap);
void hold_functions(const Swap &swap);
std::vector<std::string> move_functions(const Swap &swap);
void hold_publications(const Swap &swap);
std::vector<std::string> move_publications(const Swap &swap);
// Of tables and views that mention the table.
std::vector<LockRequest> policy_locks_of_others(const Swap &swap);
std::vector<std::string> move_policies_of_others(const Swap &swap);
std::vector<LockRequest> rule_locks_of_others(const Swap &swap);
std::vector<std::string> move_rules_of_others(const Swap &swap);
std::vector<LockRequest> matview_locks(const Swap &swap);
std::vector<std::string> move_matviews(const Swap &swap);

// Takes a foreign key out of force: disables its triggers and renames it after its OID (move_foreign_keys.cpp).  What
// backfill.retire_key() does, in a swap, for a statement names it by OID whatever the tables are called by then.
// REQUIRES: SHARE ROW EXCLUSIVE on both its tables.  Errors: 42704.
void retire_foreign_key(Oid key);
// Dropping what was retired at either end of these tables, or one of the tables, needs these.
std::vector<LockRequest> retired_foreign_key_locks(const std::vector<Oid> &tables);
void drop_retired_foreign_keys(Oid table);

}  // namespace backfill
