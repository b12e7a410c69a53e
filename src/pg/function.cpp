#include "pg/function.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "utils/array.h"
#include "utils/tuplestore.h"
}

namespace backfill::pg {

namespace {

const char *output(FunctionCallInfo fcinfo, int argument) {
  ::Oid const type = get_fn_expr_argtype(fcinfo->flinfo, argument);
  ::Oid function;
  bool varlena;
  getTypeOutputInfo(type, &function, &varlena);
  return OidOutputFunctionCall(function, PG_GETARG_DATUM(argument));
}

struct Elements {
  char **values;
  int count;
};

Elements array_elements(FunctionCallInfo fcinfo, int argument) {
  ::Datum *values;
  bool *nulls;
  int count;
  deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
  char **const texts = static_cast<char **>(palloc(sizeof(char *) * (count + 1)));
  for (int i = 0; i < count; i++) {
    if (nulls[i])
      ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an array element must not be null"),
                      errhint("Leave the null out.")));
    texts[i] = TextDatumGetCString(values[i]);
  }
  return {texts, count};
}

// A materialized result set for the caller, in the query's memory context.
struct Sink {
  ReturnSetInfo *set;
  Tuplestorestate *store;
  TupleDesc desc;
};

Sink open_sink(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  ReturnSetInfo *const set = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  return {set, set->setResult, set->setDesc};
}

void put_row(const Sink &sink, char **row) {
  AttInMetadata *const meta = TupleDescGetAttInMetadata(sink.desc);
  HeapTuple const tuple = BuildTupleFromCStrings(meta, row);
  tuplestore_puttuple(sink.store, tuple);
  heap_freetuple(tuple);
}

}  // namespace

int Call::count() const { return info_->nargs; }
bool Call::null(int argument) const { return argument >= info_->nargs || info_->args[argument].isnull; }

std::string Call::text_argument(int argument) const {
  if (null(argument))
    throw Error("22004", "argument " + std::to_string(argument + 1) + " must not be null", {},
                "Give a value; the reference lists the arguments in order.");
  return *optional_text(argument);
}

std::optional<std::string> Call::optional_text(int argument) const {
  if (null(argument)) return std::nullopt;
  FunctionCallInfo const info = info_;
  return call([&] { return output(info, argument); });
}

std::optional<std::int64_t> Call::optional_integer(int argument) const {
  if (null(argument)) return std::nullopt;
  return std::stoll(*optional_text(argument));
}

bool Call::boolean_argument(int argument, bool otherwise) const {
  return null(argument) ? otherwise : DatumGetBool(info_->args[argument].value);
}

std::vector<std::string> Call::text_array(int argument) const {
  if (null(argument)) return {};
  FunctionCallInfo const fcinfo = info_;
  Elements const found = call([&] { return array_elements(fcinfo, argument); });
  return {found.values, found.values + found.count};
}

Datum Call::nothing() { return 0; }

Datum Call::null_result() {
  FunctionCallInfo const fcinfo = info_;
  PG_RETURN_NULL();
}

Datum Call::text(const std::string &value) {
  const char *const data = value.data();
  int const size = static_cast<int>(value.size());
  return call([&] { return PointerGetDatum(cstring_to_text_with_len(data, size)); });
}

Datum Call::integer(std::int64_t value) { return Int64GetDatum(value); }
Datum Call::boolean(bool value) { return BoolGetDatum(value); }

Datum Call::rows(const std::vector<std::string> &lines) {
  std::vector<std::vector<std::optional<std::string>>> rows;
  rows.reserve(lines.size());
  for (const std::string &line : lines) rows.push_back({line});
  return table(rows);
}

Datum Call::table(const std::vector<std::vector<std::optional<std::string>>> &rows) {
  FunctionCallInfo const fcinfo = info_;
  Sink const sink = call([&] { return open_sink(fcinfo); });
  std::vector<char *> raw;
  for (const auto &row : rows) {
    raw.clear();
    for (const auto &value : row) raw.push_back(value ? const_cast<char *>(value->c_str()) : nullptr);
    char **const first = raw.data();
    call([&] { put_row(sink, first); });
  }
  return nothing();
}

Datum run_function(FunctionCallInfoBaseData *info, Datum (*body)(Call &)) {
  return entry([&]() -> Datum {
    Call call(info);
    return body(call);
  });
}

const void *function_info() {
  static const Pg_finfo_record record = {1};
  return &record;
}

}  // namespace backfill::pg
