// The error copied off PostgreSQL's stack lives in a memory context of its own and dies with the exception.  Parking must not
// allocate: our own errors wait in fixed buffers.
#include "pg/guard.hpp"

#include <cstring>

namespace backfill::pg {

namespace {

std::string sqlstate_text(int packed) { return unpack_sql_state(packed); }

int packed_sqlstate(const std::string &text) {
  if (text.size() != 5) return ERRCODE_INTERNAL_ERROR;
  return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

std::string or_empty(const char *text) { return text != nullptr ? text : ""; }

// The parked failure.  Fixed buffers for our own: parking must not allocate.
std::shared_ptr<ErrorData> parked_data;
int parked_sqlstate;
char parked_message[2048];
char parked_detail[4096];
char parked_hint[2048];

void keep(char *buffer, size_t size, const char *text) noexcept {
  size_t const length = strnlen(text, size - 1);
  memcpy(buffer, text, length);
  buffer[length] = '\0';
}

}  // namespace

PostgresError::PostgresError(std::shared_ptr<ErrorData> d)
    : Error(sqlstate_text(d->sqlerrcode), or_empty(d->message), or_empty(d->detail), or_empty(d->hint)),
      data(std::move(d)) {}

void throw_current_error(MemoryContext caller) {
  // The copy lives in a context of its own, so that it outlives any abort and dies with the exception.
  MemoryContextSwitchTo(caller);
  MemoryContext home = AllocSetContextCreate(TopMemoryContext, "backfill error", ALLOCSET_SMALL_SIZES);
  MemoryContextSwitchTo(home);
  ErrorData *const data = CopyErrorData();
  MemoryContextSwitchTo(caller);
  FlushErrorState();
  throw PostgresError(std::shared_ptr<ErrorData>(data, [home](ErrorData *) { MemoryContextDelete(home); }));
}

void park(const PostgresError &failure) noexcept { parked_data = failure.data; }

void park(const Error &failure) noexcept {
  parked_data.reset();
  parked_sqlstate = packed_sqlstate(failure.sqlstate);
  keep(parked_message, sizeof parked_message, failure.what());
  keep(parked_detail, sizeof parked_detail, failure.detail.c_str());
  keep(parked_hint, sizeof parked_hint, failure.hint.c_str());
}

void park(const char *sqlstate, const char *message) noexcept {
  parked_data.reset();
  parked_sqlstate = MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4]);
  keep(parked_message, sizeof parked_message, message);
  parked_detail[0] = parked_hint[0] = '\0';
}

void raise_parked() {
  // ReThrowError copies what it is given into ErrorContext; the owner is kept until the next failure is parked.
  if (parked_data) ReThrowError(parked_data.get());
  ereport(ERROR, (errcode(parked_sqlstate), errmsg_internal("%s", parked_message),
                  parked_detail[0] != '\0' ? errdetail_internal("%s", parked_detail) : 0,
                  parked_hint[0] != '\0' ? errhint("%s", parked_hint) : 0));
  pg_unreachable();
}

}  // namespace backfill::pg
