// Every statement here is put together from the same few pieces:
//
//   set     SELECT values FROM live AS its-name <join> WHERE conditions        values: one a column, see set_value()
//   query   SELECT columns FROM (the user's query) AS "query" WHERE conditions
//   verbatim   SELECT columns FROM live WHERE conditions
//
// and differs in its conditions only: a range of the chunk column, a range of blocks, a list of keys, or none.
//
// Placeholders (:chunk_start …) are literals where a statement is about one chunk.  A statement about keys or about the
// whole table meets many chunks: there the chunks are a VALUES list, the piece above stands in LATERAL behind it, and
// the placeholders are columns of that list.  So a row gets the values of the chunk it belongs to, whoever derives it.
#include "copy/transform.hpp"

#include <algorithm>
#include <map>

#include "catalog/placement.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/type_name.hpp"

namespace backfill {
namespace {

constexpr char chunk_alias[] = "backfill chunk";
constexpr char key_alias[] = "backfill key";
constexpr char query_alias[] = "query";

enum class Form { insert, image };
using Values = std::map<std::string, std::string>;  // placeholder -> SQL
using Conditions = std::vector<std::string>;

// ---- small pieces ----

std::string where(const Conditions &conditions) {
  return conditions.empty() ? "" : "\nWHERE " + joined(conditions, "\n  AND ");
}

// Both may be empty: a job without scope.
std::string literal(const std::string &value, const std::string &type) {
  return "CAST(" + quote_literal(value) + " AS " + type + ")";
}

std::string column_of(const std::string &alias, const std::string &name) {
  return quote_ident(alias) + "." + quote_ident(name);
}

std::string live_item(const TableShape &shape) {
  return "ONLY " + qualified(shape.schema, shape.table) + " AS " + quote_ident(shape.table);
}

// `expression` is SQL that yields a value; lo and hi are SQL as well.
std::string between(const std::string &expression, const std::string &lo, const std::string &hi) {
  return expression + " >= " + lo + " AND " + expression + " < " + hi;
}

std::string between_values(const TableShape &shape, const std::string &alias, const std::string &lo,
                           const std::string &hi) {
  return between(column_of(alias, shape.chunk_column), literal(lo, shape.chunk_type), literal(hi, shape.chunk_type));
}

std::string in_blocks(const TableShape &shape, long long lo, std::optional<long long> hi) {
  const std::string ctid = quote_ident(shape.table) + ".ctid";
  const std::string from = ctid + " >= '(" + std::to_string(lo) + ",0)'::tid";
  return hi ? from + " AND " + ctid + " < '(" + std::to_string(*hi) + ",0)'::tid" : from;
}

std::string among_keys(const TableShape &shape, const std::string &alias, const std::string &keys) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= shape.key.size(); i++) names.push_back("k" + std::to_string(i));
  return "EXISTS (SELECT FROM (SELECT " + joined(names, ", ") + " FROM " + keys + ") AS " + quote_ident(key_alias) +
         " WHERE " + key_matches(shape, alias, key_alias) + ")";
}

bool unscoped(const Job &job) { return !job.start; }

// ---- placeholders ----

Values placeholders(const Job &job, const std::string &chunk, const std::string &start, const std::string &stop) {
  return {{"backfill", literal(job.name, "text")},
          {"run_id", literal(std::to_string(job.id), "integer")},
          {"chunk", chunk},
          {"chunk_start", start},
          {"chunk_stop", stop}};
}

Values placeholders_of_chunk(const Job &job, const TableShape &shape, const Step &chunk) {
  return placeholders(job, literal(std::to_string(chunk.chunk.value_or(0)), "integer"),
                      literal(*chunk.lo, shape.chunk_type), literal(*chunk.hi, shape.chunk_type));
}

Values placeholders_of_list(const Job &job) {
  return placeholders(job, column_of(chunk_alias, "number"), column_of(chunk_alias, "lo"),
                      column_of(chunk_alias, "hi"));
}

bool mentions_chunk(const std::string &sql) {
  return uses_placeholder(sql, "chunk") || uses_placeholder(sql, "chunk_start") || uses_placeholder(sql, "chunk_stop");
}

