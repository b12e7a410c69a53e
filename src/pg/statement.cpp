#include "pg/statement.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "utils/plancache.h"
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

// Most utility statements are not analysed before they run.
void look_up(const Node *statement, StatementFacts *facts) {
  if (IsA(statement, RefreshMatViewStmt)) {
    const RefreshMatViewStmt *const refresh = reinterpret_cast<const RefreshMatViewStmt *>(statement);
    facts->matview = RangeVarGetRelid(refresh->relation, NoLock, false);
    facts->concurrently = refresh->concurrent;
    facts->no_data = refresh->skipData;
  }
  if (!IsA(statement, TruncateStmt)) return;
  ListCell *cell;
  foreach (cell, reinterpret_cast<const TruncateStmt *>(statement)->relations)
    (void)RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, false);
}

::Oid procedure_of(SPIPlanPtr plan) {
  CachedPlanSource *const source = static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)));
  if (source->query_list == NIL) return InvalidOid;
  const Query *const query = linitial_node(Query, source->query_list);
  if (query->commandType != CMD_UTILITY || !IsA(query->utilityStmt, CallStmt)) return InvalidOid;
  return castNode(CallStmt, query->utilityStmt)->funcexpr->funcid;
}

}  // namespace

StatementFacts check_statement(const std::string &sql) {
  const char *const text = sql.c_str();
  return call([&] {
    StatementFacts facts;
    List *const statements = raw_parser(text, RAW_PARSE_DEFAULT);
    if (list_length(statements) != 1)
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("it is not one statement"),
                      errhint("Write one statement; put several into a procedure and CALL it.")));
    const Node *const statement = linitial_node(RawStmt, statements)->stmt;
    if (!may_be_run(statement))
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("it is not a statement that refreshes something"),
                      errhint("Write CALL, SELECT, INSERT, UPDATE, DELETE, MERGE, TRUNCATE, DO or REFRESH MATERIALIZED "
                              "VIEW; put anything else into a procedure and CALL it.")));
    look_up(statement, &facts);
    fail_unless_ok(SPI_connect(), "SPI_connect");
    SPIPlanPtr const plan = SPI_prepare(text, 0, nullptr);
    if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    facts.procedure = procedure_of(plan);
    SPI_finish();
    return facts;
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
