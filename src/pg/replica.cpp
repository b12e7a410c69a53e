// 1. Connect: PQconnectPoll, waiting on latch and socket in turn.
// 2. Ask: one statement, one row.
// 3. Stream: the COPY code of the server asks a callback for bytes; the callback hands on what libpq has received, and waits
//    when that is nothing.  When the stream ends, the other server's verdict on it is read before the callback says "end
//    of file": where that is an error it is raised in place of the end, so that half a stream never looks like a whole one.
//
// The callback runs between the server's C frames, so its state is plain and static, and it raises as the server does.  What
// failed there is kept apart from what failed here: `remote_failure` is set before an error of the other side is raised.
#include "pg/replica.hpp"

#include <cstring>
#include <new>

#include "pg/guard.hpp"
#include "pg/worker.hpp"

extern "C" {
#include "catalog/pg_class.h"
#include "commands/copy.h"
#include "libpq-fe.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/wait_event.h"
}

namespace backfill::pg {

namespace {

PGconn *connection = nullptr;
bool remote_failure = false;

// Of the stream that is being read.
struct Stream {
  char *row;           // received, not yet handed on: libpq's memory
  int length, handed;  // of row
  bool ended;
  std::int64_t sent;
};
Stream stream;

struct RemoteFailure {
  std::string sqlstate, message, detail, hint;
};

bool is_trouble(const std::string &sqlstate) {
  for (const char *trouble : {"08", "40", "53", "55P03", "57", "58", "72", "XX"})
    if (sqlstate.starts_with(trouble)) return true;
  return false;
}

// Of what works here and not there.
std::string remedy(const std::string &sqlstate) {
  if (sqlstate == sqlstate::insufficient_privilege)
    return "Grant it to the role of the user mapping, which must be allowed to read all that the transform reads.";
  if (sqlstate == sqlstate::read_only_sql_transaction)
    return "A function of the transform writes, which no standby allows: plan the backfill without read_from.";
  return {};
}

[[noreturn]] void raise(const RemoteFailure &failure) {
  close_replica();
  if (is_trouble(failure.sqlstate)) throw ReplicaError(failure.sqlstate, failure.message, failure.detail, failure.hint);
  std::string const there = "It was raised on the replica.";
  throw Error(failure.sqlstate, failure.message, failure.detail.empty() ? there : failure.detail + " " + there,
              failure.hint.empty() ? remedy(failure.sqlstate) : failure.hint);
}

std::string without_line_end(const char *text) {
  std::string line = text != nullptr ? text : "";
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  return line;
}

const char *field(const PGresult *result, int code) {
  const char *const text = result != nullptr ? PQresultErrorField(result, code) : nullptr;
  return text != nullptr ? text : "";
}

RemoteFailure lost() {
  std::string const said = without_line_end(PQerrorMessage(connection));
  return {"08006", "the connection to the replica was lost", said.empty() ? "" : "libpq says: " + said + ".", ""};
}

RemoteFailure failure_of(const PGresult *result) {
  if (result == nullptr || *field(result, PG_DIAG_SQLSTATE) == '\0') return lost();
  return {field(result, PG_DIAG_SQLSTATE), field(result, PG_DIAG_MESSAGE_PRIMARY),
          field(result, PG_DIAG_MESSAGE_DETAIL), field(result, PG_DIAG_MESSAGE_HINT)};
}

// In C frames.  timeout_ms < 0: for ever.
void wait_plainly(int event, long timeout_ms) {
  int const wanted = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | event | (timeout_ms >= 0 ? WL_TIMEOUT : 0);
  int const happened = WaitLatchOrSocket(MyLatch, wanted, PQsocket(connection), timeout_ms, PG_WAIT_EXTENSION);
  if ((happened & WL_LATCH_SET) == 0) return;
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

void wait(int event, long timeout_ms = -1) {
  call([&] { wait_plainly(event, timeout_ms); });
}

// ---- 1. connect ----

void await_connection(long timeout_ms) {
  std::int64_t const until = now_ms() + timeout_ms;
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
    std::int64_t const left = until - now_ms();
    if (left <= 0) throw ReplicaError("08001", "the replica does not answer", "It did not within the time for that.");
    wait(status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE, static_cast<long>(left));
    status = PQconnectPoll(connection);
  }
  if (status != PGRES_POLLING_OK || PQstatus(connection) != CONNECTION_OK)
    throw ReplicaError("08001", "could not connect to the replica", without_line_end(PQerrorMessage(connection)) + ".");
}

// A host that has vanished must not be waited for until somebody else notices; the server's own options come later and win.
constexpr struct {
  const char *keyword, *value;
} defaults[] = {{"fallback_application_name", "backfill"},
                {"keepalives_idle", "10"},
                {"keepalives_interval", "5"},
                {"keepalives_count", "3"},
                {"tcp_user_timeout", "25000"}};

PGconn *begin_connection(const ForeignServer &server) {
  std::vector<const char *> keywords, values;
  auto const add = [&](const char *keyword, const char *value) {
    keywords.push_back(keyword);
    values.push_back(value);
  };
  for (const auto &[keyword, value] : defaults) add(keyword, value);
  for (const auto &[keyword, value] : server.options) add(keyword.c_str(), value.c_str());
  add("client_encoding", GetDatabaseEncodingName());
  add(nullptr, nullptr);
  return PQconnectStartParams(keywords.data(), values.data(), 0);
}

void reserve_descriptor() {
  if (call([] { return AcquireExternalFD(); })) return;
  throw ReplicaError(sqlstate::insufficient_resources, "no file descriptor is left to connect to the replica", {},
                     "Raise the limit of open files of the server, or max_files_per_process.");
}

// ---- 2. ask ----

struct ResultHolder {  // PQclear is not PostgreSQL's code
  PGresult *result;
  explicit ResultHolder(PGresult *taken) : result(taken) {}
  ResultHolder(const ResultHolder &) = delete;
  ResultHolder &operator=(const ResultHolder &) = delete;
  ~ResultHolder() { PQclear(result); }
};

PGresult *next_result() {
  while (PQisBusy(connection)) {
    wait(WL_SOCKET_READABLE);
    if (PQconsumeInput(connection) == 0) raise(lost());
  }
  return PQgetResult(connection);
}

// One statement and no more, whatever the text.
void send(const std::string &sql) {
  if (PQsendQueryParams(connection, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) raise(lost());
}

template <typename Fn>
auto closing_on_error(Fn fn) {
  try {
    return fn();
  } catch (...) {
    close_replica();
    throw;
  }
}

// ---- 3. stream ----

[[noreturn]] void raise_plainly(const char *sqlstate, const char *message, const char *detail, const char *hint) {
  remote_failure = true;
  ereport(ERROR, (errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])),
                  errmsg_internal("%s", message), *detail != '\0' ? errdetail_internal("%s", detail) : 0,
                  *hint != '\0' ? errhint("%s", hint) : 0));
}

