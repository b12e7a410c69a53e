// backfill.stored_sum: rows of a table by the bytes they are stored in, added up.  Rows that are stored alike have the same
// image; so two tables with the same sum under a fresh seed have the same images, but for one case in 2^64.  The reverse does
// not hold (a value may be compressed here and not there), so a difference says nothing: backfill.image_hash does.
//
// It is C for it runs once a row, and reads the row where it lies: the executor hands over the row's address only, so no
// column is taken out of it and no copy of it is made.
//
//   hash of a row = its data bytes, and which of its columns are null, up to the last one that is not
//
// so that a column added later, null in every old row, changes nothing.  Rows that hold more than the table has now (dropped
// columns) or less (columns added with a default) are formed anew first, and values out of line go by their contents.
//
// The loop is plain C: nothing in it has a destructor.
#include "pg/postgres.hpp"

extern "C" {
#include "access/heapam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/acl.h"
#include "utils/datum.h"

PG_FUNCTION_INFO_V1(backfill_stored_sum_step);
Datum backfill_stored_sum_step(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(backfill_stored_sum_join);
Datum backfill_stored_sum_join(PG_FUNCTION_ARGS);
}

namespace {

#if PG_VERSION_NUM >= 160000
using FilePlace = RelFileLocator;
#else
using FilePlace = RelFileNode;
#endif

// The table that a call site reads; lives as long as its statement, during which the table stays locked.
struct Source {
  Oid relation;
  FilePlace place;
  bool permanent;
  bool reshaped;           // holds dropped columns
  bool defaults;           // rows may lack columns that are not null
  TupleDesc stored, kept;  // as rows are stored, and without dropped columns
  Datum *values;           // room for one row
  bool *nulls;
  Buffer buffer;  // pinned where valid
  BlockNumber block;
  bool watched;  // the aggregate's end lets go of the pin
};

FilePlace place_of(Relation relation) {
#if PG_VERSION_NUM >= 160000
  return relation->rd_locator;
#else
  return relation->rd_node;
#endif
}

bool may_read(Oid relation) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(RelationRelationId, relation, GetUserId());
#else
  return pg_class_ownercheck(relation, GetUserId());
#endif
}

TupleDesc without_dropped(TupleDesc stored) {
  int kept = 0;
  for (int i = 0; i < stored->natts; i++)
    if (!TupleDescAttr(stored, i)->attisdropped) kept++;
  TupleDesc const desc = CreateTemplateTupleDesc(kept);
  for (int i = 0, n = 0; i < stored->natts; i++)
    if (!TupleDescAttr(stored, i)->attisdropped) TupleDescCopyEntry(desc, static_cast<AttrNumber>(++n), stored, i + 1);
  return desc;
}

// Whoever may not read every row must not learn of any by its hash.
Source *open_source(Oid relation, MemoryContext context) {
  Relation const table = try_table_open(relation, AccessShareLock);
  if (table == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table with OID %u does not exist", relation)));
  if (table->rd_rel->relam != HEAP_TABLE_AM_OID || RelationUsesLocalBuffers(table))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not a heap table", NameStr(table->rd_rel->relname))));
  if (!may_read(relation)) aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, NameStr(table->rd_rel->relname));
  MemoryContext const outer = MemoryContextSwitchTo(context);
  Source *const source = static_cast<Source *>(palloc0(sizeof(Source)));
  source->relation = relation;
  source->place = place_of(table);
  source->permanent = table->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
  source->stored = CreateTupleDescCopyConstr(RelationGetDescr(table));
  source->kept = without_dropped(source->stored);
  source->reshaped = source->kept->natts < source->stored->natts;
  source->defaults = source->stored->constr != nullptr && source->stored->constr->missing != nullptr;
  source->values = static_cast<Datum *>(palloc(sizeof(Datum) * source->stored->natts));
  source->nulls = static_cast<bool *>(palloc(sizeof(bool) * source->stored->natts));
  source->buffer = InvalidBuffer;
  MemoryContextSwitchTo(outer);
  table_close(table, NoLock);
  return source;
}

void unpin(Source *source) {
  if (BufferIsValid(source->buffer)) ReleaseBuffer(source->buffer);
  source->buffer = InvalidBuffer;
}

void let_go(Datum of) {
  Source *const source = reinterpret_cast<Source *>(DatumGetPointer(of));
  unpin(source);
  source->watched = false;
}

// The row is visible to the statement's snapshot, so it stays where it is; the pin keeps its page from being tidied.
HeapTupleHeader find_row(Source *source, ItemPointer at, uint32 *length) {
  BlockNumber const block = ItemPointerGetBlockNumber(at);
  if (!BufferIsValid(source->buffer) || source->block != block) {
    unpin(source);
    source->buffer =
        ReadBufferWithoutRelcache(source->place, MAIN_FORKNUM, block, RBM_NORMAL, nullptr, source->permanent);
    source->block = block;
  }
  Page const page = BufferGetPage(source->buffer);
  OffsetNumber const offset = ItemPointerGetOffsetNumber(at);
  ItemId const item =
      offset >= FirstOffsetNumber && offset <= PageGetMaxOffsetNumber(page) ? PageGetItemId(page, offset) : nullptr;
  if (item == nullptr || !ItemIdIsNormal(item))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no row (%u,%u)", block, offset)));
  *length = ItemIdGetLength(item);
  return reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
}

uint64 hash_of_bytes(const void *bytes, Size length, uint64 seed) {
  return hash_bytes_extended(static_cast<const unsigned char *>(bytes), static_cast<int>(length), seed);
}

// Which columns are null, up to the last that is not.
uint64 hash_of_nulls(HeapTupleHeader row, uint64 seed) {
  int last = HeapTupleHeaderGetNatts(row);
  if ((row->t_infomask & HEAP_HASNULL) == 0) return static_cast<uint64>(last);
  while (last > 0 && att_isnull(last - 1, row->t_bits)) last--;
  for (int i = 0; i < last; i++)
    if (att_isnull(i, row->t_bits))
      return hash_of_bytes(row->t_bits, BITMAPLEN(last), seed + static_cast<uint64>(last));
  return static_cast<uint64>(last);
}

uint64 hash_of_stored(HeapTupleHeader row, uint32 length, uint64 seed) {
  uint64 const data = hash_of_bytes(reinterpret_cast<const char *>(row) + row->t_hoff, length - row->t_hoff, seed);
  return hash_combine64(data, hash_of_nulls(row, seed));
}

uint64 hash_of_value(Datum value, Form_pg_attribute column, uint64 seed) {
  if (column->attbyval) return hash_of_bytes(&value, sizeof value, seed);
  if (column->attlen != -1)
    return hash_of_bytes(DatumGetPointer(value), datumGetSize(value, false, column->attlen), seed);
  struct varlena *const whole = PG_DETOAST_DATUM_PACKED(value);
  return hash_of_bytes(VARDATA_ANY(whole), VARSIZE_ANY_EXHDR(whole), seed);
}

// Of a row with values out of line: by contents, column by column.
uint64 hash_of_contents(Source *source, uint64 seed) {
  int last = source->kept->natts;
  while (last > 0 && source->nulls[last - 1]) last--;
  uint64 hash = seed;
  for (int i = 0; i < last; i++)
    hash = hash_combine64(
        hash, source->nulls[i] ? 1 : hash_of_value(source->values[i], TupleDescAttr(source->kept, i), seed));
  return hash;
}

// Of a row that is not stored as the table's columns are now.
uint64 hash_of_odd(Source *source, HeapTupleHeader row, uint32 length, uint64 seed) {
  HeapTupleData tuple;
  tuple.t_len = length;
  tuple.t_tableOid = source->relation;
  ItemPointerSetInvalid(&tuple.t_self);
  tuple.t_data = row;
  heap_deform_tuple(&tuple, source->stored, source->values, source->nulls);
  bool out_of_line = false;
  for (int i = 0, n = 0; i < source->stored->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(source->stored, i);
    if (column->attisdropped) continue;
    source->values[n] = source->values[i];
    source->nulls[n] = source->nulls[i];
    out_of_line |= !source->nulls[n] && column->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(source->values[n]));
    n++;
  }
  if (out_of_line) return hash_of_contents(source, seed);
  HeapTuple const formed = heap_form_tuple(source->kept, source->values, source->nulls);
  return hash_of_stored(formed->t_data, formed->t_len, seed);
}

