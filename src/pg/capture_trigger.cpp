// The triggers of a job: capture, reverse capture, and the guard of the archive.
//
// They run inside the transactions of people who know nothing of us, so they are plain C, cost little and cannot fail
// for reasons of ours: a row of the log is formed and put straight into its heap (no SPI, no index, no sequence, no
// privilege of the writer, and no code of anybody else's: keys are compared as bytes and stored as base types).
//
// Arguments of every trigger: the OID of the log, the job's id, then the numbers of the key's columns (the guard: the
// job's name).  OID and name must lead to the same table of schema backfill.  In a restored dump they do not, and the
// trigger does nothing.
//
//   capture           (k1 ..., op, cols)              'i' 'u' 'd'; 't' says that any row may have changed; cols is null
//   capture_reverse   (k1 ..., o1 ..., op, cols, lsn) also 'm': the key was o and is k now
//   capture_truncate  a 't' in either
//   guard             raises, unless our own drain writes
//
// A key that the log cannot hold (its type was altered, its NOT NULL dropped) is logged as 't': the drain then starts
// over, which is slow and right.
#include "pg/capture_trigger.hpp"

#include "pg/postgres.hpp"

extern "C" {
#include "access/detoast.h"
#include "access/heapam.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/pg_lsn.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(backfill_capture);
PG_FUNCTION_INFO_V1(backfill_capture_truncate);
PG_FUNCTION_INFO_V1(backfill_capture_reverse);
PG_FUNCTION_INFO_V1(backfill_guard);
}

namespace backfill::pg {

namespace {

// The archive that this process may write to just now.
::Oid open_archive_oid = InvalidOid;

constexpr int max_keys = INDEX_MAX_KEYS;
constexpr int max_log_columns = 2 * max_keys + 3;

// What a firing needs to know of its log; made once a statement, lives as long as the executor's trigger state.  The
// log's lock is kept by the transaction, so it stays true.
struct Target {
  ::Oid log;  // InvalidOid: this trigger is not armed
  bool fits;  // the log can hold the keys of this table
  int keys;
  AttrNumber key[max_keys];
};

// A row of a log while it is filled.
struct LogRow {
  Datum values[max_log_columns];
  bool nulls[max_log_columns];
};

TriggerData *fired(FunctionCallInfo fcinfo, const char *function) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"backfill.%s\" was not called as a trigger", function)));
  return reinterpret_cast<TriggerData *>(fcinfo->context);
}

// The table that the first two arguments lead to, locked; or nullptr.
Relation open_log(const Trigger *trigger, const char *prefix) {
  if (trigger->tgnargs < 2) return nullptr;
  ::Oid const oid = static_cast<::Oid>(strtoul(trigger->tgargs[0], nullptr, 10));
  char expected[NAMEDATALEN];
  snprintf(expected, sizeof expected, "%s_%s", prefix, trigger->tgargs[1]);

  // One look into the cache: this is paid by every statement of every writer.
  HeapTuple const tuple = OidIsValid(oid) ? SearchSysCache1(RELOID, ObjectIdGetDatum(oid)) : nullptr;
  if (!HeapTupleIsValid(tuple)) return nullptr;
  Form_pg_class const relation = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  bool const named = relation->relkind == RELKIND_RELATION && strcmp(NameStr(relation->relname), expected) == 0;
  ::Oid const schema = relation->relnamespace;
  ReleaseSysCache(tuple);
  if (!named) return nullptr;
  char *const schema_name = get_namespace_name(schema);
  if (schema_name == nullptr || strcmp(schema_name, "backfill") != 0) return nullptr;
  return try_table_open(oid, RowExclusiveLock);
}

bool column_fits(TupleDesc table, AttrNumber number, TupleDesc log, int position) {
  if (number < 1 || number > table->natts || position >= log->natts) return false;
  Form_pg_attribute const from = TupleDescAttr(table, number - 1);
  return !from->attisdropped && getBaseType(from->atttypid) == TupleDescAttr(log, position)->atttypid;
}

// The columns of a log that hold keys: k1 ... alone, or followed by o1 ...
Target *find_target(FunctionCallInfo fcinfo, const TriggerData *data, const char *prefix, int keys_per_row,
                    int other_columns) {
  const Trigger *const trigger = data->tg_trigger;
  Target *const target = static_cast<Target *>(MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Target)));
  Relation const log = open_log(trigger, prefix);
  if (log != nullptr) {
    TupleDesc const from = RelationGetDescr(data->tg_relation), to = RelationGetDescr(log);
    target->log = RelationGetRelid(log);
    target->keys = trigger->tgnargs - 2;
    target->fits =
        target->keys >= 1 && target->keys <= max_keys && to->natts == target->keys * keys_per_row + other_columns;
    for (int i = 0; target->fits && i < target->keys; i++) {
      target->key[i] = static_cast<AttrNumber>(atoi(trigger->tgargs[i + 2]));
      target->fits = column_fits(from, target->key[i], to, i);
    }
    table_close(log, NoLock);
  }
  fcinfo->flinfo->fn_extra = target;
  return target;
}

