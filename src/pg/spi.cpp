// Each statement is one SPI connection.  Parameters go in by their types' input functions, rows come out as text into a
// memory context of the result's own, and are copied into C++ strings outside of the guard.
#include "pg/spi.hpp"

#include <unordered_map>

#include "pg/guard.hpp"
#include "pg/snapshot.hpp"

namespace backfill::pg {

namespace {

// Plain images of what crosses pg::call.
struct RawParam {
  ::Oid type;
  const char *text;  // nullptr: null
};

struct RawResult {
  int columns;
  char **names;
  std::uint64_t rows;
  char ***values;  // rows x columns, nullptr for null
  std::uint64_t processed;
};

void fail_unless_ok(int code, const char *what) {
  if (code < 0) elog(ERROR, "%s failed: %s", what, SPI_result_code_string(code));
}

Datum input(const RawParam &param) {
  ::Oid function, element;
  getTypeInputInfo(param.type, &function, &element);
  return OidInputFunctionCall(function, const_cast<char *>(param.text), element, -1);
}

// Copies SPI_tuptable as text into the caller's memory context.
void copy_rows(RawResult *out, MemoryContext home) {
  SPITupleTable *const table = SPI_tuptable;
  if (table == nullptr) return;
  TupleDesc const desc = table->tupdesc;
  MemoryContext const procedure = MemoryContextSwitchTo(home);
  out->columns = desc->natts;
  out->names = static_cast<char **>(palloc(sizeof(char *) * (desc->natts + 1)));
  for (int i = 0; i < desc->natts; i++) out->names[i] = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));
  out->rows = table->numvals;
  out->values = static_cast<char ***>(palloc_extended(sizeof(char **) * (table->numvals + 1), MCXT_ALLOC_HUGE));
  for (std::uint64_t row = 0; row < table->numvals; row++) {
    out->values[row] = static_cast<char **>(palloc(sizeof(char *) * (desc->natts + 1)));
    for (int i = 0; i < desc->natts; i++) {
      char *const value = SPI_getvalue(table->vals[row], desc, i + 1);
      out->values[row][i] = value;
    }
  }
  MemoryContextSwitchTo(procedure);
}

