// backfill.arrive(): the owner of a job that is inserted by the restore of a dump.  OIDs of roles mean nothing in another
// cluster: who may see and end the job there is decided by the owner of its table, or the name of the role.
//
// It is C because a trigger cannot be SQL, and plpgsql may not be there.
#include "pg/postgres.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(backfill_arrive);
Datum backfill_arrive(PG_FUNCTION_ARGS);
}

namespace {

constexpr char owner_sql[] =
    "SELECT coalesce(r.oid, 0::oid), coalesce(r.rolname, $4::name) FROM (SELECT) AS one LEFT JOIN pg_roles AS r ON "
    "r.oid ="
    " coalesce((SELECT c.relowner FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    "            WHERE n.nspname = $2::name AND c.relname = $3::name AND c.relkind = 'r'),"
    "          (SELECT o.oid FROM pg_roles AS o WHERE o.rolname = $4::name))"
    " WHERE NOT backfill.is_home($1)";

}  // namespace

Datum backfill_arrive(PG_FUNCTION_ARGS) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"backfill.arrive\" was not called as a trigger")));
  const TriggerData *const data = reinterpret_cast<TriggerData *>(fcinfo->context);
  HeapTuple const row = data->tg_trigtuple;
  TupleDesc const desc = RelationGetDescr(data->tg_relation);

  SPI_connect();
  Oid types[4];
  Datum values[4];
  char nulls[4];
  const char *const columns[4] = {"home", "target_schema", "target_name", "owner_name"};
  for (int i = 0; i < 4; i++) {
    char *const text = SPI_getvalue(row, desc, SPI_fnumber(desc, columns[i]));
    types[i] = TEXTOID;
    nulls[i] = text == nullptr ? 'n' : ' ';
    values[i] = text == nullptr ? 0 : CStringGetTextDatum(text);
  }
  HeapTuple result = row;
  if (SPI_execute_with_args(owner_sql, 4, types, values, nulls, true, 1) == SPI_OK_SELECT && SPI_processed == 1) {
    int attributes[2] = {SPI_fnumber(desc, "owner"), SPI_fnumber(desc, "owner_name")};
    Datum owner[2];
    bool null;
    owner[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
    owner[1] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null);
    result = SPI_modifytuple(data->tg_relation, row, 2, attributes, owner, "  ");
  }
  SPI_finish();
  return PointerGetDatum(result);
}