bool depends_on_chunk(const Transform &transform) {
  return mentions_chunk(transform.query) || mentions_chunk(transform.join) || mentions_chunk(transform.dedupe) ||
         std::any_of(transform.set.begin(), transform.set.end(),
                     [](const auto &set) { return mentions_chunk(set.second); });
}

// A query that names the chunk's boundaries says itself which rows belong to the chunk.
bool restricts_itself(const Transform &transform) { return uses_placeholder(transform.query, "chunk_start"); }

// ---- values ----

// `expression` in the form wanted; a newline ends what a comment in the user's text may have begun.
std::string typed_value(const TableShape::Column &column, const std::string &expression, Form form) {
  const std::string end = expression.find("--") == std::string::npos ? "" : "\n";
  const std::string value = "CAST((" + expression + end + ") AS " + column.base_type + ")";
  if (form == Form::insert) return value;
  const std::string stored = column.type == column.base_type ? value : "CAST(" + value + " AS " + column.type + ")";
  return column.collation.empty() ? stored : stored + " COLLATE " + column.collation;
}

const std::string *set_expression(const Job &job, const std::string &column) {
  for (const auto &[name, expression] : job.spec.transform.set)
    if (name == column) return &expression;
  return nullptr;
}

std::string verbatim_value(const TableShape &shape, const TableShape::Column &column, Form form) {
  return column.added ? typed_value(column, "NULL", form) : column_of(shape.table, column.name);
}

// A value already filled stays what it is: both arms of COALESCE have the column's type, so nothing is converted.
std::string set_value(const Job &job, const TableShape &shape, const TableShape::Column &column, const Values &values,
                      Form form) {
  const std::string *const expression = set_expression(job, column.name);
  if (expression == nullptr) return verbatim_value(shape, column, form);
  const std::string value = substitute_placeholders(*expression, values);
  if (!job.spec.transform.preserve_existing || column.added) return typed_value(column, value, form);
  return typed_value(
      column, "COALESCE(" + column_of(shape.table, column.name) + ", " + typed_value(column, value, Form::insert) + ")",
      form);
}

// value(column) for each insertable column, as a select list.
template <typename Value>
std::string select_list(const TableShape &shape, Value value) {
  std::vector<std::string> items;
  for (const TableShape::Column &column : shape.columns)
    if (!column.generated) items.push_back(value(column) + " AS " + quote_ident(column.name));
  return joined(items, ",\n       ");
}

std::string key_list(const TableShape &shape, const std::string &alias) {
  std::vector<std::string> names;
  for (const TableShape::Column &column : shape.key) names.push_back(column_of(alias, column.name));
  return joined(names, ", ");
}

// ---- statements ----

std::string verbatim_select(const TableShape &shape, const Conditions &conditions, Form form) {
  return "SELECT " + select_list(shape, [&](const auto &column) { return verbatim_value(shape, column, form); }) +
         "\nFROM " + live_item(shape) + where(conditions);
}

std::string distinct_on(const TableShape &shape, const Transform &transform, const std::string &alias) {
  return transform.dedupe.empty() ? "" : "DISTINCT ON (" + key_list(shape, alias) + ") ";
}

std::string order_for_distinct(const TableShape &shape, const Transform &transform, const std::string &alias,
                               const Values &values) {
  if (transform.dedupe.empty()) return "";
  return "\nORDER BY " + key_list(shape, alias) + ", " + substitute_placeholders(transform.dedupe, values) + "\n";
}

std::string set_select(const Job &job, const TableShape &shape, const Values &values, const Conditions &conditions,
                       Form form) {
  const Transform &transform = job.spec.transform;
  return "SELECT " + distinct_on(shape, transform, shape.table) +
         select_list(shape, [&](const auto &column) { return set_value(job, shape, column, values, form); }) +
         "\nFROM " + live_item(shape) +
         (transform.join.empty() ? "" : "\n" + substitute_placeholders(transform.join, values)) + where(conditions) +
         order_for_distinct(shape, transform, shape.table, values);
}

