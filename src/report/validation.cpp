// The same queries twice, of two pairs of tables:
//
//   rows of each chunk, keys that are there twice, nulls left in what is computed, totals by day, rows without a partner
//   (of each foreign key, outgoing and incoming), and one query for each check of the job that is a query
//
// Names are qualified, so the queries run under any search_path, but for what people wrote into checks: that is read with the
// search_path and zone of the plan, which the first block sets and the last one resets.
#include "report/validation.hpp"

#include <algorithm>

#include "audit/check.hpp"
#include "catalog/placement.hpp"
#include "catalog/step.hpp"
#include "core/joined.hpp"
#include "core/page.hpp"
#include "core/sql_text.hpp"
#include "report/markdown_text.hpp"

namespace backfill {

namespace {

constexpr std::size_t totals = 10, nulls = 50;  // columns a query

struct Column {
  std::string name, sql;  // sql: quoted where need be
  bool summable = false;  // a number, and no reference
  bool added = false, computed = false, key = false;
};

struct Pair {
  std::string fresh, old;  // qualified
};

// What the queries are made of.
struct Material {
  const Facts &facts;
  std::vector<Column> columns;
  std::string row;     // the target's own name: how its rows are called in a query
  std::string column;  // the chunk column, "" for none
  std::string type;    // of it, below any domain
  bool has_ranges = false;
};

std::string ident(const std::string &name) { return *pg::query_value("SELECT quote_ident($1)", {name}); }

std::string name_sql(const std::string &schema, const std::string &name) { return ident(schema) + "." + ident(name); }

// A query within another: its further lines two columns further in.  Not for what people wrote: a literal may have lines.
std::string inner(const std::string &query) {
  std::string out;
  for (const char c : query) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return "(" + out + ")";
}

bool among(const std::vector<std::string> &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What a name meant in the planner's session; 0 where it means nothing any more.
Oid found_by_name(const Job &job, const std::string &look_up, const std::string &name) {
  pg::set_local("search_path", job.search_path);
  std::int64_t const oid =
      pg::query_integer("SELECT coalesce(pg_catalog." + look_up + "($1)::pg_catalog.oid::pg_catalog.int8, 0)", {name});
  pg::set_local("search_path", "pg_catalog, pg_temp");
  return static_cast<Oid>(oid);
}

// ---- facts ----

// Of a type by its OID: below any domain, is it a number that can be summed up?
constexpr char numeric_sql[] =
    "(WITH RECURSIVE below AS (SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = %"
    "   UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.typbasetype"
    "   WHERE b.typtype = 'd')"
    " SELECT bool_or(oid IN (20, 21, 23, 700, 701, 1700)) FROM below)";

std::string numeric(const std::string &type) {
  std::string text = numeric_sql;
  return text.replace(text.find('%'), 1, type);
}

void read_columns(const Job &job, Material &material) {
  const Transform &transform = job.spec.transform;
  std::vector<std::string> set;
  for (const auto &[column, expression] : transform.set) set.push_back(column);
  auto const add = [&](const std::string &name, bool number, bool added) {
    if (std::any_of(material.columns.begin(), material.columns.end(), [&](const Column &c) { return c.name == name; }))
      return;
    bool const key = among(job.key, name);
    material.columns.push_back(
        {name, ident(name), number, added, key ? false : transform.is_query() || among(set, name), key});
  };
  auto const is_added = [&](const std::string &name) {
    return std::any_of(transform.add_columns.begin(), transform.add_columns.end(),
                       [&](const auto &column) { return column.first == name; });
  };
  pg::Result const found = pg::execute("SELECT a.attname, " + numeric("a.atttypid") +
                                           " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = $1 AND "
                                           "k.contype = 'f' AND a.attnum = ANY (k.conkey))"
                                           " AS number FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND "
                                           "NOT a.attisdropped ORDER BY a.attnum",
                                       {pg::Param::oid(job.live)});
  for (const pg::Row &row : found) add(row.text("attname"), row.boolean("number"), is_added(row.text("attname")));
  for (const auto &[column, type] : transform.add_columns) {
    Oid const oid = found_by_name(job, "to_regtype", type);
    add(column, oid != 0 && pg::query_boolean("SELECT " + numeric("$1"), {pg::Param::oid(oid)}), true);
  }
}

Material gather_material(const Facts &facts) {
  const Job &job = facts.job;
  Material material{facts, {}, ident(job.target_name), {}, {}, false};
  read_columns(job, material);
  if (!job.start) return material;
  material.column = ident(job.chunk_column);
  material.type = *pg::query_value(
      "SELECT CASE $1::oid WHEN 'timestamptz'::regtype THEN 'timestamptz' WHEN 'timestamp'::regtype THEN 'timestamp'"
      " ELSE format_type($1::oid, -1) END",
      {pg::Param::oid(job.chunk_type)});
  material.has_ranges = !load_steps(job.id, "range").empty();
  return material;
}

// ---- pieces ----

std::string literal(const Material &of, const std::string &value) { return quote_literal(value) + "::" + of.type; }

std::string within(const Material &of, const std::string &lo, const std::string &hi) {
  return of.column + " >= " + literal(of, lo) + " AND " + of.column + " < " + literal(of, hi);
}

// "" where every row is in scope.
std::string in_scope(const Material &of) {
  const Job &job = of.facts.job;
  if (!job.start) return "";
  std::string condition = within(of, *job.start, *job.stop);
  for (std::size_t i = 0; i + 1 < job.exclude.size(); i += 2)
    condition += "\n  AND NOT (" + within(of, job.exclude[i], job.exclude[i + 1]) + ")";
  return condition;
}

std::string where(const std::vector<std::string> &conditions) {
  std::vector<std::string> given;
  for (const std::string &condition : conditions)
    if (!condition.empty()) given.push_back(condition);
  return given.empty() ? "" : "\nWHERE " + joined(given, "\n  AND ");
}

std::string of_job(const Material &of) { return "c.id = " + std::to_string(of.facts.job.id) + " AND c.kind = 'range'"; }

std::string rows_of(const Material &of, const std::string &table) { return table + " AS " + of.row; }

std::string columns_sql(const std::vector<std::string> &columns) {
  std::vector<std::string> names;
  for (const std::string &column : columns) names.push_back(ident(column));
  return joined(names);
}

// A comment above a query: one line, whatever it quotes.
std::string titled(const std::string &title, const std::string &query) {
  return "-- " + one_line(title) + "\n" + query + ";";
}

// ---- the queries ----

std::string chunk_rows(const Material &of, const std::string &table) {
  return "(SELECT count(*) AS rows FROM " + table + " AS t\n  WHERE t." + of.column + " >= c.lo::" + of.type +
         " AND t." + of.column + " < c.hi::" + of.type + ")";
}

std::string count_chunks(const Material &of, const Pair &pair) {
  if (!of.has_ranges)
    return titled("rows", "SELECT (SELECT count(*) FROM " + pair.fresh +
                              ") AS new_rows,\n       (SELECT count(*) FROM " + pair.old + ") AS old_rows");
  return titled("rows of each chunk",
                "SELECT c.chunk, c.lo, c.hi, n.rows AS new_rows, o.rows AS old_rows, n.rows - o.rows AS difference\n"
                "FROM backfill.chunks AS c\nCROSS JOIN LATERAL " +
                    chunk_rows(of, pair.fresh) + " AS n\nCROSS JOIN LATERAL " + chunk_rows(of, pair.old) +
                    " AS o\nWHERE " + of_job(of) + "\nORDER BY c.chunk");
}

std::string double_keys(const Material &of, const Pair &pair) {
  std::string const key = columns_sql(of.facts.job.key);
  return titled("no key is there twice: no row", "SELECT " + key + ", count(*)\nFROM " + pair.fresh + "\nGROUP BY " +
                                                     key + "\nHAVING count(*) > 1\nLIMIT 20");
}

std::string left_nulls(const Material &of, const Pair &pair) {
  std::string list;
  std::size_t number = 0;
  for (const Column &column : of.columns)
    if (column.computed && number++ < nulls) list += ",\n       count(*) - count(" + column.sql + ") AS " + column.sql;
  if (list.empty()) return "";
  return titled("nulls left in what is computed",
                "SELECT count(*) AS rows" + list + "\nFROM " + pair.fresh + where({in_scope(of)}));
}

std::vector<Column> summed(const Material &of) {
  std::vector<Column> columns;
  for (bool const computed : {true, false})
    for (const Column &column : of.columns)
      if (column.summable && !column.key && column.computed == computed && column.sql != of.column &&
          columns.size() < totals)
        columns.push_back(column);
  return columns;
}

// What rows are grouped by: the day, or the chunk where the chunk column is a number; "" for all rows together.
std::string group_of(const Material &of) {
  if (of.column.empty()) return "";
  if (of.type == "date") return "t." + of.column;
  if (of.type == "timestamp") return "t." + of.column + "::date";
  if (of.type == "timestamptz")
    return "(t." + of.column + " AT TIME ZONE " + quote_literal(of.facts.job.time_zone) + ")::date";
  return of.has_ranges ? "c.chunk" : "";
}

std::string sums_of(const Material &of, const std::string &table, const std::vector<Column> &columns, bool with_added) {
  std::string const group = group_of(of);
  std::string list = group.empty() ? "count(*) AS rows" : group + " AS part, count(*) AS rows";
  for (std::size_t i = 0; i < columns.size(); i++)
    if (with_added || !columns[i].added) list += ", sum(t." + columns[i].sql + ") AS sum_" + std::to_string(i + 1);
  std::string query = "SELECT " + list + "\nFROM " + table + " AS t";
  if (group == "c.chunk")
    return query + " JOIN backfill.chunks AS c ON " + of_job(of) + " AND t." + of.column + " >= c.lo::" + of.type +
           " AND t." + of.column + " < c.hi::" + of.type + "\nGROUP BY 1";
  query += where({in_scope(of)});
  return group.empty() ? query : query + "\nGROUP BY 1";
}

std::string column_title(const std::string &column, const char *side) {
  return quote_ident(suffixed_name(column, std::string(", ") + side));
}

std::string totals_by_day(const Material &of, const Pair &pair) {
  std::vector<Column> const columns = summed(of);
  std::string const group = group_of(of), part = group == "c.chunk" ? "chunk" : "day";
  if (columns.empty() && group.empty()) return "";
  std::string list =
      (group.empty() ? "" : "part AS " + part + ", ") + std::string("n.rows AS new_rows, o.rows AS old_rows");
  for (std::size_t i = 0; i < columns.size(); i++) {
    std::string const sum = "sum_" + std::to_string(i + 1);
    list += ",\n       n." + sum + " AS " + column_title(columns[i].name, "new");
    if (!columns[i].added) list += ", o." + sum + " AS " + column_title(columns[i].name, "old");
  }
  std::string const fresh = inner(sums_of(of, pair.fresh, columns, true)) + " AS n",
                    old = inner(sums_of(of, pair.old, columns, false)) + " AS o";
  return titled(group.empty() ? "totals" : "totals by " + part,
                "SELECT " + list + "\nFROM " + fresh +
                    (group.empty() ? "\nCROSS JOIN " + old : "\nFULL JOIN " + old + " USING (part)\nORDER BY part"));
}

// ---- foreign keys ----

// of_referring, of_referred: columns, in the key's order; operators: one a pair.
constexpr char foreign_keys_sql[] =
    "SELECT k.conname, k.conrelid = $1 AS outgoing, k.confrelid = k.conrelid AS to_itself,"
    " (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    "   WHERE c.oid = CASE WHEN k.conrelid = $1 THEN k.confrelid ELSE k.conrelid END) AS other,"
    " ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey) WITH ORDINALITY AS x(n, place)"
    "   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY place) AS referring,"
    " ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.confkey) WITH ORDINALITY AS x(n, place)"
    "   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY place) AS referred,"
    " ARRAY(SELECT CASE n.nspname WHEN 'pg_catalog' THEN o.oprname ELSE format('OPERATOR(%I.%s)', n.nspname, "
    "o.oprname) END"
    "   FROM unnest(k.conpfeqop) WITH ORDINALITY AS x(op, place) JOIN pg_operator o ON o.oid = x.op"
    "   JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY place) AS operators"
    " FROM pg_constraint k WHERE k.contype = 'f' AND $1 IN (k.conrelid, k.confrelid) AND k.conparentid = 0"
    " AND NOT backfill.is_retired_key(k.oid) ORDER BY k.conrelid <> $1, k.conname";

std::string partner_query(const pg::Row &key, const Pair &pair) {
  std::vector<std::string> const referring = key.texts("referring"), referred = key.texts("referred"),
                                 operators = key.texts("operators");
  std::string filled, same;
  for (std::size_t i = 0; i < referring.size(); i++) {
    filled += (i > 0 ? " AND " : "") + ("r." + referring[i]) + " IS NOT NULL";
    same += (i > 0 ? " AND " : "") + ("p." + referred[i]) + " " + operators[i] + " r." + referring[i];
  }
  bool const outgoing = key.boolean("outgoing"), to_itself = key.boolean("to_itself");
  std::string const from = outgoing ? pair.fresh : key.text("other"),
                    to = outgoing && !to_itself ? key.text("other") : pair.fresh;
  return "SELECT count(*) AS bad\nFROM " + from + " AS r\nWHERE " + filled + "\n  AND NOT EXISTS (SELECT FROM " + to +
         " AS p WHERE " + same + ")";
}

std::string foreign_keys(const Material &of, const Pair &pair) {
  std::vector<std::string> queries;
  pg::Result const keys = pg::execute(foreign_keys_sql, {pg::Param::oid(of.facts.job.live)});
  for (const pg::Row &key : keys)
    queries.push_back(titled("rows without a partner, foreign key " + key.text("conname") +
                                 (key.boolean("outgoing") ? "" : " of " + key.text("other")) + ": 0",
                             partner_query(key, pair)));
  return joined(queries, "\n\n");
}

// ---- the job's checks ----

std::string condition_of(const Check &check, const Material &of) {
  bool const everywhere = check.find("scope") == nullptr ? check.kind->whole_table : check.scope() == "table";
  std::vector<std::string> conditions;
  if (!everywhere) conditions.push_back(in_scope(of));
  if (const Node *const given = check.find("where")) conditions.push_back("(" + fragment(of.facts.job, *given) + "\n)");
  return where(conditions);
}

std::string values_sql(const Check &check) {
  std::vector<std::string> values;
  for (const std::string &value : check.find("values")->values()) values.push_back(quote_literal(value));
  return joined(values, ", ");
}

std::string out_of_range(const Check &check) {
  bool const inclusive = check.boolean("inclusive", true);
  std::string const column = ident(check.text("column"));
  std::vector<std::string> conditions;
  if (const Node *const min = check.find("min"))
    conditions.push_back(column + (inclusive ? " < " : " <= ") + quote_literal(min->value()));
  if (const Node *const max = check.find("max"))
    conditions.push_back(column + (inclusive ? " > " : " >= ") + quote_literal(max->value()));
  return joined(conditions, " OR ");
}

std::string bad_rows(const Check &check, const Material &of, const Pair &pair, const std::string &bad) {
  return "SELECT count(*) AS rows, count(*) FILTER (WHERE " + bad + ") AS bad\nFROM " + rows_of(of, pair.fresh) +
         condition_of(check, of);
}

std::string unique_query(const Check &check, const Material &of, const Pair &pair) {
  std::vector<std::string> columns = check.columns();
  if (columns.empty()) columns = of.facts.job.key;
  std::string const list = columns_sql(columns), rows = condition_of(check, of);
  return "SELECT " + list + ", count(*)\nFROM " + rows_of(of, pair.fresh) + rows +
         (rows.empty() ? "\nWHERE " : "\n  AND ") + "num_nulls(" + list + ") = 0\nGROUP BY " + list +
         "\nHAVING count(*) > 1\nLIMIT 20";
}

// Columns of the other table that the check names, or its primary key.
std::vector<std::string> partner_columns(const Check &check, const std::string &key, Oid table) {
  for (const std::string &name : {key + "s", key})
    if (const Node *const given = check.find(name.c_str())) return given->texts();
  pg::Result const found = pg::execute(
      "SELECT a.attname FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (n, place), pg_attribute a"
      " WHERE i.indrelid = $1 AND i.indisprimary AND place <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = "
      "k.n"
      " ORDER BY place",
      {pg::Param::oid(table)});
  std::vector<std::string> columns;
  for (const pg::Row &row : found) columns.push_back(row.text("attname"));
  return columns;
}

// Rows of `from` whose columns are filled and that have no partner in `to`.
std::string lonely(const std::string &from, const std::string &rows, const std::vector<std::string> &columns,
                   const std::string &to, const std::vector<std::string> &partners) {
  std::string filled, same;
  for (std::size_t i = 0; i < columns.size(); i++) {
    std::string const own = "lonely." + ident(columns[i]);
    filled += " AND " + own + " IS NOT NULL";
    same += (i > 0 ? " AND " : "") + ("partner." + ident(partners[i])) + " = " + own;
  }
  return "SELECT count(*) AS bad\nFROM (SELECT *\n  FROM " + from + rows +
         ") AS lonely\nWHERE NOT EXISTS (SELECT FROM " + to + " AS partner WHERE " + same + ")" + filled;
}

std::string relationships_query(const Check &check, const Material &of, const Pair &pair) {
  bool const referring = check.find("from_table") != nullptr;
  std::string const other = check.text(referring ? "from_table" : "to_table");
  Oid const table = found_by_name(of.facts.job, "to_regclass", other);
  if (table == 0) return "";
  std::vector<std::string> const own = check.columns();
  std::vector<std::string> const theirs =
      referring && check.find("from_columns") == nullptr && check.find("from_column") == nullptr
          ? own
          : partner_columns(check, referring ? "from_column" : "to_column", table);
  if (own.size() != theirs.size()) return "";
  std::string const partner = table == of.facts.job.live ? pair.fresh : other;
  return referring ? lonely(other, "", theirs, pair.fresh, own)
                   : lonely(rows_of(of, pair.fresh), condition_of(check, of), own, partner, theirs);
}

// "" where it is no query of a few lines.
std::string check_query(const Check &check, const Material &of, const Pair &pair) {
  std::string const &word = check.word;
  if (word == "unique") return unique_query(check, of, pair);
  if (word == "not_null") return bad_rows(check, of, pair, "num_nulls(" + columns_sql(check.columns()) + ") > 0");
  if (word == "accepted_values")
    return bad_rows(check, of, pair, ident(check.text("column")) + " NOT IN (" + values_sql(check) + ")");
  if (word == "accepted_range") return bad_rows(check, of, pair, out_of_range(check));
  if (word == "expression")
    return bad_rows(check, of, pair, "(" + fragment(of.facts.job, *check.find("sql")) + "\n) IS NOT TRUE");
  if (word == "row_count") return "SELECT count(*) AS rows\nFROM " + rows_of(of, pair.fresh) + condition_of(check, of);
  if (word == "row_count_delta") {
    auto const counted = [&](const std::string &table) {
      return "(SELECT count(*) FROM " + rows_of(of, table) + condition_of(check, of) + ")";
    };
    return "SELECT new_rows, old_rows, new_rows - old_rows AS difference\nFROM (SELECT " + counted(pair.fresh) +
           " AS new_rows,\n             " + counted(pair.old) + " AS old_rows) AS counted";
  }
  if (word == "relationships") return relationships_query(check, of, pair);
  if (word == "failed_rows")
    return "WITH " + of.row + " AS NOT MATERIALIZED (SELECT * FROM " + pair.fresh + ")\nSELECT *\nFROM (" +
           fragment(of.facts.job, *check.find("query")) + "\n) AS failed\nLIMIT 20";
  return "";
}

// What a person wrote for one chunk after the other.
bool is_of_a_chunk(const Check &check) {
  for (const char *const key : {"where", "sql", "query"})
    if (const Node *const text = check.find(key))
      for (const char *const word : {"chunk", "chunk_start", "chunk_stop"})
        if (uses_placeholder(text->text(), word)) return true;
  return false;
}

std::string job_checks(const Material &of, const Pair &pair) {
  std::vector<std::string> queries, others;
  for (const Step &step : load_steps(of.facts.job.id, "check")) {
    Check const check = planned_check(step);
    if (check.by_default && check.word == "relationships") continue;  // a foreign key: told above
    std::string const query = is_of_a_chunk(check) ? "" : check_query(check, of, pair);
    std::string const limits = describe(check.limits);
    if (query.empty())
      others.push_back(quote_literal(check.name));
    else
      queries.push_back(titled("check " + step.title + (limits.empty() ? "" : " (" + limits + ")"), query));
  }
  if (!others.empty())
    queries.push_back(
        titled("checks that are more than a query: what they found, and what they ran",
               "SELECT \"check\", outcome, expected, actual, detail, sql\nFROM backfill.checks\nWHERE id = " +
                   std::to_string(of.facts.job.id) + " AND latest\n  AND \"check\" IN (" + joined(others, ", ") + ")"));
  return joined(queries, "\n\n");
}

// ---- the two sections ----

std::string block(const char *time, const std::string &title, const std::string &queries) {
  if (queries.empty()) return "";
  return title + "\n\n**When:** " + time + "\n\n" + sql(queries) + "\n";
}

// Of the settings that a transform's values may depend on, those that the reader's session has otherwise.
struct Session {
  std::string set = "SET search_path = ", reset = "RESET search_path;\nRESET TimeZone;";
};
Session session_of_planner(const Job &job) {
  Session session;
  session.set += job.search_path + ";\nSET TimeZone = " + quote_literal(job.time_zone) + ";";
  for (const auto &[name, value] : other_settings(job)) {
    session.set += "\nSET " + name + " = " + quote_literal(value) + ";";
    session.reset += "\nRESET " + name + ";";
  }
  return session;
}

std::string queries(const Material &of, const Pair &pair, const char *time) {
  const Job &job = of.facts.job;
  Session const session = session_of_planner(job);
  std::string out =
      block(time, "Names and values in checks mean what they meant in the planner's session:", session.set);
  out += block(time, "Row counts:", count_chunks(of, pair));
  out += block(time, "Keys:", double_keys(of, pair));
  out += block(time, "Nulls:", left_nulls(of, pair));
  out += block(time, "Totals:", totals_by_day(of, pair));
  out += block(time, "References:", foreign_keys(of, pair));
  out += block(time, "The checks of the backfill:", job_checks(of, pair));
  return out + block(time, "Back to the session's own settings:", session.reset);
}

// The archive has those rows only that were written, so it is nothing to count.
std::string written_rows(const Job &job, const Pair &pair) {
  return "Rows of " + code_span(pair.fresh) + " were written where they differed; what they were is in " +
         code_span(pair.old) + ".\n\n" +
         block("published", "What has changed:",
               "SELECT backfill_diff(" + quote_literal(job.name) + ");\nSELECT count(*) AS rows_written FROM " +
                   pair.old + ";");
}

}  // namespace

std::string validation_queries(const Facts &facts) {
  const Job &job = facts.job;
  bool const there =
      pg::query_boolean("SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1)", {pg::Param::oid(job.live)});
  if (!there) return "Table " + escaped(facts.text("target")) + " does not exist any more.\n\n";
  Material const material = gather_material(facts);
  std::string const live = name_sql(job.target_schema, job.target_name);
  Pair const before = {name_sql(job.target_schema, job.shadow_name), live},
             after = {live, name_sql(job.target_schema, job.archive_name)};
  return "As the table's owner, in psql. Rows written in the meantime differ until they are drained "
         "(`pending_keys` in `backfill.jobs`); the checks of the audit leave them out.\n\n"
         "### Before the publish\n\nThe new version is " +
         code_span(before.fresh) + ", the table in service " + code_span(live) + ".\n\n" +
         queries(material, before, "ready") + "### After the publish\n\n" +
         (placement_of(job).in_place ? written_rows(job, after)
                                     : "The new version is " + code_span(live) + ", the replaced one " +
                                           code_span(after.old) + ".\n\n" + queries(material, after, "published"));
}

}  // namespace backfill
