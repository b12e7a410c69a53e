// A transform is probed with its placeholders filled by typed nulls:
//
//   set     each expression is parsed alone (it is one expression), then analysed over the live row and the join
//           (columns, functions, type); then the whole is explained, which asks for privileges;
//   query   analysed once (one SELECT, nothing written), its columns compared by name with the table's; then explained.
//
// Nothing of the owner's code runs but what the planner folds.
#include "plan/transform_check.hpp"

#include <algorithm>
#include <map>

#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "pg/parse.hpp"
#include "pg/role.hpp"
#include "pg/type_name.hpp"

namespace backfill {

namespace {

constexpr char duplicate_column[] = "42701";
constexpr char unsuitable_key[] = "42P10";

std::map<std::string, std::string> typed_nulls(const FrozenScope &scope) {
  std::string const boundary = scope.column ? "CAST(NULL AS " + scope.column->type + ")" : "NULL";
  return {{"chunk_start", boundary},
          {"chunk_stop", boundary},
          {"chunk", "CAST(NULL AS integer)"},
          {"run_id", "CAST(NULL AS integer)"},
          {"backfill", "CAST(NULL AS text)"}};
}

bool among(const std::vector<std::string> &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool mentions_chunk(const std::string &sql) {
  return uses_placeholder(sql, "chunk") || uses_placeholder(sql, "chunk_start") || uses_placeholder(sql, "chunk_stop");
}

// What the server said of a text, with the path in front.
template <typename Fn>
auto of_path(const std::string &path, Fn fn) {
  try {
    return fn();
  } catch (const Error &failure) {
    // Rows that a policy hides would be lost rows, so nothing is read through one.
    std::string const hint = failure.sqlstate == sqlstate::insufficient_privilege
                                 ? "The work runs as the table's owner, who must be allowed to read all of it."
                                 : "Correct the text at " + path + ".";
    throw Error(failure.sqlstate, path + ": " + failure.what(), failure.detail,
                failure.hint.empty() ? hint : failure.hint);
  }
}

void note_functions(TransformFacts *facts, const std::vector<Oid> &functions) {
  facts->functions.insert(facts->functions.end(), functions.begin(), functions.end());
  std::sort(facts->functions.begin(), facts->functions.end());
  facts->functions.erase(std::unique(facts->functions.begin(), facts->functions.end()), facts->functions.end());
}

// EXPLAIN checks privileges, and plans: what would fail at once in every chunk fails here.
void explain(const std::string &path, const std::string &sql) {
  of_path(path, [&] { pg::execute("EXPLAIN (COSTS OFF) " + sql); });
}

void require_type(const std::string &path, const std::string &column, const std::string &type, Oid to,
                  const pg::SelectColumn &value) {
  if (pg::assignable(value.type, to)) return;
  throw Error(sqlstate::datatype_mismatch,
              path + " is of type " + value.type_name + ", column \"" + column + "\" of type " + type,
              "A value of the one type cannot be stored as the other without a cast.",
              "Write the cast you mean, as in (…)::" + type + ".");
}

struct Sought {  // the type a column must take
  std::string text;
  Oid type;
};

Sought added_type(const std::string &column, const std::string &type) {
  std::string const path = "transform.add_columns." + column;
  pg::TypeName const resolved = of_path(path, [&] { return pg::resolve_type(type); });
  return {pg::format_type(resolved), resolved.oid};
}

void check_added_columns(const Target &target, const Spec &spec, std::map<std::string, Sought> *added) {
  for (const auto &[column, type] : spec.transform.add_columns) {
    std::string const path = "transform.add_columns." + column;
    if (target.find_column(column) != nullptr)
      throw Error(duplicate_column, "column \"" + column + "\" of table \"" + target.label() + "\" already exists",
                  "It is named by " + path + ".", "Remove it from add_columns to recompute the column that is there.");
    if (column.size() > max_identifier_bytes || column.empty())
      throw Error("42622", "the name of column \"" + column + "\" has more than 63 bytes",
                  "It is named by " + path + ".", "Take a shorter name.");
    added->emplace(column, added_type(column, type));
  }
}

// A transform must leave alone what decides which row is which and which chunk it belongs to.
void require_settable(const Target &target, const FrozenScope &scope, const std::vector<std::string> &key,
                      const std::string &column) {
  std::string const path = "transform.set." + column;
  if (among(key, column))
    throw Error(sqlstate::invalid_parameter_value, "key column \"" + column + "\" cannot be recomputed",
                "Changed rows are found again by their key, which is (" + listed(key) + ").", "Remove " + path + ".");
  if (scope.column && scope.column->name == column)
    throw Error(sqlstate::invalid_parameter_value, "chunk column \"" + column + "\" cannot be recomputed",
                "A row's chunk would be another one after the transform than before.",
                "Remove " + path + ", or chunk by another column.");
  const Column *const found = target.find_column(column);
  if (found != nullptr && found->generated)
    throw Error(sqlstate::invalid_parameter_value, "generated column \"" + column + "\" cannot be recomputed",
                "The server computes it from its expression.",
                "Remove " + path + "; it follows the columns it is computed from.");
}

std::string from_clause(const Target &target, const Spec &spec, const std::map<std::string, std::string> &values) {
  std::string const item = "\nFROM " + qualified(target.schema, target.name) + " AS " + quote_ident(target.name);
  return spec.transform.join.empty() ? item : item + "\n" + substitute_placeholders(spec.transform.join, values) + "\n";
}

void check_set(const Target &target, const FrozenScope &scope, const std::vector<std::string> &key, const Spec &spec,
               TransformFacts *facts) {
  auto const values = typed_nulls(scope);
  std::map<std::string, Sought> added;
  check_added_columns(target, spec, &added);
  std::string const from = from_clause(target, spec, values);
  if (!spec.transform.join.empty())
    of_path("transform.join", [&] {
      pg::require_join(substitute_placeholders(spec.transform.join, values));
      note_functions(facts, pg::describe_select("SELECT 1" + from).functions);
    });
  std::string list;
  for (const auto &[column, text] : spec.transform.set) {
    std::string const path = "transform.set." + column;
    require_settable(target, scope, key, column);
    auto const at = added.find(column);
    Sought sought;
    if (at != added.end()) {
      sought = at->second;
    } else {
      const Column &existing = require_column(target, column, path);
      sought = {existing.type, existing.type_oid};
    }
    std::string const expression = substitute_placeholders(text, values);
    pg::SelectFacts const found = of_path(path, [&] {
      pg::require_expression(expression);
      return pg::describe_select("SELECT (" + expression + "\n)" + from);
    });
    require_type(path, column, sought.text, sought.type, found.columns.at(0));
    if (found.volatile_anywhere)
      facts->warnings.push_back(path + " is volatile: the same row may come out differently each time it is derived.");
    note_functions(facts, found.functions);
    list += (list.empty() ? "(" : ", (") + expression + "\n)";
  }
  facts->probe = "SELECT " + list + from;
  explain("transform.set", facts->probe);
  for (const auto &[column, sought] : added)
    if (std::none_of(spec.transform.set.begin(), spec.transform.set.end(),
                     [&](const auto &set) { return set.first == column; }))
      facts->warnings.push_back("Added column \"" + column + "\" is not in transform.set: it stays null.");
}

// Exactly the table's columns, in any order; generated ones may be left out.
void compare_columns(const Target &target, const std::vector<pg::SelectColumn> &columns) {
  std::vector<std::string> missing, extra, names;
  for (const pg::SelectColumn &column : columns) {
    if (among(names, column.name))
      throw Error(duplicate_column, "transform.query returns column \"" + column.name + "\" twice",
                  "Columns are matched with the table's by name.", "Name each column once.");
    names.push_back(column.name);
    if (target.find_column(column.name) == nullptr) extra.push_back(column.name);
  }
  for (const Column &column : target.columns)
    if (!column.generated && !among(names, column.name)) missing.push_back(column.name);
  if (missing.empty() && extra.empty()) return;
  std::string detail;
  if (!missing.empty()) detail += "Missing: " + listed(missing) + ".";
  if (!extra.empty()) detail += (detail.empty() ? "" : " ") + std::string("Not in the table: ") + listed(extra) + ".";
  throw Error(sqlstate::datatype_mismatch, "transform.query does not return the columns of \"" + target.label() + "\"",
              detail,
              "Return every column of the table under its own name; columns not recomputed are selected as they are.");
}

void require_both_ends(const std::string &query) {
  if (uses_placeholder(query, "chunk_start") == uses_placeholder(query, "chunk_stop")) return;
  throw Error(sqlstate::invalid_parameter_value, "transform.query uses only one of :chunk_start and :chunk_stop",
              "Each chunk is the half-open range from the one to the other; with one end open, chunks would overlap.",
              "Restrict it to column >= :chunk_start AND column < :chunk_stop, or use neither.");
}

void check_query(const Target &target, const FrozenScope &scope, const std::vector<std::string> &key, const Spec &spec,
                 TransformFacts *facts) {
  std::string const path = "transform.query";
  require_both_ends(spec.transform.query);
  std::string const sql = substitute_placeholders(spec.transform.query, typed_nulls(scope));
  pg::SelectFacts const found = of_path(path, [&] { return pg::describe_select(sql); });
  compare_columns(target, found.columns);
  for (const pg::SelectColumn &value : found.columns) {
    const Column &column = *target.find_column(value.name);
    if (column.generated) continue;
    require_type(path + " column \"" + value.name + "\"", column.name, column.type, column.type_oid, value);
    bool const decides = among(key, column.name) || (scope.column && scope.column->name == column.name);
    if (decides && value.volatile_value)
      throw Error(
          unsuitable_key, "transform.query computes \"" + column.name + "\" by a volatile function",
          "It is part of the key or the chunk column: the same row would be another one each time it is derived.",
          "Take the value from the table.");
  }
  if (found.volatile_anywhere)
    facts->warnings.push_back(
        "transform.query is volatile: the same row may come out differently each time it is derived.");
  note_functions(facts, found.functions);
  facts->probe = "SELECT 1 FROM (" + sql + "\n) AS \"query\"";
  explain(path, facts->probe);
}

void check_dedupe(const Target &target, const FrozenScope &scope, const Spec &spec) {
  if (spec.transform.dedupe.empty()) return;
  auto const values = typed_nulls(scope);
  std::string const rows = spec.transform.is_query()
                               ? "\nFROM (" + substitute_placeholders(spec.transform.query, values) + "\n) AS \"query\""
                               : from_clause(target, spec, values);
  of_path("transform.dedupe", [&] {
    (void)pg::describe_select("SELECT 1" + rows + "\nORDER BY " +
                              substitute_placeholders(spec.transform.dedupe, values) + "\n");
  });
}

}  // namespace

bool depends_on_chunk(const Transform &transform) {
  return mentions_chunk(transform.query) || mentions_chunk(transform.join) || mentions_chunk(transform.dedupe) ||
         std::any_of(transform.set.begin(), transform.set.end(),
                     [](const auto &set) { return mentions_chunk(set.second); });
}

TransformFacts check_transform(const Target &target, const FrozenScope &scope, const std::vector<std::string> &key,
                               const Spec &spec, const std::string &search_path) {
  return pg::as_owner(
      target.owner,
      [&] {
        TransformFacts facts;
        if (spec.transform.is_query())
          check_query(target, scope, key, spec, &facts);
        else
          check_set(target, scope, key, spec, &facts);
        check_dedupe(target, scope, spec);
        return facts;
      },
      search_path);
}

}  // namespace backfill