// Rows of a table without join in one pass: transformed where in scope, verbatim elsewhere.
std::string one_pass_select(const Job &job, const TableShape &shape, const Values &values, const Conditions &conditions,
                            Form form) {
  const std::string scope = in_scope_sql(job, shape);
  const auto value = [&](const TableShape::Column &column) {
    if (set_expression(job, column.name) == nullptr) return verbatim_value(shape, column, form);
    return typed_value(column,
                       "CASE WHEN " + scope + " THEN " + set_value(job, shape, column, values, Form::insert) +
                           " ELSE " + verbatim_value(shape, column, Form::insert) + " END",
                       form);
  };
  return "SELECT " + select_list(shape, value) + "\nFROM " + live_item(shape) + where(conditions);
}

// The user's query as a FROM item called "query", reduced to one row a key where the transform says so.
std::string query_item(const Job &job, const TableShape &shape, const Values &values, const Conditions &conditions) {
  const Transform &transform = job.spec.transform;
  const std::string item =
      "(" + substitute_placeholders(transform.query, values) + "\n) AS " + quote_ident(query_alias);
  if (transform.dedupe.empty() && conditions.empty()) return item;
  return "(SELECT " + distinct_on(shape, transform, query_alias) + quote_ident(query_alias) + ".* FROM " + item +
         where(conditions) + order_for_distinct(shape, transform, query_alias, values) + ") AS " +
         quote_ident(query_alias);
}

// `inner` conditions hold before rows are reduced to one a key, `outer` ones of the result.
std::string query_select(const Job &job, const TableShape &shape, const Values &values, const Conditions &inner,
                         const Conditions &outer, Form form) {
  const auto value = [&](const TableShape::Column &column) {
    return typed_value(column, column_of(query_alias, column.name), form);
  };
  return "SELECT " + select_list(shape, value) + "\nFROM " + query_item(job, shape, values, inner) + where(outer);
}

// The chunks as a list, and `row` (a SELECT whose placeholders are the list's columns) for each of them.
std::string for_each_chunk(const TableShape &shape, const std::vector<Step> &chunks, const std::string &row) {
  std::vector<std::string> rows;
  for (const Step &chunk : chunks)
    rows.push_back("(" + std::to_string(chunk.chunk.value_or(0)) + ", " + literal(*chunk.lo, shape.chunk_type) + ", " +
                   literal(*chunk.hi, shape.chunk_type) + ")");
  return "SELECT \"row\".*\nFROM (VALUES " + joined(rows, ", ") + ") AS " + quote_ident(chunk_alias) +
         " (number, lo, hi)\nCROSS JOIN LATERAL (" + row + ") AS \"row\"";
}

// All rows in scope that fulfil the conditions made by `condition(alias)` ("" for none), derived chunk by chunk where
// the chunk matters.  "" where there is nothing in scope.
template <typename Condition>
std::string in_scope_rows(const Job &job, const TableShape &shape, Condition condition, Form form) {
  const Transform &transform = job.spec.transform;
  const std::string alias = transform.is_query() ? query_alias : shape.table;
  Conditions conditions;
  if (const std::string text = condition(alias); !text.empty()) conditions.push_back(text);

  const bool by_chunk = depends_on_chunk(transform) || (transform.is_query() && !transform.dedupe.empty());
  if (!by_chunk) {
    const Values values = placeholders(job, "NULL", "NULL", "NULL");
    if (!unscoped(job)) conditions.push_back(in_scope_sql(job, shape, alias));
    return transform.is_query() ? query_select(job, shape, values, conditions, {}, form)
                                : set_select(job, shape, values, conditions, form);
  }
  const std::vector<Step> chunks = load_steps(job.id, "range");
  if (chunks.empty()) return "";
  const Values values = placeholders_of_list(job);
  if (!restricts_itself(transform))
    conditions.push_back(
        between(column_of(alias, shape.chunk_column), column_of(chunk_alias, "lo"), column_of(chunk_alias, "hi")));
  return for_each_chunk(shape, chunks,
                        transform.is_query() ? query_select(job, shape, values, conditions, {}, form)
                                             : set_select(job, shape, values, conditions, form));
}

std::string union_all(const TableShape &shape, const std::vector<std::string> &parts) {
  std::vector<std::string> filled;
  for (const std::string &part : parts)
    if (!part.empty()) filled.push_back(part);
  if (filled.empty()) return verbatim_select(shape, {"false"}, Form::image);
  if (filled.size() == 1) return filled[0];
  return "(" + joined(filled, ")\nUNION ALL\n(") + ")";
}

