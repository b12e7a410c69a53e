#include "pg/acl.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/syscache.h"
}

namespace backfill::pg {

namespace {

struct Members {
  int count;
  ::Oid *roles;
};

Members members_of(const Acl *acl) {
  Members members = {0, nullptr};
  if (acl != nullptr) members.count = aclmembers(acl, &members.roles);
  return members;
}

Acl *acl_of(int cache, HeapTuple tuple, AttrNumber attribute) {
  bool null;
  Datum const value = SysCacheGetAttr(cache, tuple, attribute, &null);
  return null ? nullptr : DatumGetAclPCopy(value);
}

// Writes `acl` (nullptr: none) over the one of `tuple`, a copy, and keeps pg_shdepend in step.
void write_acl(Relation catalog, int cache, HeapTuple tuple, AttrNumber attribute, Acl *acl, ::Oid relation, int column,
               ::Oid owner) {
  Members const before = members_of(acl_of(cache, tuple, attribute)), after = members_of(acl);
  Datum values[Max(Natts_pg_class, Natts_pg_attribute)] = {};
  bool nulls[lengthof(values)] = {}, replace[lengthof(values)] = {};
  values[attribute - 1] = PointerGetDatum(acl);
  nulls[attribute - 1] = acl == nullptr;
  replace[attribute - 1] = true;
  HeapTuple const changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replace);
  CatalogTupleUpdate(catalog, &changed->t_self, changed);
  updateAclDependencies(RelationRelationId, relation, column, owner, before.count, before.roles, after.count,
                        after.roles);
}

Acl *relation_acl(::Oid relation) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", relation);
  Acl *const acl = acl_of(RELOID, tuple, Anum_pg_class_relacl);
  ReleaseSysCache(tuple);
  return acl;
}

Acl *column_acl(::Oid relation, const char *column) {
  HeapTuple const tuple = SearchSysCacheAttName(relation, column);
  if (!HeapTupleIsValid(tuple)) return nullptr;
  Acl *const acl = acl_of(ATTNUM, tuple, Anum_pg_attribute_attacl);
  ReleaseSysCache(tuple);
  return acl;
}

// `from` InvalidOid: nothing granted.  Returns the owner.
::Oid write_relation_acl(::Oid from, ::Oid to) {
  Relation const catalog = table_open(RelationRelationId, RowExclusiveLock);
  HeapTuple const tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(to));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", to);
  ::Oid const owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  write_acl(catalog, RELOID, tuple, Anum_pg_class_relacl, OidIsValid(from) ? relation_acl(from) : nullptr, to, 0,
            owner);
  table_close(catalog, RowExclusiveLock);
  return owner;
}

void write_column_acls(::Oid from, ::Oid to, ::Oid owner) {
  Relation const catalog = table_open(AttributeRelationId, RowExclusiveLock);
  HeapTuple const table = SearchSysCache1(RELOID, ObjectIdGetDatum(to));
  if (!HeapTupleIsValid(table)) elog(ERROR, "cache lookup failed for relation %u", to);
  int const columns = reinterpret_cast<Form_pg_class>(GETSTRUCT(table))->relnatts;
  ReleaseSysCache(table);
  for (int number = 1; number <= columns; number++) {
    HeapTuple const tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(to), Int16GetDatum(number));
    if (!HeapTupleIsValid(tuple)) continue;
    auto const attribute = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
    Acl *const acl = OidIsValid(from) ? column_acl(from, NameStr(attribute->attname)) : nullptr;
    bool const has = acl_of(ATTNUM, tuple, Anum_pg_attribute_attacl) != nullptr;
    if (!attribute->attisdropped && (has || acl != nullptr))
      write_acl(catalog, ATTNUM, tuple, Anum_pg_attribute_attacl, acl, to, number, owner);
  }
  table_close(catalog, RowExclusiveLock);
}

void write_privileges(::Oid from, ::Oid to) {
  call([&] {
    write_column_acls(from, to, write_relation_acl(from, to));
    CommandCounterIncrement();
  });
}

}  // namespace

void copy_privileges(Oid from, Oid to) { write_privileges(from, to); }
void clear_privileges(Oid relation) { write_privileges(InvalidOid, relation); }

}  // namespace backfill::pg
