#include "pg/statement.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/dest.h"
}

namespace backfill::pg {

namespace {

bool may_be_run(const Node *statement) {
  switch (nodeTag(statement)) {
    case T_SelectStmt: {
      const SelectStmt *leftmost = reinterpret_cast<const SelectStmt *>(statement);
      while (leftmost->larg != nullptr) leftmost = leftmost->larg;
      return leftmost->intoClause == nullptr;
    }
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
    case T_MergeStmt:
    case T_TruncateStmt:
    case T_CallStmt:
    case T_DoStmt:
    case T_RefreshMatViewStmt: return true;
    default: return false;
  }
}

void fail_unless_ok(int code, const char *what) {
  if (code < 0) elog(ERROR, "%s failed: %s", what, SPI_result_code_string(code));
}

// Utility statements are not analysed before they run.
void require_named(const Node *statement) {
  if (IsA(statement, RefreshMatViewStmt))
    (void)RangeVarGetRelid(reinterpret_cast<const RefreshMatViewStmt *>(statement)->relation, NoLock, false);
  if (!IsA(statement, TruncateStmt)) return;
  ListCell *cell;
  foreach (cell, reinterpret_cast<const TruncateStmt *>(statement)->relations)
    (void)RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, false);
}

}  // namespace

void check_statement(const std::string &sql) {
  const char *const text = sql.c_str();
  call([&] {
    List *const statements = raw_parser(text, RAW_PARSE_DEFAULT);
    if (list_length(statements) != 1)
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("it is not one statement"),
                      errhint("Write one statement; put several into a procedure and CALL it.")));
    const Node *const statement = linitial_node(RawStmt, statements)->stmt;
    if (!may_be_run(statement))
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("it is not a statement that refreshes something"),
                      errhint("Write CALL, SELECT, INSERT, UPDATE, DELETE, MERGE, TRUNCATE, DO or REFRESH MATERIALIZED "
                              "VIEW; put anything else into a procedure and CALL it.")));
    require_named(statement);
    fail_unless_ok(SPI_connect(), "SPI_connect");
    if (SPI_prepare(text, 0, nullptr) == nullptr)
      elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    SPI_finish();
  });
}

std::int64_t run_statement(const std::string &sql) {
  const char *const text = sql.c_str();
  return call([&] {
    fail_unless_ok(SPI_connect(), "SPI_connect");
    SPIExecuteOptions options = {};
    options.dest = None_Receiver;
    fail_unless_ok(SPI_execute_extended(text, &options), "SPI_execute_extended");
    std::int64_t const processed = static_cast<std::int64_t>(SPI_processed);
    SPI_finish();
    return processed;
  });
}

}  // namespace backfill::pg