// Can one pass over the table yield both parts?
bool one_pass(const Job &job) {
  const Transform &transform = job.spec.transform;
  return !transform.is_query() && transform.join.empty() && transform.dedupe.empty() && !depends_on_chunk(transform);
}

template <typename Condition>
std::string all_rows(const Job &job, const TableShape &shape, Condition condition, Form form) {
  if (!placement_of(job).builds_whole) return union_all(shape, {in_scope_rows(job, shape, condition, form)});
  Conditions live_conditions;
  if (const std::string text = condition(shape.table); !text.empty()) live_conditions.push_back(text);
  if (one_pass(job))
    return one_pass_select(job, shape, placeholders(job, "NULL", "NULL", "NULL"), live_conditions, form);
  if (unscoped(job)) return union_all(shape, {in_scope_rows(job, shape, condition, form)});
  live_conditions.push_back(out_of_scope_sql(job, shape));
  return union_all(shape, {in_scope_rows(job, shape, condition, form), verbatim_select(shape, live_conditions, form)});
}

std::string range_rows(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                       const std::string &hi, Form form) {
  const Transform &transform = job.spec.transform;
  const Values values = placeholders_of_chunk(job, shape, chunk);
  if (!transform.is_query()) return set_select(job, shape, values, {between_values(shape, shape.table, lo, hi)}, form);
  Conditions inner, outer;
  if (!restricts_itself(transform)) inner.push_back(between_values(shape, query_alias, *chunk.lo, *chunk.hi));
  if (lo != *chunk.lo || hi != *chunk.hi) outer.push_back(between_values(shape, query_alias, lo, hi));
  return query_select(job, shape, values, inner, outer, form);
}

// ---- facts of the table ----

constexpr char columns_sql[] = R"(
  WITH RECURSIVE below AS (
    SELECT a.attnum, a.atttypid AS type, 0 AS depth FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, t.typbasetype, b.depth + 1 FROM below b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
  )
  SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
         (SELECT format_type(b.type, -1) FROM below b WHERE b.attnum = a.attnum ORDER BY b.depth DESC LIMIT 1) AS base_type,
         (SELECT format('%I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
          WHERE c.oid = a.attcollation) AS collation,
         a.attgenerated <> '' AS generated
  FROM pg_attribute a
  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum)";

std::vector<TableShape::Column> columns_of(Oid relation) {
  std::vector<TableShape::Column> columns;
  const pg::Result rows = pg::execute(pg::kept(columns_sql), {pg::Param::oid(relation)});
  for (const pg::Row row : rows) {
    TableShape::Column column;
    column.name = row.text("name");
    column.type = row.text("type");
    column.base_type = row.text("base_type");
    column.collation = row.text("collation");
    column.equals = "=";
    column.generated = row.boolean("generated");
    columns.push_back(std::move(column));
  }
  return columns;
}

// What an added column will be like, from its type alone.
TableShape::Column added_column(const std::string &name, const pg::TypeName &type) {
  const pg::Result facts = pg::execute(R"(
    WITH RECURSIVE below AS (
      SELECT t.oid, t.typtype, t.typbasetype, 0 AS depth FROM pg_type t WHERE t.oid = $1
      UNION ALL
      SELECT t.oid, t.typtype, t.typbasetype, b.depth + 1 FROM below b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
    )
    SELECT (SELECT format_type(oid, -1) FROM below ORDER BY depth DESC LIMIT 1) AS base_type,
           (SELECT format('%I.%I', n.nspname, c.collname) FROM pg_type t JOIN pg_collation c ON c.oid = t.typcollation
            JOIN pg_namespace n ON n.oid = c.collnamespace WHERE t.oid = $1) AS collation)",
                                       {pg::Param::oid(type.oid)});
  TableShape::Column column;
  column.name = name;
  column.type = pg::format_type(type);
  column.base_type = facts.only().text("base_type");
  column.collation = facts.only().text("collation");
  column.equals = "=";
  return column;
}

