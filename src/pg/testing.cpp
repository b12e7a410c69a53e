// What only tests call (make TESTING=1): the boundary provoked from SQL.  sql/boundary.sql declares these functions.
#ifdef BACKFILL_TESTING

#include <new>
#include <stdexcept>

#include "core/error.hpp"
#include "pg/bulk_insert.hpp"
#include "pg/function.hpp"
#include "pg/guard.hpp"
#include "pg/spi.hpp"
#include "pg/transaction.hpp"

extern "C" {
#include "commands/seclabel.h"
#include "utils/memutils.h"
}

namespace backfill::pg {
namespace {

// Counts the objects that live in C++ frames: zero between two calls, or a destructor was skipped.
int alive = 0;

struct Witness {
  Witness() { ++alive; }
  ~Witness() { --alive; }
  Witness(const Witness &) = delete;
  Witness &operator=(const Witness &) = delete;
};

// An object with a destructor in every frame on the way up.
std::optional<std::string> descend(const std::string &sql, int depth) {
  Witness const witness;
  return depth > 0 ? descend(sql, depth - 1) : query_value(sql);
}

[[noreturn]] void raise(const std::string &kind) {
  Witness const witness;
  if (kind == "error") {
    throw Error(sqlstate::object_in_use, "the message", "This is the detail.", "Follow this hint.");
  }
  if (kind == "bad_alloc") throw std::bad_alloc();
  if (kind == "standard") throw std::runtime_error("a standard exception");
  throw 42;
}

// How often fn failed, each failure swallowed.
template <typename Fn>
std::int64_t swallow(std::int64_t times, Fn fn) {
  std::int64_t failures = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    try {
      subtransaction(fn);
    } catch (const Error &) {
      ++failures;
    }
  }
  return failures;
}

// Takes every label but "refused".
void check_label(const ObjectAddress *, const char *label) {
  if (label != nullptr && strcmp(label, "refused") == 0)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the provider refuses that label")));
}

}  // namespace
}  // namespace backfill::pg

using namespace backfill::pg;

// boundary_forward(sql, depth): the value of the statement; its error passes through depth C++ frames.
BACKFILL_FUNCTION(boundary_forward) {
  std::optional<std::string> const value =
      descend(call.text_argument(0), static_cast<int>(call.optional_integer(1).value_or(0)));
  return value ? call.text(*value) : call.null_result();
}

// boundary_raise(kind): an exception of that kind leaves C++.
BACKFILL_FUNCTION(boundary_raise) { raise(call.text_argument(0)); }

// boundary_swallow(sql, times): runs the statement in a subtransaction each time; the number of failures.
BACKFILL_FUNCTION(boundary_swallow) {
  std::string const sql = call.text_argument(0);
  return call.integer(swallow(call.optional_integer(1).value_or(1), [&] { descend(sql, 2); }));
}

// boundary_alive(): objects whose destructor has not run.
BACKFILL_FUNCTION(boundary_alive) { return call.integer(alive); }

// boundary_bulk_insert(sql): "rows[, marked]" of INSERT … SELECT by multi-insert; null where it must go row by row.
BACKFILL_FUNCTION(boundary_bulk_insert) {
  std::optional<BulkInsert> const done = bulk_insert(call.text_argument(0));
  if (!done) return call.null_result();
  return call.text(std::to_string(done->rows) +
                   (done->marked > 0 ? ", " + std::to_string(done->marked) + " marked" : ""));
}

// label_provider(name): this process knows a provider of security labels by that name from now on.
BACKFILL_FUNCTION(label_provider) {
  std::string const name = call.text_argument(0);
  const char *const text = name.c_str();
  backfill::pg::call([&] { register_label_provider(MemoryContextStrdup(TopMemoryContext, text), check_label); });
  return call.nothing();
}

#endif