[[noreturn]] void raise_result(PGresult *result) {
  if (*field(result, PG_DIAG_SQLSTATE) == '\0')
    raise_plainly("08006", "the connection to the replica was lost", pchomp(PQerrorMessage(connection)), "");
  const char *const sqlstate = pstrdup(field(result, PG_DIAG_SQLSTATE));
  const char *const message = pstrdup(field(result, PG_DIAG_MESSAGE_PRIMARY));
  const char *const detail = pstrdup(field(result, PG_DIAG_MESSAGE_DETAIL));
  const char *const hint = pstrdup(field(result, PG_DIAG_MESSAGE_HINT));
  PQclear(result);
  raise_plainly(sqlstate, message, detail, hint);
}

void await_input() {
  wait_plainly(WL_SOCKET_READABLE, -1);
  if (PQconsumeInput(connection) == 0) raise_result(nullptr);
}

PGresult *next_result_plainly() {
  while (PQisBusy(connection)) await_input();
  return PQgetResult(connection);
}

// What the other server says of the COPY as a whole.
void read_verdict() {
  PGresult *const result = next_result_plainly();
  if (PQresultStatus(result) != PGRES_COMMAND_OK) raise_result(result);
  stream.sent = strtoll(PQcmdTuples(result), nullptr, 10);
  PQclear(result);
  if (PGresult *const more = next_result_plainly()) raise_result(more);
  stream.ended = true;
}

// Has the next row at hand; false at the end.
bool fetch() {
  while (!stream.ended) {
    if (stream.row != nullptr) PQfreemem(stream.row);
    stream.row = nullptr;
    stream.handed = 0;
    stream.length = PQgetCopyData(connection, &stream.row, 1);
    if (stream.length > 0) return true;
    if (stream.length == -2) raise_result(nullptr);
    if (stream.length == -1)
      read_verdict();
    else
      await_input();
  }
  return false;
}

// The server asks for at least `least` bytes, fewer only at the end.
int hand_on(void *into, int least, int most) {
  int given = 0;
  while (given < least) {
    if (stream.handed >= stream.length && !fetch()) break;
    int const part = Min(most - given, stream.length - stream.handed);
    memcpy(static_cast<char *>(into) + given, stream.row + stream.handed, part);
    stream.handed += part;
    given += part;
  }
  return given;
}

void begin_stream(const std::string &select, bool binary) {
  if (connection == nullptr) raise({"08003", "the connection to the replica was lost", "", ""});
  stream = {};
  send("COPY (" + select + "\n) TO STDOUT (FORMAT " + (binary ? "binary" : "text") + ")");
  ResultHolder const begun(next_result());
  if (PQresultStatus(begun.result) != PGRES_COPY_OUT) raise(failure_of(begun.result));
}

