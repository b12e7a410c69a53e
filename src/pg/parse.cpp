// Raw parsing tells the form of a text (one statement, one expression), analysis its columns and their types.  The walks
// over the analysed tree find volatile functions, locking clauses and the functions called.
#include "pg/parse.hpp"

#include <algorithm>

#include "pg/guard.hpp"

extern "C" {
#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
}

namespace backfill::pg {

namespace {

// PostgreSQL 15 declares its walkers without arguments, later versions wrap them in macros that cast.
bool walk_expression(Node *node, bool (*walker)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
  return expression_tree_walker(node, walker, context);
#else
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context);
#endif
}
bool walk_query(Query *query, bool (*walker)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
  return query_tree_walker(query, walker, context, 0);
#else
  return query_tree_walker(query, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context, 0);
#endif
}

// A query and the one it stands in: where a reference to a CTE or an outer column leads.
struct Level {
  Query *query;
  const Level *outer;
};

const Level *level_up(const Level *level, Index up) {
  while (up-- > 0 && level != nullptr) level = level->outer;
  return level;
}

bool column_is_volatile(const Level *level, int column);

struct VolatileWalk {
  const Level *level;
};

bool volatile_walker(Node *node, void *context);

bool range_column_is_volatile(const Level *level, RangeTblEntry *entry, int column) {
  if (column <= 0) return false;
  if (entry->rtekind == RTE_SUBQUERY) {
    Level const inner{entry->subquery, level};
    return column_is_volatile(&inner, column);
  }
  if (entry->rtekind == RTE_CTE && !entry->self_reference) {
    const Level *const at = level_up(level, entry->ctelevelsup);
    if (at == nullptr) return true;
    ListCell *cell;
    foreach (cell, at->query->cteList) {
      CommonTableExpr *const cte = lfirst_node(CommonTableExpr, cell);
      if (strcmp(cte->ctename, entry->ctename) != 0 || !IsA(cte->ctequery, Query)) continue;
      Level const inner{castNode(Query, cte->ctequery), at};
      return column_is_volatile(&inner, column);
    }
    return true;
  }
  if (entry->rtekind == RTE_FUNCTION) {
    ListCell *cell;
    foreach (cell, entry->functions)
      if (contain_volatile_functions(lfirst_node(RangeTblFunction, cell)->funcexpr)) return true;
  }
#if PG_VERSION_NUM >= 180000
  // What a grouped query selects refers to the expressions of GROUP BY, which stand in an entry of their own.
  if (entry->rtekind == RTE_GROUP) {
    Node *const grouped = static_cast<Node *>(list_nth(entry->groupexprs, column - 1));
    VolatileWalk walk{level};
    return contain_volatile_functions(grouped) || volatile_walker(grouped, &walk);
  }
#endif
  return false;
}

bool volatile_walker(Node *node, void *context) {
  VolatileWalk *const walk = static_cast<VolatileWalk *>(context);
  if (node == nullptr) return false;
  if (IsA(node, Var)) {
    Var *const var = castNode(Var, node);
    const Level *const at = level_up(walk->level, var->varlevelsup);
    if (at == nullptr) return true;
    RangeTblEntry *const entry = rt_fetch(var->varno, at->query->rtable);
    if (entry->rtekind == RTE_JOIN && var->varattno > 0) {
      VolatileWalk aliased{at};
      return volatile_walker(static_cast<Node *>(list_nth(entry->joinaliasvars, var->varattno - 1)), &aliased);
    }
    return range_column_is_volatile(at, entry, var->varattno);
  }
  return walk_expression(node, volatile_walker, context);
}

// Every branch of a UNION has its column at the same position; its branches are sub-selects of the query.
bool column_is_volatile(const Level *level, int column) {
  Query *const query = level->query;
  if (query->setOperations != nullptr) {
    ListCell *cell;
    foreach (cell, query->rtable) {
      RangeTblEntry *const entry = lfirst_node(RangeTblEntry, cell);
      if (entry->rtekind == RTE_SUBQUERY && range_column_is_volatile(level, entry, column)) return true;
    }
    return false;
  }
  TargetEntry *const target = get_tle_by_resno(query->targetList, static_cast<AttrNumber>(column));
  if (target == nullptr) return false;
  if (contain_volatile_functions(reinterpret_cast<Node *>(target->expr))) return true;
  VolatileWalk walk{level};
  return volatile_walker(reinterpret_cast<Node *>(target->expr), &walk);
}

bool note_function(::Oid function, void *context) {
  List **const found = static_cast<List **>(context);
  if (function >= FirstNormalObjectId) *found = list_append_unique_oid(*found, function);
  return false;
}

bool function_walker(Node *node, void *context) {
  if (node == nullptr) return false;
  (void)check_functions_in_node(node, note_function, context);
  if (IsA(node, Query)) return walk_query(castNode(Query, node), function_walker, context);
  return walk_expression(node, function_walker, context);
}

bool lock_walker(Node *node, void *context) {
  if (node == nullptr) return false;
  if (IsA(node, Query)) {
    Query *const query = castNode(Query, node);
    if (query->rowMarks != NIL) return true;
    return walk_query(query, lock_walker, context);
  }
  return walk_expression(node, lock_walker, context);
}

struct Form {  // what a text must be
  const char *message, *hint;
};
constexpr Form one_select = {"it is not one SELECT",
                             "Write exactly one SELECT statement, without INTO and FOR UPDATE."};
constexpr Form one_expression = {"it is not one expression",
                                 "Write one SQL expression, such as would stand in a select list."};
constexpr Form one_join = {"it is more than a join",
                           "Write only what stands between the table and WHERE, such as LEFT JOIN c USING (id)."};

[[noreturn]] void refuse(const Form &form) {
  ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg_internal("%s", form.message), errhint("%s", form.hint)));
}

