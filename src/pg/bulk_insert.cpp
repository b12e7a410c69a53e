// 1. Analyze: the statement goes through PostgreSQL's parser and rewriter like any other.  Its target list then says,
//    column by column, what an INSERT would store: assignment casts, lengths, domains, defaults.
// 2. Turn it around: the same query as a SELECT of exactly that list.  It may have a parallel plan, which an INSERT may not;
//    rows come to the leader, and the leader may write, as it does in CREATE TABLE AS.
// 3. Run it into a receiver of our own.  Each row gets its generated columns, is checked against NOT NULL and CHECK, and
//    becomes a tuple in a batch; a full batch is one call of the table's multi-insert: one WAL record and one lock a
//    page instead of a row.
//
// Memory: the receiver's state outlives the executor; a batch's tuples live in a context that each flush resets; what an
// expression allocates dies with its row.  On an error all of it goes with the transaction.
#include "pg/bulk_insert.hpp"

#include "pg/guard.hpp"
#include "pg/snapshot.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
}

namespace backfill::pg {

namespace {

constexpr int batch_rows = 1000;
constexpr Size batch_bytes = 128 * 1024;  // a few pages' worth; fits the processor's cache

struct Inserter {
  DestReceiver receiver;  // first, so that PostgreSQL can hand it back
  Relation table;
  TupleTableSlot *row;    // in the table's shape, for expressions
  EState *state;          // of generated columns and constraints
  ResultRelInfo *result;  // the table as they know it
  bool generates, checks;
  ExprState *mark;  // of RETURNING, or nullptr

  MemoryContext home;    // of what lives as long as the statement
  MemoryContext memory;  // of the batch's tuples
  TupleTableSlot *batch[batch_rows];
  int slots;  // of the batch, made so far
  int buffered;
  Size bytes;
  BulkInsertState bulk;
  CommandId command;

