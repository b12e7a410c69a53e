// Transactions: whole ones for workers, nested ones for functions.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <type_traits>

namespace backfill::pg {

namespace detail {
void begin_transaction();
void commit_transaction();
void abort_transaction();
struct Outer {
  void *memory, *owner;
};
Outer begin_subtransaction();
void commit_subtransaction(const Outer &outer);
void abort_subtransaction(const Outer &outer);
}  // namespace detail

// Workers only: runs fn in a transaction of its own with a snapshot pushed; commits.  On an exception aborts and
// throws it on; the error may then be swallowed.
template <typename Fn>
auto transaction(Fn fn) {
  detail::begin_transaction();
  try {
    if constexpr (std::is_void_v<decltype(fn())>) {
      fn();
      detail::commit_transaction();
    } else {
      auto result = fn();
      detail::commit_transaction();
      return result;
    }
  } catch (...) {
    detail::abort_transaction();
    throw;
  }
}

// Runs fn in a subtransaction.  On an exception rolls it back and throws it on; the error may then be swallowed.
template <typename Fn>
auto subtransaction(Fn fn) {
  detail::Outer const outer = detail::begin_subtransaction();
  try {
    if constexpr (std::is_void_v<decltype(fn())>) {
      fn();
      detail::commit_subtransaction(outer);
    } else {
      auto result = fn();
      detail::commit_subtransaction(outer);
      return result;
    }
  } catch (...) {
    detail::abort_subtransaction(outer);
    throw;
  }
}

// Procedures called outside a transaction block only: commits and begins anew, holding no snapshot.
void commit_and_begin();

// The current transaction's id, assigned if need be.
std::uint32_t current_xid();
bool isolation_is_read_committed();
bool in_recovery();   // on a standby
void make_visible();  // CommandCounterIncrement

// Are triggers of the relation still to be fired (deferred) for what this transaction wrote?
bool has_pending_triggers(std::uint32_t relation);

// The caller goes on after this statement in the same transaction, or began it before.
bool in_transaction_block();

// Raises 25006 where this transaction may not write: "<what> on a standby", "<what> in a read-only transaction".
void require_writable(const std::string &what);

// Raises 25001 naming `what` when the caller is inside a transaction block.
void require_no_transaction_block(const std::string &what);

}  // namespace backfill::pg