// The equality operator of the key's index, one a column: "unique" means what that index means by it.
void read_key_operators(Oid live, std::vector<TableShape::Column> &key) {
  std::vector<std::string> names;
  for (const TableShape::Column &column : key) names.push_back(column.name);
  const pg::Result rows = pg::execute(pg::kept(R"(
    SELECT DISTINCT ON (a.attname) a.attname AS name,
           CASE n.nspname WHEN 'pg_catalog' THEN o.oprname ELSE format('OPERATOR(%I.%s)', n.nspname, o.oprname) END AS equals
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS part (attnum, opclass, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.attnum
    JOIN pg_opclass c ON c.oid = part.opclass
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
    JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND part.position <= i.indnkeyatts AND i.indnkeyatts = cardinality($2::text[])
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
                      JOIN pg_attribute ka ON ka.attrelid = i.indrelid AND ka.attnum = k.attnum
                      WHERE k.position <= i.indnkeyatts AND ka.attname <> ALL ($2::text[]))
    ORDER BY a.attname, i.indisprimary DESC, i.indexrelid)"),
                                      {pg::Param::oid(live), names});
  for (const pg::Row row : rows)
    for (TableShape::Column &column : key)
      if (column.name == row.text("name")) column.equals = row.text("equals");
}

void mark_added_columns(const Job &job, const std::vector<pg::TypeName> &types, TableShape &shape) {
  const auto &added = job.spec.transform.add_columns;
  for (std::size_t i = 0; i < added.size(); i++) {
    const auto at = std::find_if(shape.columns.begin(), shape.columns.end(),
                                 [&](const auto &column) { return column.name == added[i].first; });
    if (at != shape.columns.end())
      at->added = true;
    else
      shape.columns.push_back(added_column(added[i].first, types[i])), shape.columns.back().added = true;
  }
}

// REQUIRES: columns and key are filled in.
void require_whole(const Job &job, const TableShape &shape) {
  const std::string hint = "Cancel the backfill: SELECT backfill_cancel(" + quote_literal(job.name) + ");";
  if (shape.columns.empty())
    throw Error(
        sqlstate::undefined_table,
        "table " + qualified(job.target_schema, job.shadow_name) + " of backfill \"" + job.name + "\" no longer exists",
        "It held the version that is being built.", hint);
  if (shape.key.size() != job.key.size())
    throw Error(sqlstate::undefined_column, "a column of the key of backfill \"" + job.name + "\" no longer exists",
                "It was dropped or renamed since the plan.", hint);
}

}  // namespace

TableShape read_shape(const Job &job) {
  // Types are looked up as their author wrote them, and told as the extension sees them.
  const std::vector<pg::TypeName> types = pg::as_owner(
      job.owner,
      [&] {
        std::vector<pg::TypeName> found;
        for (const auto &added : job.spec.transform.add_columns) found.push_back(pg::resolve_type(added.second));
        return found;
      },
      job.search_path);
  return pg::as_extension([&] {
    TableShape shape;
    const pg::Result names = pg::execute(pg::kept("SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON "
                                                  "n.oid = c.relnamespace WHERE c.oid = $1"),
                                         {pg::Param::oid(job.live)});
    if (names.empty())
      throw Error(sqlstate::undefined_table,
                  "table " + qualified(job.target_schema, job.target_name) + " of backfill \"" + job.name +
                      "\" no longer exists",
                  {}, "Cancel the backfill: SELECT backfill_cancel(" + quote_literal(job.name) + ");");
    shape.schema = names.only().text("nspname");
    shape.table = names.only().text("relname");
    shape.columns = columns_of(job.shadow != 0 ? job.shadow : job.live);
    for (const std::string &name : job.key)
      for (const TableShape::Column &column : shape.columns)
        if (column.name == name) shape.key.push_back(column);
    require_whole(job, shape);
    mark_added_columns(job, types, shape);
    read_key_operators(job.live, shape.key);
    for (const TableShape::Column &column : shape.columns)
      if (column.name == job.chunk_column) shape.chunk_column = column.name, shape.chunk_type = column.base_type;
    return shape;
  });
}

std::vector<std::string> shadow_columns(const TableShape &shape) {
  std::vector<std::string> names;
  for (const TableShape::Column &column : shape.columns)
    if (!column.generated) names.push_back(column.name);
  return names;
}