  BulkInsert done;
};

// ---- 3. receive ----

void flush(Inserter *in) {
  if (in->buffered == 0) return;
  MemoryContext const outer = MemoryContextSwitchTo(in->memory);
  table_multi_insert(in->table, in->batch, in->buffered, in->command, TABLE_INSERT_SKIP_FSM, in->bulk);
  for (int i = 0; i < in->buffered; i++) ExecClearTuple(in->batch[i]);
  MemoryContextSwitchTo(outer);
  MemoryContextReset(in->memory);
  in->done.rows += in->buffered;
  in->buffered = 0;
  in->bytes = 0;
}

void fill_row(Inserter *in, TupleTableSlot *from) {
  int const columns = in->row->tts_tupleDescriptor->natts;
  slot_getallattrs(from);
  ExecClearTuple(in->row);
  memcpy(in->row->tts_values, from->tts_values, columns * sizeof(Datum));
  memcpy(in->row->tts_isnull, from->tts_isnull, columns * sizeof(bool));
  ExecStoreVirtualTuple(in->row);
}

bool is_marked(Inserter *in) {
  ExprContext *const context = GetPerTupleExprContext(in->state);
  context->ecxt_scantuple = in->row;
  bool null;
  Datum const value = ExecEvalExprSwitchContext(in->mark, context, &null);
  return !null && DatumGetBool(value);
}

void buffer(Inserter *in, HeapTuple tuple) {
  if (in->buffered == in->slots) {
    MemoryContext const outer = MemoryContextSwitchTo(in->home);
    in->batch[in->slots++] = MakeSingleTupleTableSlot(RelationGetDescr(in->table), &TTSOpsHeapTuple);
    MemoryContextSwitchTo(outer);
  }
  ExecStoreHeapTuple(tuple, in->batch[in->buffered++], false);
  in->bytes += tuple->t_len;
}

HeapTuple form_tuple(Inserter *in) {
  MemoryContext const outer = MemoryContextSwitchTo(in->memory);
  HeapTuple const tuple = heap_form_tuple(RelationGetDescr(in->table), in->row->tts_values, in->row->tts_isnull);
  MemoryContextSwitchTo(outer);
  return tuple;
}

bool receive(TupleTableSlot *slot, DestReceiver *self) {
  Inserter *const in = reinterpret_cast<Inserter *>(self);
  fill_row(in, slot);
  if (in->generates) ExecComputeStoredGenerated(in->result, in->state, in->row, CMD_INSERT);
  if (in->checks) ExecConstraints(in->result, in->row, in->state);
  if (in->mark != nullptr && is_marked(in)) in->done.marked++;
  buffer(in, form_tuple(in));
  ResetPerTupleExprContext(in->state);
  if (in->buffered == batch_rows || in->bytes >= batch_bytes) flush(in);
  return true;
}

void start(DestReceiver *, int, TupleDesc) {}
void shut_down(DestReceiver *self) { flush(reinterpret_cast<Inserter *>(self)); }
void destroy(DestReceiver *) {}

void init_range_table(EState *state, Query *insert) {
  List *const tables = list_make1(copyObjectImpl(rt_fetch(insert->resultRelation, insert->rtable)));
#if PG_VERSION_NUM >= 180000
  ExecInitRangeTable(state, tables, static_cast<List *>(copyObjectImpl(insert->rteperminfos)), bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
  ExecInitRangeTable(state, tables, static_cast<List *>(copyObjectImpl(insert->rteperminfos)));
#else
  ExecInitRangeTable(state, tables);
#endif
}

Inserter *make_inserter(Relation table, Query *insert, Expr *mark) {
  TupleDesc const shape = RelationGetDescr(table);
  Inserter *const in = static_cast<Inserter *>(palloc0(sizeof(Inserter)));
  in->receiver.receiveSlot = receive;
  in->receiver.rStartup = start;
  in->receiver.rShutdown = shut_down;
  in->receiver.rDestroy = destroy;
  in->receiver.mydest = DestNone;
  in->table = table;
  in->row = MakeSingleTupleTableSlot(shape, &TTSOpsVirtual);
  in->row->tts_tableOid = RelationGetRelid(table);

  in->state = CreateExecutorState();
  init_range_table(in->state, insert);
  in->result = makeNode(ResultRelInfo);
  InitResultRelInfo(in->result, table, 1, nullptr, 0);
  in->checks = shape->constr != nullptr;
  in->generates = shape->constr != nullptr && shape->constr->has_generated_stored;
  if (mark != nullptr) {
    ChangeVarNodes(reinterpret_cast<Node *>(mark), insert->resultRelation, 1, 0);
    in->mark = ExecPrepareExpr(mark, in->state);
  }

  // The first block holds a batch, and a reset keeps it.
  in->home = CurrentMemoryContext;
  in->memory = AllocSetContextCreate(CurrentMemoryContext, "backfill batch", 0, 4 * batch_bytes, 8 * batch_bytes);
  in->bulk = GetBulkInsertState();
  return in;
}

void end_inserter(Inserter *in) {
  FreeBulkInsertState(in->bulk);
  table_finish_bulk_insert(in->table, TABLE_INSERT_SKIP_FSM);
  for (int i = 0; i < in->slots; i++) ExecDropSingleTupleTableSlot(in->batch[i]);
  ExecDropSingleTupleTableSlot(in->row);
  FreeExecutorState(in->state);
}

// ---- 2. turn around ----

// Nothing stands between a row and the heap.
bool takes_rows_in_bulk(Relation table) {
  return table->rd_rel->relkind == RELKIND_RELATION && table->rd_rel->relam == HEAP_TABLE_AM_OID &&
         !table->rd_rel->relispartition && table->trigdesc == nullptr && RelationGetIndexList(table) == NIL;
}

TargetEntry *null_column(Form_pg_attribute column, AttrNumber number) {
  // As the planner has it for an INSERT.
  Const *const null = column->attisdropped ? makeConst(INT4OID, -1, InvalidOid, sizeof(std::int32_t), 0, true, true)
                                           : makeConst(column->atttypid, -1, column->attcollation, column->attlen, 0,
                                                       true, column->attbyval);
  return makeTargetEntry(reinterpret_cast<Expr *>(null), number, pstrdup(NameStr(column->attname)), false);
}

TargetEntry *entry_for(List *entries, AttrNumber number) {
  ListCell *cell;
  foreach (cell, entries) {
    TargetEntry *const entry = lfirst_node(TargetEntry, cell);
    if (entry->resno == number && !entry->resjunk) return entry;
  }
  return nullptr;
}

// A null that no constraint of a domain has to see, or that is to be overwritten.
bool may_be_omitted(Form_pg_attribute column) {
  return column->attisdropped || column->attgenerated != '\0' || get_typtype(column->atttypid) != TYPTYPE_DOMAIN;
}

// The analyzed list, filled up to all columns of the table; NIL where that cannot be done.
List *whole_row(List *entries, TupleDesc shape) {
  List *row = NIL;
  for (AttrNumber number = 1; number <= shape->natts; number++) {
    Form_pg_attribute const column = TupleDescAttr(shape, number - 1);
    TargetEntry *entry = entry_for(entries, number);
    if (entry == nullptr && may_be_omitted(column)) entry = null_column(column, number);
    if (entry == nullptr) return NIL;
    row = lappend(row, entry);
  }
  return row;
}

// The expressions that the receiver evaluates while a parallel plan may be running below it.
List *receiver_expressions(TupleDesc shape, Expr *mark) {
  List *expressions = mark != nullptr ? list_make1(mark) : NIL;
  if (shape->constr == nullptr) return expressions;
  for (int i = 0; i < shape->constr->num_check; i++)
    expressions = lappend(expressions, stringToNode(shape->constr->check[i].ccbin));
  for (int i = 0; i < shape->constr->num_defval; i++)
    if (TupleDescAttr(shape, shape->constr->defval[i].adnum - 1)->attgenerated != '\0')
      expressions = lappend(expressions, stringToNode(shape->constr->defval[i].adbin));
  return expressions;
}

// While a parallel plan runs and its leader has written, no function may write, open a subtransaction or even look with a
// fresh snapshot, as volatile ones do, whatever they say of themselves.  What a domain's constraints do is not declared; a
// cast to a domain counts as restricted.
bool is_harmless(Query *query) {
  return max_parallel_hazard(query) == PROPARALLEL_SAFE && !contain_volatile_functions(reinterpret_cast<Node *>(query));
}

bool may_be_parallel(Query *select, TupleDesc shape, Expr *mark) {
  Query *const receiver = makeNode(Query);
  receiver->commandType = CMD_SELECT;
  ListCell *cell;
  foreach (cell, receiver_expressions(shape, mark)) {
    Expr *const expression = static_cast<Expr *>(lfirst(cell));
    receiver->targetList = lappend(receiver->targetList, makeTargetEntry(expression, 1, nullptr, false));
  }
  return is_harmless(select) && is_harmless(receiver);
}

void turn_into_select(Query *query, List *row) {
  query->commandType = CMD_SELECT;
  query->resultRelation = 0;
  query->override = OVERRIDING_NOT_SET;
  query->returningList = NIL;
  query->targetList = row;
}

// ---- 1. analyze ----

// nullptr where the statement does not become exactly one INSERT.
Query *analyze(const char *sql) {
  List *const raw = pg_parse_query(sql);
  if (list_length(raw) != 1) return nullptr;
  List *const rewritten = pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, raw), sql, nullptr, 0, nullptr);
  if (list_length(rewritten) != 1) return nullptr;
  Query *const query = linitial_node(Query, rewritten);
  bool const plain = query->commandType == CMD_INSERT && query->onConflict == nullptr &&
                     query->withCheckOptions == NIL && !query->hasModifyingCTE &&
                     list_length(query->returningList) <= 1;
  return plain ? query : nullptr;
}

// ---- the whole ----

void execute_into(Query *select, const char *sql, int options, Inserter *in) {
  PlannedStmt *const plan = pg_plan_query(select, sql, options, nullptr);
  QueryDesc *const query =
      CreateQueryDesc(plan, sql, GetActiveSnapshot(), InvalidSnapshot, &in->receiver, nullptr, nullptr, 0);
  // In parallel mode no transaction id can be assigned.
  (void)GetCurrentTransactionId();
  in->command = GetCurrentCommandId(true);
  ExecutorStart(query, 0);
  if (query->tupDesc->natts != RelationGetNumberOfAttributes(in->table))
    elog(ERROR, "a query of backfill has %d columns instead of %d", query->tupDesc->natts,
         RelationGetNumberOfAttributes(in->table));
#if PG_VERSION_NUM >= 180000
  ExecutorRun(query, ForwardScanDirection, 0);
#else
  ExecutorRun(query, ForwardScanDirection, 0, true);
#endif
  ExecutorFinish(query);
  ExecutorEnd(query);
  FreeQueryDesc(query);
}

bool insert_analyzed(Query *query, const char *sql, BulkInsert *done) {
  ::Oid const relation = rt_fetch(query->resultRelation, query->rtable)->relid;
  Relation const table = table_open(relation, NoLock);  // the analysis has locked it
  TupleDesc const shape = RelationGetDescr(table);
  Expr *const mark = query->returningList == NIL ? nullptr : linitial_node(TargetEntry, query->returningList)->expr;
  List *const row = whole_row(query->targetList, shape);
  bool const possible = takes_rows_in_bulk(table) && list_length(row) == shape->natts &&
                        (mark == nullptr || (exprType(reinterpret_cast<Node *>(mark)) == BOOLOID &&
                                             !checkExprHasSubLink(reinterpret_cast<Node *>(mark))));
  if (possible) {
    Inserter *const in = make_inserter(table, query, mark);
    turn_into_select(query, row);
    int const options = may_be_parallel(query, shape, mark) ? CURSOR_OPT_PARALLEL_OK : 0;
    execute_into(query, sql, options, in);
    *done = in->done;
    end_inserter(in);
  }
  table_close(table, NoLock);
  return possible;
}

bool run(const char *sql, BulkInsert *done) {
  MemoryContext const memory =
      AllocSetContextCreate(CurrentMemoryContext, "backfill bulk insert", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const outer = MemoryContextSwitchTo(memory);
  CommandCounterIncrement();
  PushCopiedSnapshot(current_snapshot() ? static_cast<Snapshot>(current_snapshot()) : GetTransactionSnapshot());
  UpdateActiveSnapshotCommandId();
  Query *const query = analyze(sql);
  bool const possible = query != nullptr && insert_analyzed(query, sql, done);
  PopActiveSnapshot();
  CommandCounterIncrement();
  MemoryContextSwitchTo(outer);
  MemoryContextDelete(memory);
  return possible;
}

}  // namespace

std::optional<BulkInsert> bulk_insert(const std::string &sql) {
  const char *const text = sql.c_str();
  BulkInsert done;
  bool const possible = call([&] { return run(text, &done); });
  return possible ? std::optional(done) : std::nullopt;
}

}  // namespace backfill::pg
