#include "pg/clone_index.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/attmap.h"
#include "access/genam.h"
#include "access/relation.h"
#include "catalog/objectaddress.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "parser/parse_utilcmd.h"
#include "utils/lsyscache.h"
}

namespace backfill::pg {

namespace {

// 0 where `to` has no column of the name: an index that uses it cannot be cloned.
AttrMap *columns_by_name(Relation to, Relation from) {
  TupleDesc const columns = RelationGetDescr(from);
  AttrMap *const map = make_attrmap(columns->natts);
  for (int i = 0; i < columns->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(columns, i);
    if (!column->attisdropped) map->attnums[i] = get_attnum(RelationGetRelid(to), NameStr(column->attname));
  }
  return map;
}

void define_index(::Oid table, IndexStmt *statement) {
  bool const is_alter_table = statement->isconstraint, check_rights = false, check_not_in_use = true;
  bool const skip_build = false, quiet = true;
#if PG_VERSION_NUM >= 160000
  (void)DefineIndex(table, statement, InvalidOid, InvalidOid, InvalidOid, -1, is_alter_table, check_rights,
                    check_not_in_use, skip_build, quiet);
#else
  (void)DefineIndex(table, statement, InvalidOid, InvalidOid, InvalidOid, is_alter_table, check_rights,
                    check_not_in_use, skip_build, quiet);
#endif
}

}  // namespace

void clone_index(Oid index, Oid table, const std::string &name) {
  const char *const n = name.c_str();
  call([&] {
    Relation const source = index_open(index, AccessShareLock);
    Relation const from = table_open(source->rd_index->indrelid, AccessShareLock);
    Relation const to = table_open(table, ShareLock);
    IndexStmt *const statement = generateClonedIndexStmt(nullptr, source, columns_by_name(to, from), nullptr);
    statement->idxname = pstrdup(n);
    table_close(to, NoLock);
    table_close(from, NoLock);
    index_close(source, NoLock);
    define_index(table, statement);
    CommandCounterIncrement();
  });
}

}  // namespace backfill::pg
