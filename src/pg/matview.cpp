// The query of a materialized view is its rule _RETURN.  Only REFRESH and those who print definitions read it, never a
// reader of the view: so it can be replaced while they read, as CREATE OR REPLACE VIEW does it, but under a weaker lock
// (DefineQueryRewrite would take ACCESS EXCLUSIVE).
//
// Contents are files; what belongs to a file (size, freeze limits, TOAST table) goes with it, as REFRESH and CLUSTER do
// it.  They build the indexes anew while everybody waits; here the indexes come along.
#include "pg/matview.hpp"

#include <utility>

#include "pg/guard.hpp"

extern "C" {
#include "access/relation.h"
#include "access/toast_internals.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_rewrite.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace backfill::pg {

namespace {

Query *analyse(const char *sql) {
  List *const parsed = raw_parser(sql, RAW_PARSE_DEFAULT);
  if (list_length(parsed) != 1)
    ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a materialized view is one SELECT"));
  Query *const query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), sql, nullptr, 0, nullptr);
  if (query->commandType != CMD_SELECT || query->utilityStmt != nullptr)
    ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a materialized view is one SELECT"));
  return query;
}

bool same_type(const Node *expression, Form_pg_attribute column) {
  int32 const modifier = exprTypmod(expression);
  return exprType(expression) == column->atttypid &&
         (modifier == column->atttypmod || modifier == -1 || column->atttypmod == -1);
}

void require_same_columns(const Query *query, Relation view) {
  TupleDesc const columns = RelationGetDescr(view);
  int count = 0;
  bool same = true;
  ListCell *cell;
  foreach (cell, query->targetList) {
    auto const entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk) continue;
    same = same && count < columns->natts &&
           same_type(reinterpret_cast<Node *>(entry->expr), TupleDescAttr(columns, count));
    count++;
  }
  if (same && count == columns->natts) return;
  ereport(ERROR, errcode(ERRCODE_INVALID_TABLE_DEFINITION),
          errmsg("the query does not have the columns of materialized view \"%s\"", RelationGetRelationName(view)));
}

#if PG_VERSION_NUM < 160000
RangeTblEntry *own_entry(ParseState *state, Relation view, const char *alias) {
  RangeTblEntry *const entry =
      addRangeTableEntryForRelation(state, view, AccessShareLock, makeAlias(alias, NIL), false, false)->p_rte;
  entry->requiredPerms = 0;
  return entry;
}
#endif

// Up to PostgreSQL 15 the query of a view begins with entries for the view itself.
Query *as_view_query(Query *query, [[maybe_unused]] Relation view) {
#if PG_VERSION_NUM < 160000
  ParseState *const state = make_parsestate(nullptr);
  RangeTblEntry *const before = own_entry(state, view, "old"), *const after = own_entry(state, view, "new");
  query->rtable = lcons(before, lcons(after, query->rtable));
  OffsetVarNodes(reinterpret_cast<Node *>(query), 2, 0);
#endif
  return query;
}

void record_dependencies(::Oid rule, Relation view, Query *query) {
  ObjectAddress myself, whole;
  ObjectAddressSet(myself, RewriteRelationId, rule);
  ObjectAddressSet(whole, RelationRelationId, RelationGetRelid(view));
  deleteDependencyRecordsFor(RewriteRelationId, rule, false);
  recordDependencyOn(&myself, &whole, DEPENDENCY_INTERNAL);
  recordDependencyOnExpr(&myself, reinterpret_cast<Node *>(list_make1(query)), NIL, DEPENDENCY_NORMAL);
  InvokeObjectPostAlterHook(RewriteRelationId, rule, 0);
}

void write_rule(Relation view, Query *query) {
  Relation const catalog = table_open(RewriteRelationId, RowExclusiveLock);
  HeapTuple const tuple =
      SearchSysCacheCopy2(RULERELNAME, ObjectIdGetDatum(RelationGetRelid(view)), PointerGetDatum(ViewSelectRuleName));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "rule %s of relation %u is gone", ViewSelectRuleName, view->rd_id);
  Datum values[Natts_pg_rewrite] = {};
  bool nulls[Natts_pg_rewrite] = {}, replace[Natts_pg_rewrite] = {};
  values[Anum_pg_rewrite_ev_action - 1] = CStringGetTextDatum(nodeToString(list_make1(query)));
  replace[Anum_pg_rewrite_ev_action - 1] = true;
  HeapTuple const changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replace);
  CatalogTupleUpdate(catalog, &changed->t_self, changed);
  record_dependencies(reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(changed))->oid, view, query);
  CacheInvalidateRelcache(view);
  table_close(catalog, RowExclusiveLock);
}

