// SQL-callable functions without the server's headers.
//
//   BACKFILL_FUNCTION(backfill_run) { return call.text(run_job(call.text_argument(0))); }
//
// defines the version-1 function `backfill_run`; its body is C++ and may throw.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct FunctionCallInfoBaseData;

namespace backfill::pg {

using Datum = std::uintptr_t;

class Call {
 public:
  explicit Call(FunctionCallInfoBaseData *info) : info_(info) {}

  int count() const;
  bool null(int argument) const;
  // The argument as its type's output function prints it (text, interval, json ... alike).  Null raises 22004
  // naming the argument's position.
  std::string text_argument(int argument) const;
  std::optional<std::string> optional_text(int argument) const;
  std::optional<std::int64_t> optional_integer(int argument) const;  // smallint, integer, bigint
  bool boolean_argument(int argument, bool otherwise) const;         // null -> otherwise
  std::vector<std::string> text_array(int argument) const;           // text[]; null elements raise 22004

  // Results.
  Datum nothing();  // void
  Datum null_result();
  Datum text(const std::string &value);
  Datum integer(std::int64_t value);
  Datum boolean(bool value);
  Datum rows(const std::vector<std::string> &lines);  // SETOF text
  // SETOF record / TABLE: values as text, converted by the declared columns' input functions.
  Datum table(const std::vector<std::vector<std::optional<std::string>>> &rows);

 private:
  FunctionCallInfoBaseData *info_;
};

Datum run_function(FunctionCallInfoBaseData *info, Datum (*body)(Call &));
const void *function_info();  // what PG_FUNCTION_INFO_V1 would return

}  // namespace backfill::pg

#define BACKFILL_FUNCTION(name)                                                                                      \
  static backfill::pg::Datum name##_body(backfill::pg::Call &call);                                                  \
  extern "C" {                                                                                                       \
  __attribute__((visibility("default"))) const void *pg_finfo_##name(void);                                          \
  const void *pg_finfo_##name(void) { return backfill::pg::function_info(); }                                        \
  __attribute__((visibility("default"))) backfill::pg::Datum name(FunctionCallInfoBaseData *info);                   \
  backfill::pg::Datum name(FunctionCallInfoBaseData *info) { return backfill::pg::run_function(info, name##_body); } \
  }                                                                                                                  \
  static backfill::pg::Datum name##_body([[maybe_unused]] backfill::pg::Call &call)
