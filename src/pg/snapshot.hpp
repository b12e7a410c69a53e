// One snapshot for several statements.
//
// with_snapshot(fn): every execute() inside fn sees the database as of one moment (and what the own transaction has
// done meanwhile), whatever the isolation level.  It is what "the log rows this snapshot sees" rests on.
#pragma once

#include <type_traits>
#include <utility>

namespace backfill::pg {

// The snapshot of the innermost with_snapshot, or nullptr.  For spi.cpp.
void *current_snapshot();

namespace detail {
void *begin_snapshot();  // registers a new snapshot and makes it current; returns the previous one
void end_snapshot(void *previous);
void restore_snapshot(void *previous) noexcept;  // after an error: the abort releases, only the variable is reset
// Plain state of the process; nothing of the server's.
class Keep {
 public:
  Keep() noexcept;
  ~Keep();
  Keep(const Keep &) = delete;
  Keep &operator=(const Keep &) = delete;

 private:
  bool outer_;
};
}  // namespace detail

template <typename Fn>
auto with_snapshot(Fn fn) {
  void *const previous = detail::begin_snapshot();
  try {
    if constexpr (std::is_void_v<decltype(fn())>) {
      fn();
      detail::end_snapshot(previous);
    } else {
      auto result = fn();
      detail::end_snapshot(previous);
      return result;
    }
  } catch (...) {
    detail::restore_snapshot(previous);
    throw;
  }
}

// As with_snapshot, and a with_snapshot inside of fn takes no newer one: what is read by several of them agrees.
template <typename Fn>
auto with_one_snapshot(Fn fn) {
  return with_snapshot([&] {
    detail::Keep const keep;
    return fn();
  });
}

}  // namespace backfill::pg