// A condition as COPY … WHERE takes it.
Node *parse_condition(ParseState *state, ParseNamespaceItem *table, const char *condition) {
  addNSItemToQuery(state, table, false, true, true);
  List *const raw = pg_parse_query(condition);
  SelectStmt *const select = castNode(SelectStmt, linitial_node(RawStmt, raw)->stmt);
  Node *where = linitial_node(ResTarget, select->targetList)->val;
  where = transformExpr(state, where, EXPR_KIND_COPY_WHERE);
  where = coerce_to_boolean(state, where, "WHERE");
  assign_expr_collations(state, where);
  where = eval_const_expressions(nullptr, where);
  where = reinterpret_cast<Node *>(canonicalize_qual(reinterpret_cast<Expr *>(where), false));
  return reinterpret_cast<Node *>(make_ands_implicit(reinterpret_cast<Expr *>(where)));
}

std::int64_t run_copy(::Oid relation, const char *const *columns, int count, bool binary, const char *condition) {
  MemoryContext const memory = AllocSetContextCreate(CurrentMemoryContext, "backfill stream", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const outer = MemoryContextSwitchTo(memory);
  CommandCounterIncrement();
  PushActiveSnapshot(GetTransactionSnapshot());
  Relation const table = table_open(relation, RowExclusiveLock);
  ParseState *const state = make_parsestate(nullptr);
  ParseNamespaceItem *const item = addRangeTableEntryForRelation(state, table, RowExclusiveLock, nullptr, false, false);
  List *names = NIL;
  for (int i = 0; i < count; i++) names = lappend(names, makeString(pstrdup(columns[i])));
  List *const options = list_make2(
      makeDefElem(pstrdup("format"), reinterpret_cast<Node *>(makeString(pstrdup(binary ? "binary" : "text"))), -1),
      makeDefElem(pstrdup("encoding"), reinterpret_cast<Node *>(makeString(pstrdup(GetDatabaseEncodingName()))), -1));
  Node *const where = condition != nullptr ? parse_condition(state, item, condition) : nullptr;
  CopyFromState const copy = BeginCopyFrom(state, table, where, nullptr, false, hand_on, names, options);
  std::int64_t const rows = static_cast<std::int64_t>(CopyFrom(copy));
  EndCopyFrom(copy);
  // The COPY may have seen its own end mark and not asked again.
  char rest;
  if (hand_on(&rest, 1, 1) > 0) raise_plainly("08P01", "the replica sent more than it announced", "", "");
  table_close(table, NoLock);
  PopActiveSnapshot();
  CommandCounterIncrement();
  MemoryContextSwitchTo(outer);
  MemoryContextDelete(memory);
  return rows;
}

}  // namespace

void open_replica(const ForeignServer &server, long timeout_ms) {
  close_replica();
  reserve_descriptor();
  connection = begin_connection(server);
  if (connection == nullptr) {
    ReleaseExternalFD();
    throw std::bad_alloc();
  }
  closing_on_error([&] {
    await_connection(timeout_ms);
    if (server.needs_password && PQconnectionUsedPassword(connection) == 0)
      throw Error("2F003", "password is required",
                  "The table's owner is no superuser, and server \"" + server.name + "\" did not ask for a password.",
                  "Let the replica's pg_hba.conf demand scram-sha-256 for that role, or have a superuser set "
                  "password_required to false in the user mapping.");
  });
}

void close_replica() noexcept {
  if (connection == nullptr) return;
  if (stream.row != nullptr) PQfreemem(stream.row);
  stream = {};
  PQfinish(connection);
  connection = nullptr;
  ReleaseExternalFD();
}

bool replica_is_open() { return connection != nullptr && PQstatus(connection) == CONNECTION_OK; }

std::vector<std::optional<std::string>> ask_replica(const std::string &sql) {
  return closing_on_error([&] {
    if (connection == nullptr) raise({"08003", "the connection to the replica was lost", "", ""});
    send(sql);
    ResultHolder const answer(next_result());
    if (PQresultStatus(answer.result) != PGRES_TUPLES_OK || PQntuples(answer.result) != 1)
      raise(failure_of(answer.result));
    std::vector<std::optional<std::string>> row;
    for (int i = 0; i < PQnfields(answer.result); i++)
      row.push_back(PQgetisnull(answer.result, 0, i) != 0
                        ? std::nullopt
                        : std::optional<std::string>(PQgetvalue(answer.result, 0, i)));
    while (PGresult *const more = next_result()) PQclear(more);
    return row;
  });
}

Streamed copy_from_replica(const std::string &select, const StreamTarget &target) {
  return closing_on_error([&] {
    begin_stream(select, target.binary);
    std::vector<const char *> columns;
    for (const std::string &column : target.columns) columns.push_back(column.c_str());
    std::string const condition = "SELECT " + target.condition;
    const char *const *const names = columns.data();
    const char *const where = target.condition.empty() ? nullptr : condition.c_str();
    int const count = static_cast<int>(columns.size());
    remote_failure = false;
    try {
      Streamed done;
      done.stored = call([&] { return run_copy(target.table, names, count, target.binary, where); });
      done.sent = stream.sent;
      if (stream.row != nullptr) PQfreemem(stream.row);
      stream.row = nullptr;
      return done;
    } catch (const PostgresError &failure) {
      if (!remote_failure) throw;
      raise({failure.sqlstate, failure.what(), failure.detail, failure.hint});
    }
  });
}

}  // namespace backfill::pg