RawStmt *one_raw_select(const char *sql, const Form &form) {
  List *const statements = raw_parser(sql, RAW_PARSE_DEFAULT);
  if (list_length(statements) != 1) refuse(form);
  RawStmt *const raw = linitial_node(RawStmt, statements);
  if (!IsA(raw->stmt, SelectStmt)) refuse(form);
  SelectStmt *leftmost = castNode(SelectStmt, raw->stmt);
  while (leftmost->larg != nullptr) leftmost = leftmost->larg;
  if (leftmost->intoClause != nullptr) refuse(form);
  return raw;
}

Query *analyse(const char *sql) {
  RawStmt *const raw = one_raw_select(sql, one_select);
  ParseState *const state = make_parsestate(nullptr);
  state->p_sourcetext = sql;
  state->p_resolve_unknowns = false;  // a bare literal takes the column's type
  Query *const query = transformTopLevelStmt(state, raw);
  free_parsestate(state);
  if (query->commandType != CMD_SELECT || query->utilityStmt != nullptr) refuse(one_select);
  if (query->hasModifyingCTE)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("it writes: a WITH query modifies data"),
                    errhint("A transform only reads; write what it yields, and backfill stores it.")));
  if (lock_walker(reinterpret_cast<Node *>(query), nullptr)) refuse(one_select);
  return query;
}

struct RawColumn {
  const char *name;
  ::Oid type;
  const char *type_name;
  bool volatile_value;
};
struct RawFacts {
  RawColumn *columns;
  int count;
  ::Oid *functions;
  int function_count;
  bool volatile_anywhere;
};

