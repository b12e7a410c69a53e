// backfill.image_hash: a row's image as one number, for the check `exact`.  What *= calls the same gives the same number:
// bytes are hashed as they are stored, compressed and toasted values by their contents, nulls as nulls.
//
// It is C for it runs once a row.  The loop is plain C: nothing in it has a destructor.
#include "pg/postgres.hpp"

extern "C" {
#include "access/htup_details.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/datum.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(backfill_image_hash);
Datum backfill_image_hash(PG_FUNCTION_ARGS);
}

namespace {

uint64 hash_of_datum(Datum value, Form_pg_attribute column, uint64 seed) {
  const auto *const bytes = reinterpret_cast<const unsigned char *>(DatumGetPointer(value));
  if (column->attbyval) return hash_bytes_extended(reinterpret_cast<const unsigned char *>(&value), sizeof value, seed);
  if (column->attlen > 0) return hash_bytes_extended(bytes, column->attlen, seed);
  if (column->attlen == -2)
    return hash_bytes_extended(bytes, static_cast<int>(strlen(reinterpret_cast<const char *>(bytes))), seed);
  struct varlena *const whole = PG_DETOAST_DATUM_PACKED(value);
  uint64 const hash = hash_bytes_extended(reinterpret_cast<const unsigned char *>(VARDATA_ANY(whole)),
                                          static_cast<int>(VARSIZE_ANY_EXHDR(whole)), seed);
  if (reinterpret_cast<Pointer>(whole) != DatumGetPointer(value)) pfree(whole);
  return hash;
}

}  // namespace

Datum backfill_image_hash(PG_FUNCTION_ARGS) {
  HeapTupleHeader const row = PG_GETARG_HEAPTUPLEHEADER(0);
  uint64 const seed = static_cast<uint64>(PG_GETARG_INT64(1));
  TupleDesc const columns = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
  HeapTupleData tuple;
  tuple.t_len = HeapTupleHeaderGetDatumLength(row);
  ItemPointerSetInvalid(&tuple.t_self);
  tuple.t_tableOid = InvalidOid;
  tuple.t_data = row;
  Datum *const values = static_cast<Datum *>(palloc(sizeof(Datum) * columns->natts));
  bool *const nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
  heap_deform_tuple(&tuple, columns, values, nulls);
  uint64 hash = seed;
  for (int i = 0; i < columns->natts; i++) {
    if (TupleDescAttr(columns, i)->attisdropped) continue;
    hash = hash_combine64(hash, nulls[i] ? 1 : hash_of_datum(values[i], TupleDescAttr(columns, i), seed));
  }
  ReleaseTupleDesc(columns);
  pfree(values);
  pfree(nulls);
  PG_RETURN_INT64(static_cast<int64>(hash));
}