void clear(LogRow *row) { memset(row->nulls, true, sizeof row->nulls); }

void set(LogRow *row, int position, Datum value) {
  row->values[position] = value;
  row->nulls[position] = false;
}

// Puts the row into the log's heap, not to be decoded: a log concerns nobody downstream.
void insert(Relation log, LogRow *row) {
  HeapTuple const tuple = heap_form_tuple(RelationGetDescr(log), row->values, row->nulls);
  heap_insert(log, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, nullptr);
  heap_freetuple(tuple);
}

// 't': whatever is in the shadow (or the archive) may be wrong.
void insert_marker(Relation log) {
  LogRow row;
  clear(&row);
  TupleDesc const desc = RelationGetDescr(log);
  for (int i = 0; i < desc->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(desc, i);
    if (column->atttypid == CHAROID && strcmp(NameStr(column->attname), "op") == 0) set(&row, i, CharGetDatum('t'));
    if (column->atttypid == PG_LSNOID && strcmp(NameStr(column->attname), "lsn") == 0)
      set(&row, i, LSNGetDatum(GetXLogInsertRecPtr()));
  }
  insert(log, &row);
}

// The key of a row of the table, from `position` on.  False: a column of it is null.
bool set_key(LogRow *row, int position, const Target *target, HeapTuple tuple, TupleDesc desc) {
  for (int i = 0; i < target->keys; i++) {
    bool null;
    Datum value = heap_getattr(tuple, target->key[i], desc, &null);
    if (null) return false;
    if (TupleDescAttr(desc, target->key[i] - 1)->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
      value = PointerGetDatum(detoast_external_attr(reinterpret_cast<struct varlena *>(DatumGetPointer(value))));
    set(row, position + i, value);
  }
  return true;
}

// Byte for byte.  A value left where it was in the TOAST table is told by its pointer alone.
bool same_image(Datum a, bool a_null, Datum b, bool b_null, Form_pg_attribute column) {
  if (a_null || b_null) return a_null && b_null;
  if (column->attlen == -1) {
    struct varlena *const x = reinterpret_cast<struct varlena *>(DatumGetPointer(a));
    struct varlena *const y = reinterpret_cast<struct varlena *>(DatumGetPointer(b));
    if (VARATT_IS_EXTERNAL_ONDISK(x) && VARATT_IS_EXTERNAL_ONDISK(y) && memcmp(x, y, VARSIZE_EXTERNAL(x)) == 0)
      return true;
  }
  return datum_image_eq(a, b, column->attbyval, column->attlen);
}

bool same_column(HeapTuple before, HeapTuple after, TupleDesc desc, AttrNumber number) {
  bool before_null, after_null;
  Datum const x = heap_getattr(before, number, desc, &before_null), y = heap_getattr(after, number, desc, &after_null);
  return same_image(x, before_null, y, after_null, TupleDescAttr(desc, number - 1));
}

bool same_key(const Target *target, HeapTuple before, HeapTuple after, TupleDesc desc) {
  for (int i = 0; i < target->keys; i++)
    if (!same_column(before, after, desc, target->key[i])) return false;
  return true;
}

void log_key(Relation log, const Target *target, HeapTuple tuple, TupleDesc desc, char op) {
  LogRow row;
  clear(&row);
  if (!target->fits || !set_key(&row, 0, target, tuple, desc)) {
    insert_marker(log);
    return;
  }
  set(&row, target->keys, CharGetDatum(op));
  insert(log, &row);
}

// int2[] of the columns that differ.
Datum changed_columns(HeapTuple before, HeapTuple after, TupleDesc desc) {
  Datum *const changed = static_cast<Datum *>(palloc(sizeof(Datum) * (desc->natts + 1)));
  int count = 0;
  for (int i = 1; i <= desc->natts; i++) {
    if (TupleDescAttr(desc, i - 1)->attisdropped) continue;
    if (!same_column(before, after, desc, static_cast<AttrNumber>(i)))
      changed[count++] = Int16GetDatum(static_cast<int16>(i));
  }
  return PointerGetDatum(construct_array(changed, count, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

// One row of the reverse log: what happened, to which key, to which columns, and after what.
//
// The LSN is the position at which this process would write next.  Of two changes of one row the later one waits for
// the commit record of the earlier (or, in one transaction, comes after the log row of the earlier), so its LSN is
// greater: the LSN orders the changes of each row, and of each key.
void log_reverse(Relation log, const Target *target, const TriggerData *data) {
  TupleDesc const desc = RelationGetDescr(data->tg_relation);
  bool const update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
  HeapTuple const before = data->tg_trigtuple, after = update ? data->tg_newtuple : data->tg_trigtuple;
  LogRow row;
  clear(&row);

  bool fits = target->fits && set_key(&row, 0, target, after, desc);
  char op = TRIGGER_FIRED_BY_INSERT(data->tg_event) ? 'i' : update ? 'u' : 'd';
  if (fits && update) {
    if (!same_key(target, before, after, desc)) {
      op = 'm';
      fits = set_key(&row, target->keys, target, before, desc);
    }
    set(&row, 2 * target->keys + 1, changed_columns(before, after, desc));
  }
  if (!fits) {
    insert_marker(log);
    return;
  }
  set(&row, 2 * target->keys, CharGetDatum(op));
  set(&row, 2 * target->keys + 2, LSNGetDatum(GetXLogInsertRecPtr()));
  insert(log, &row);
}

}  // namespace

namespace detail {

Oid open_archive(Oid archive) noexcept {
  Oid const before = open_archive_oid;
  open_archive_oid = archive;
  return before;
}

}  // namespace detail

}  // namespace backfill::pg

using namespace backfill::pg;

Datum backfill_capture(PG_FUNCTION_ARGS) {
  TriggerData *const data = fired(fcinfo, "capture");
  Target *target = static_cast<Target *>(fcinfo->flinfo->fn_extra);
  if (target == nullptr) target = find_target(fcinfo, data, "log", 1, 2);
  if (!OidIsValid(target->log) || !TRIGGER_FIRED_FOR_ROW(data->tg_event)) return PointerGetDatum(nullptr);

  Relation const log = table_open(target->log, NoLock);
  TupleDesc const desc = RelationGetDescr(data->tg_relation);
  if (TRIGGER_FIRED_BY_UPDATE(data->tg_event)) {
    if (target->fits && !same_key(target, data->tg_trigtuple, data->tg_newtuple, desc))
      log_key(log, target, data->tg_trigtuple, desc, 'u');
    log_key(log, target, data->tg_newtuple, desc, 'u');
  } else {
    log_key(log, target, data->tg_trigtuple, desc, TRIGGER_FIRED_BY_INSERT(data->tg_event) ? 'i' : 'd');
  }
  table_close(log, NoLock);
  return PointerGetDatum(nullptr);
}

Datum backfill_capture_reverse(PG_FUNCTION_ARGS) {
  TriggerData *const data = fired(fcinfo, "capture_reverse");
  Target *target = static_cast<Target *>(fcinfo->flinfo->fn_extra);
  if (target == nullptr) target = find_target(fcinfo, data, "reverse", 2, 3);
  if (!OidIsValid(target->log) || !TRIGGER_FIRED_FOR_ROW(data->tg_event)) return PointerGetDatum(nullptr);

  Relation const log = table_open(target->log, NoLock);
  log_reverse(log, target, data);
  table_close(log, NoLock);
  return PointerGetDatum(nullptr);
}

Datum backfill_capture_truncate(PG_FUNCTION_ARGS) {
  TriggerData *const data = fired(fcinfo, "capture_truncate");
  for (const char *prefix : {"log", "reverse"}) {
    Relation const log = open_log(data->tg_trigger, prefix);
    if (log == nullptr) continue;
    insert_marker(log);
    table_close(log, NoLock);
  }
  return PointerGetDatum(nullptr);
}

Datum backfill_guard(PG_FUNCTION_ARGS) {
  TriggerData *const data = fired(fcinfo, "guard");
  HeapTuple const row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
  if (RelationGetRelid(data->tg_relation) == open_archive_oid) return PointerGetDatum(row);
  Relation const log = open_log(data->tg_trigger, "reverse");
  if (log == nullptr || data->tg_trigger->tgnargs < 3) return PointerGetDatum(row);

  const char *const job = quote_literal_cstr(data->tg_trigger->tgargs[2]);
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("table \"%s\" is the archive of backfill \"%s\"", RelationGetRelationName(data->tg_relation),
                         data->tg_trigger->tgargs[2]),
                  errdetail("It is kept as it was before the backfill, so that the backfill can be rolled back."),
                  errhint("Make it the live table again with SELECT backfill_rollback(%s), or drop it with SELECT "
                          "backfill_finish(%s).",
                          job, job)));
  return PointerGetDatum(row);
}