// `kept`: where the plan is, or will be, kept; nullptr for one that is forgotten.
RawResult run(const char *sql, const RawParam *params, int count, SPIPlanPtr *kept) {
  MemoryContext const home = CurrentMemoryContext;
  RawResult out = {};
  fail_unless_ok(SPI_connect(), "SPI_connect");

  ::Oid *const types = static_cast<::Oid *>(palloc(sizeof(::Oid) * (count + 1)));
  Datum *const values = static_cast<Datum *>(palloc0(sizeof(Datum) * (count + 1)));
  char *const nulls = static_cast<char *>(palloc(count + 1));
  for (int i = 0; i < count; i++) {
    types[i] = params[i].type;
    nulls[i] = params[i].text == nullptr ? 'n' : ' ';
    if (params[i].text != nullptr) values[i] = input(params[i]);
  }

  if (count == 0 && !current_snapshot() && kept == nullptr) {
    // Several statements, each to be parsed after the one before has run.
    fail_unless_ok(SPI_execute(sql, false, 0), "SPI_execute");
  } else {
    SPIPlanPtr plan = kept == nullptr ? nullptr : *kept;
    if (plan == nullptr) plan = SPI_prepare_cursor(sql, count, types, CURSOR_OPT_PARALLEL_OK);
    if (plan == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    if (kept != nullptr && *kept == nullptr) {
      fail_unless_ok(SPI_keepplan(plan), "SPI_keepplan");
      *kept = plan;
    }
    fail_unless_ok(SPI_execute_snapshot(plan, values, nulls, static_cast<Snapshot>(current_snapshot()), InvalidSnapshot,
                                        false, true, 0),
                   "SPI_execute_snapshot");
  }
  out.processed = SPI_processed;
  copy_rows(&out, home);
  SPI_finish();
  return out;
}

// The server plans a kept statement anew where what it depends on has changed.
SPIPlanPtr &place_of_plan(const std::string &sql, const std::vector<RawParam> &params) {
  static std::unordered_map<std::string, SPIPlanPtr> plans;
  std::string key = sql;
  for (const RawParam &param : params) key += "," + std::to_string(param.type);
  return plans[key];
}

void report(int level, const std::string &message, const std::string &detail, const std::string &hint) {
  const char *const m = message.c_str(), *const d = detail.c_str(), *const h = hint.c_str();
  call([&] {
    ereport(level, (errmsg_internal("%s", m), d[0] != '\0' ? errdetail_internal("%s", d) : 0,
                    h[0] != '\0' ? errhint("%s", h) : 0));
  });
}

std::string array_literal(const std::vector<std::optional<std::string>> &values) {
  std::string literal = "{";
  for (const auto &value : values) {
    if (literal.size() > 1) literal += ',';
    if (!value) {
      literal += "NULL";
      continue;
    }
    literal += '"';
    for (char c : *value) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + "}";
}

}  // namespace

Param::Param(double value) : type_(FLOAT8OID) {
  char buffer[64];
  snprintf(buffer, sizeof buffer, "%.17g", value);
  text_ = buffer;
}

Param::Param(const std::vector<std::string> &values)
    : Param(std::vector<std::optional<std::string>>(values.begin(), values.end())) {}

Param::Param(const std::vector<std::optional<std::string>> &values)
    : type_(TEXTARRAYOID), text_(array_literal(values)) {}

Param Param::oid(Oid value) { return Param(OIDOID, std::to_string(value)); }

Param Param::of_type(Oid type, std::optional<std::string> text) { return Param(type, std::move(text)); }

Sql kept(std::string text) {
  Sql sql(std::move(text));
  sql.kept_ = true;
  return sql;
}

Result execute(const Sql &sql, const std::vector<Param> &params) {
  std::vector<RawParam> raw;
  raw.reserve(params.size());
  for (const Param &param : params) raw.push_back({param.type(), param.text() ? param.text()->c_str() : nullptr});

  // The text of the rows lives in a context of its own until it is copied into C++ strings.
  MemoryContext const home =
      call([] { return AllocSetContextCreate(CurrentMemoryContext, "backfill result", ALLOCSET_DEFAULT_SIZES); });
  const char *const text = sql.text().c_str();
  const RawParam *const first = raw.data();
  int const count = static_cast<int>(raw.size());
  SPIPlanPtr *const plan = sql.is_kept() ? &place_of_plan(sql.text(), raw) : nullptr;
  RawResult const out = call([&] {
    MemoryContext const caller = MemoryContextSwitchTo(home);
    RawResult const result = run(text, first, count, plan);
    MemoryContextSwitchTo(caller);
    return result;
  });

  Result result;
  result.processed = out.processed;
  result.columns.assign(out.names, out.names + out.columns);
  result.values.resize(out.rows);
  for (std::uint64_t row = 0; row < out.rows; row++) {
    result.values[row].resize(out.columns);
    for (int i = 0; i < out.columns; i++)
      if (out.values[row][i] != nullptr) result.values[row][i] = out.values[row][i];
  }
  call([&] { MemoryContextDelete(home); });
  return result;
}

void execute_quietly(const std::string &sql) {
  int const level = call([] {
    int const outer = NewGUCNestLevel();
    (void)set_config_option("client_min_messages", "warning", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
    return outer;
  });
  execute(sql);
  call([&] { AtEOXact_GUC(false, level); });
}

std::optional<std::string> query_value(const Sql &sql, const std::vector<Param> &params) {
  Result const result = execute(sql, params);
  if (result.size() != 1 || result.columns.size() != 1)
    throw Error(sqlstate::internal_error,
                "a statement of backfill returned " + std::to_string(result.size()) + " rows where one was expected",
                "The statement is: " + sql.text());
  return result.values[0][0];
}

bool query_boolean(const Sql &sql, const std::vector<Param> &params) {
  return query_value(sql, params).value_or("f") == "t";
}

std::int64_t query_integer(const Sql &sql, const std::vector<Param> &params) {
  return std::stoll(query_value(sql, params).value_or("0"));
}

Row Result::only() const {
  if (size() != 1)
    throw Error(sqlstate::internal_error,
                "a statement of backfill returned " + std::to_string(size()) + " rows where one was expected");
  return Row(*this, 0);
}

const std::optional<std::string> &Row::get(const char *column) const {
  for (std::size_t i = 0; i < result_->columns.size(); i++)
    if (result_->columns[i] == column) return result_->values[index_][i];
  throw Error(sqlstate::internal_error, std::string("a result of backfill has no column \"") + column + "\"");
}

std::string Row::text(const char *column) const { return get(column).value_or(""); }
std::int64_t Row::integer(const char *column) const { return null(column) ? 0 : std::stoll(*get(column)); }
double Row::number(const char *column) const { return null(column) ? 0 : std::stod(*get(column)); }
bool Row::boolean(const char *column) const { return get(column) == "t"; }
Oid Row::oid(const char *column) const { return null(column) ? 0 : static_cast<Oid>(std::stoul(*get(column))); }

std::optional<std::int64_t> Row::optional_integer(const char *column) const {
  if (null(column)) return std::nullopt;
  return std::stoll(*get(column));
}

std::vector<std::string> Row::texts(const char *column) const {
  if (null(column)) return {};
  return parse_text_array(*get(column));
}

std::vector<std::string> parse_text_array(const std::string &literal) {
  std::vector<std::string> values;
  std::size_t i = 1;
  while (i < literal.size() && literal[i] != '}') {
    std::string value;
    if (literal[i] == '"') {
      for (i++; literal[i] != '"'; i++) {
        if (literal[i] == '\\') i++;
        value += literal[i];
      }
      i++;
    } else {
      while (literal[i] != ',' && literal[i] != '}') value += literal[i++];
    }
    values.push_back(std::move(value));
    if (literal[i] == ',') i++;
  }
  return values;
}

void notice(const std::string &message, const std::string &detail, const std::string &hint) {
  report(NOTICE, message, detail, hint);
}
void warning(const std::string &message, const std::string &detail, const std::string &hint) {
  report(WARNING, message, detail, hint);
}
void log_message(const std::string &message) { report(LOG, message, {}, {}); }

}  // namespace backfill::pg
