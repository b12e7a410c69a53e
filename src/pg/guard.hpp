// The boundary between two ways of failing: ereport(ERROR) longjmps past destructors, and a C++ exception must
// not cross a C frame.
//
// Down:  pg::call(fn) is the only sigsetjmp.  It turns an ereport(ERROR) inside fn into a PostgresError that owns
//        the whole ErrorData.
// Up:    pg::entry(fn) is the outermost frame of everything PostgreSQL calls.  The exception is parked, the catch
//        blocks are left, and only then is it raised, so SQLSTATE, constraint name, position and context survive.
//
// Rules: fn of pg::call holds plain data only (its locals are skipped by longjmp).  No destructor calls
// PostgreSQL.  A caught PostgresError is swallowed only by pg::subtransaction or a worker's pg::transaction.
//
// Only src/pg/ includes this header.
#pragma once

#include <memory>
#include <new>
#include <type_traits>

#include "core/error.hpp"
#include "pg/postgres.hpp"

namespace backfill::pg {

// A failure PostgreSQL reported, carried unchanged.
class PostgresError final : public Error {
 public:
  explicit PostgresError(std::shared_ptr<ErrorData> data);
  std::shared_ptr<ErrorData> data;
};

// Takes the error PostgreSQL has just raised off its error stack and throws it.
[[noreturn]] void throw_current_error(MemoryContext caller);

// Runs fn; an ereport(ERROR) inside becomes a PostgresError.  fn returns plain data.
template <typename Fn>
auto call(Fn fn) -> std::invoke_result_t<Fn &> {
  using Result = std::invoke_result_t<Fn &>;
  static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>, "pg::call returns plain data");

  MemoryContext const caller = CurrentMemoryContext;
  sigjmp_buf *const outer_jump = PG_exception_stack;
  ErrorContextCallback *const outer_context = error_context_stack;

  sigjmp_buf jump;
  if (sigsetjmp(jump, 0) == 0) {
    PG_exception_stack = &jump;
    if constexpr (std::is_void_v<Result>) {
      fn();
      PG_exception_stack = outer_jump;
      error_context_stack = outer_context;
      return;
    } else {
      Result result = fn();
      PG_exception_stack = outer_jump;
      error_context_stack = outer_context;
      return result;
    }
  }
  PG_exception_stack = outer_jump;
  error_context_stack = outer_context;
  throw_current_error(caller);
}

// Keep the failure until the catch block is left; then raise it.
void park(const PostgresError &failure) noexcept;
void park(const Error &failure) noexcept;
void park(const char *sqlstate, const char *message) noexcept;
[[noreturn]] void raise_parked();

// Runs fn as the outermost C++ frame below a PostgreSQL caller; any exception becomes an ereport(ERROR).
template <typename Fn>
auto entry(Fn fn) -> std::invoke_result_t<Fn &> {
  try {
    return fn();
  } catch (const PostgresError &failure) {
    park(failure);
  } catch (const Error &failure) {
    park(failure);
  } catch (const std::bad_alloc &) {
    park(sqlstate::out_of_memory, "out of memory");
  } catch (const std::exception &failure) {
    park(sqlstate::internal_error, failure.what());
  } catch (...) {
    park(sqlstate::internal_error, "unknown C++ exception");
  }
  raise_parked();
}

}  // namespace backfill::pg