uint64 hash_of_row(Source *source, ItemPointer at, uint64 seed) {
  uint32 length = 0;
  HeapTupleHeader const row = find_row(source, at, &length);
  bool const short_of = source->defaults && HeapTupleHeaderGetNatts(row) < source->stored->natts;
  if (source->reshaped || short_of || (row->t_infomask & HEAP_HASEXTERNAL) != 0)
    return hash_of_odd(source, row, length, seed);
  return hash_of_stored(row, length, seed);
}

}  // namespace

Datum backfill_stored_sum_step(PG_FUNCTION_ARGS) {
  if (AggCheckCallContext(fcinfo, nullptr) != AGG_CONTEXT_AGGREGATE)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("function \"backfill.stored_sum_step\" can only be called by its aggregate")));
  Oid const relation = PG_GETARG_OID(1);
  Source *source = static_cast<Source *>(fcinfo->flinfo->fn_extra);
  if (source == nullptr || source->relation != relation) {
    if (source != nullptr) unpin(source);
    fcinfo->flinfo->fn_extra = source = open_source(relation, fcinfo->flinfo->fn_mcxt);
  }
  if (!source->watched) AggRegisterCallback(fcinfo, let_go, PointerGetDatum(source));
  source->watched = true;
  uint64 const sum = static_cast<uint64>(PG_GETARG_INT64(0));
  ItemPointer const at = reinterpret_cast<ItemPointer>(PG_GETARG_POINTER(2));
  PG_RETURN_INT64(static_cast<int64>(sum + hash_of_row(source, at, static_cast<uint64>(PG_GETARG_INT64(3)))));
}

Datum backfill_stored_sum_join(PG_FUNCTION_ARGS) {
  PG_RETURN_INT64(
      static_cast<int64>(static_cast<uint64>(PG_GETARG_INT64(0)) + static_cast<uint64>(PG_GETARG_INT64(1))));
}