void belong(::Oid toast, ::Oid table) {
  ObjectAddress part, whole;
  ObjectAddressSet(part, RelationRelationId, toast);
  ObjectAddressSet(whole, RelationRelationId, table);
  recordDependencyOn(&part, &whole, DEPENDENCY_INTERNAL);
}

void exchange_columns(Form_pg_class one, Form_pg_class other) {
  std::swap(one->relfilenode, other->relfilenode);
  std::swap(one->reltablespace, other->reltablespace);
  std::swap(one->reltoastrelid, other->reltoastrelid);
  std::swap(one->relpages, other->relpages);
  std::swap(one->reltuples, other->reltuples);
  std::swap(one->relallvisible, other->relallvisible);
#if PG_VERSION_NUM >= 180000
  std::swap(one->relallfrozen, other->relallfrozen);
#endif
  std::swap(one->relfrozenxid, other->relfrozenxid);
  std::swap(one->relminmxid, other->relminmxid);
}

// What was made in this transaction may be written without WAL (wal_level = minimal): the relcache must know whose it is.
void pass_on_newness(::Oid one, ::Oid other) {
  Relation const a = relation_open(one, NoLock), b = relation_open(other, NoLock);
  if (b->rd_createSubid != InvalidSubTransactionId) {
    b->rd_createSubid = a->rd_createSubid;
#if PG_VERSION_NUM >= 160000
    b->rd_newRelfilelocatorSubid = a->rd_newRelfilelocatorSubid;
    b->rd_firstRelfilelocatorSubid = a->rd_firstRelfilelocatorSubid;
    RelationAssumeNewRelfilelocator(a);
#else
    b->rd_newRelfilenodeSubid = a->rd_newRelfilenodeSubid;
    b->rd_firstRelfilenodeSubid = a->rd_firstRelfilenodeSubid;
    RelationAssumeNewRelfilenode(a);
#endif
  }
  relation_close(a, NoLock);
  relation_close(b, NoLock);
}

void exchange_rows(::Oid one, ::Oid other) {
  Relation const catalog = table_open(RelationRelationId, RowExclusiveLock);
  HeapTuple const a = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(one));
  HeapTuple const b = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(other));
  if (!HeapTupleIsValid(a) || !HeapTupleIsValid(b)) elog(ERROR, "relation %u or %u is gone", one, other);
  auto const first = reinterpret_cast<Form_pg_class>(GETSTRUCT(a)),
             second = reinterpret_cast<Form_pg_class>(GETSTRUCT(b));
  exchange_columns(first, second);
  CatalogTupleUpdate(catalog, &a->t_self, a);
  CatalogTupleUpdate(catalog, &b->t_self, b);
  for (::Oid const toast : {first->reltoastrelid, second->reltoastrelid})
    if (OidIsValid(toast)) deleteDependencyRecordsFor(RelationRelationId, toast, false);
  if (OidIsValid(first->reltoastrelid)) belong(first->reltoastrelid, one);
  if (OidIsValid(second->reltoastrelid)) belong(second->reltoastrelid, other);
  table_close(catalog, RowExclusiveLock);
}

}  // namespace

void replace_query(Oid matview, const std::string &query) {
  const char *const sql = query.c_str();
  call([&] {
    Relation const view = relation_open(matview, ShareUpdateExclusiveLock);
    if (view->rd_rel->relkind != RELKIND_MATVIEW)
      ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
              errmsg("\"%s\" is not a materialized view", RelationGetRelationName(view)));
    Query *const analysed = analyse(sql);
    require_same_columns(analysed, view);
    write_rule(view, as_view_query(analysed, view));
    relation_close(view, NoLock);
    CommandCounterIncrement();
  });
}

void exchange_storage(Oid one, Oid other) {
  call([&] {
    exchange_rows(one, other);
    pass_on_newness(one, other);
#if PG_VERSION_NUM < 170000
    RelationCloseSmgrByOid(one);
    RelationCloseSmgrByOid(other);
#endif
    CommandCounterIncrement();
  });
}

void name_toast_table(Oid relation) {
  call([&] {
    Relation const owner = relation_open(relation, NoLock);
    ::Oid const toast = owner->rd_rel->reltoastrelid;
    relation_close(owner, NoLock);
    if (!OidIsValid(toast)) return;
    char *const name = psprintf("pg_toast_%u", relation);
    RenameRelationInternal(toast_get_valid_index(toast, AccessExclusiveLock), psprintf("%s_index", name), true, true);
    RenameRelationInternal(toast, name, true, false);
    CommandCounterIncrement();
  });
}

}  // namespace backfill::pg