std::string in_scope_sql(const Job &job, const TableShape &shape, const std::string &alias) {
  if (unscoped(job)) return "true";
  const std::string &row = alias.empty() ? shape.table : alias;
  Conditions conditions{between_values(shape, row, *job.start, *job.stop)};
  for (std::size_t i = 0; i + 1 < job.exclude.size(); i += 2)
    conditions.push_back("NOT (" + between_values(shape, row, job.exclude[i], job.exclude[i + 1]) + ")");
  return joined(conditions, " AND ");
}

std::string out_of_scope_sql(const Job &job, const TableShape &shape, const std::string &alias) {
  if (unscoped(job)) return "false";
  const std::string &row = alias.empty() ? shape.table : alias;
  const std::string column = column_of(row, shape.chunk_column);
  Conditions conditions{column + " < " + literal(*job.start, shape.chunk_type),
                        column + " >= " + literal(*job.stop, shape.chunk_type), column + " IS NULL"};
  for (std::size_t i = 0; i + 1 < job.exclude.size(); i += 2)
    conditions.push_back("(" + between_values(shape, row, job.exclude[i], job.exclude[i + 1]) + ")");
  return "(" + joined(conditions, " OR ") + ")";
}

std::string transformed_range(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                              const std::string &hi) {
  return range_rows(job, shape, chunk, lo, hi, Form::insert);
}

std::string within_chunk_sql(const Job &job, const TableShape &shape, const Step &chunk) {
  if (chunk.kind != "range" || !restricts_itself(job.spec.transform)) return "";
  return between(quote_ident(shape.chunk_column), literal(*chunk.lo, shape.chunk_type),
                 literal(*chunk.hi, shape.chunk_type));
}

std::string block_rows(const Job &job, const TableShape &shape, const Step &chunk, long long lo,
                       std::optional<long long> hi) {
  const Node params = parse_document(chunk.params);
  const Node *const whole = params.find("whole");
  const std::string blocks = in_blocks(shape, lo, hi);
  if (whole == nullptr || !whole->boolean())
    return verbatim_select(shape, {blocks, out_of_scope_sql(job, shape)}, Form::insert);
  if (job.spec.transform.is_query() || depends_on_chunk(job.spec.transform))
    throw Error(sqlstate::feature_not_supported, "a transform that is computed by chunk cannot be run by blocks",
                "A block holds rows of many chunks.",
                "Create an index on the chunk column, and plan the backfill again.");
  return all_rows(
      job, shape, [&](const std::string &) { return blocks; }, Form::insert);
}

std::string rows_for_keys(const Job &job, const TableShape &shape, const std::string &keys) {
  return all_rows(
      job, shape, [&](const std::string &alias) { return among_keys(shape, alias, keys); }, Form::insert);
}

std::string whole_image(const Job &job, const TableShape &shape, bool in_scope, bool out_of_scope_too) {
  const auto none = [](const std::string &) { return std::string(); };
  if (in_scope && out_of_scope_too) return all_rows(job, shape, none, Form::image);
  if (in_scope) return union_all(shape, {in_scope_rows(job, shape, none, Form::image)});
  return verbatim_select(shape, {out_of_scope_too ? out_of_scope_sql(job, shape) : "false"}, Form::image);
}

std::string chunk_image(const Job &job, const TableShape &shape, const Step &chunk) {
  return range_rows(job, shape, chunk, *chunk.lo, *chunk.hi, Form::image);
}

std::string out_of_scope_image(const Job &job, const TableShape &shape, long long lo, std::optional<long long> hi) {
  return verbatim_select(shape, {in_blocks(shape, lo, hi), out_of_scope_sql(job, shape)}, Form::image);
}

std::string key_matches(const TableShape &shape, const std::string &alias, const std::string &key_alias) {
  Conditions same;
  for (std::size_t i = 0; i < shape.key.size(); i++)
    same.push_back(column_of(alias, shape.key[i].name) + " " + shape.key[i].equals + " " + quote_ident(key_alias) +
                   ".k" + std::to_string(i + 1));
  return joined(same, " AND ");
}

}  // namespace backfill