RawFacts describe(const char *sql) {
  Query *const query = analyse(sql);
  RawFacts facts = {};
  facts.columns = static_cast<RawColumn *>(palloc0(sizeof(RawColumn) * (list_length(query->targetList) + 1)));
  Level const top{query, nullptr};
  ListCell *cell;
  foreach (cell, query->targetList) {
    TargetEntry *const target = lfirst_node(TargetEntry, cell);
    if (target->resjunk) continue;
    ::Oid const type = exprType(reinterpret_cast<Node *>(target->expr));
    RawColumn &column = facts.columns[facts.count++];
    column.name = target->resname != nullptr ? target->resname : "?column?";
    column.type = type;
    column.type_name = format_type_be(type);
    column.volatile_value = column_is_volatile(&top, target->resno);
  }
  List *functions = NIL;
  (void)function_walker(reinterpret_cast<Node *>(query), &functions);
  facts.function_count = list_length(functions);
  facts.functions = static_cast<::Oid *>(palloc(sizeof(::Oid) * (facts.function_count + 1)));
  foreach (cell, functions) facts.functions[foreach_current_index(cell)] = lfirst_oid(cell);
  facts.volatile_anywhere = contain_volatile_functions(reinterpret_cast<Node *>(query));
  return facts;
}

SelectStmt *raw_select(const char *sql, const Form &form) {
  return castNode(SelectStmt, one_raw_select(sql, form)->stmt);
}

// Anything besides a list of targets and a FROM list.
bool has_more_clauses(const SelectStmt *select) {
  return select->op != SETOP_NONE || select->distinctClause != NIL || select->whereClause != nullptr ||
         select->groupClause != NIL || select->havingClause != nullptr || select->windowClause != NIL ||
         select->valuesLists != NIL || select->sortClause != NIL || select->limitOffset != nullptr ||
         select->limitCount != nullptr || select->lockingClause != NIL || select->withClause != nullptr;
}

}  // namespace

SelectFacts describe_select(const std::string &sql) {
  const char *const text = sql.c_str();
  RawFacts const raw = call([&] { return describe(text); });
  SelectFacts facts;
  for (int i = 0; i < raw.count; i++)
    facts.columns.push_back(
        {raw.columns[i].name, raw.columns[i].type, raw.columns[i].type_name, raw.columns[i].volatile_value});
  facts.functions.assign(raw.functions, raw.functions + raw.function_count);
  std::sort(facts.functions.begin(), facts.functions.end());
  facts.volatile_anywhere = raw.volatile_anywhere;
  return facts;
}

std::vector<Oid> relations_read(const std::string &sql) {
  const char *const text = sql.c_str();
  int count = 0;
  const ::Oid *const found = call([&] {
    List *const raw = pg_parse_query(text);
    List *const rewritten = pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, raw), text, nullptr, 0, nullptr);
    PlannedStmt *const plan = pg_plan_query(linitial_node(Query, rewritten), text, 0, nullptr);
    ::Oid *const relations = static_cast<::Oid *>(palloc(sizeof(::Oid) * (list_length(plan->relationOids) + 1)));
    ListCell *cell;
    foreach (cell, plan->relationOids) relations[count++] = lfirst_oid(cell);
    return relations;
  });
  return {found, found + count};
}

void require_expression(const std::string &expression) {
  std::string const sql = "SELECT (" + expression + "\n)";
  const char *const text = sql.c_str();
  call([&] {
    SelectStmt *const select = raw_select(text, one_expression);
    if (has_more_clauses(select) || select->fromClause != NIL || list_length(select->targetList) != 1 ||
        linitial_node(ResTarget, select->targetList)->name != nullptr)
      refuse(one_expression);
  });
}

void require_join(const std::string &join) {
  std::string const sql = "SELECT 1 FROM t AS t " + join + "\n";
  const char *const text = sql.c_str();
  call([&] {
    SelectStmt *const select = raw_select(text, one_join);
    if (has_more_clauses(select) || list_length(select->targetList) != 1) refuse(one_join);
  });
}

bool assignable(Oid from, Oid to) {
  if (from == UNKNOWNOID) return true;
  ::Oid const source = from, target = to;
  return call([&] { return can_coerce_type(1, &source, &target, COERCION_ASSIGNMENT); });
}

}  // namespace backfill::pg
