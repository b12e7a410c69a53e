// relationships: every row whose columns are all filled has a partner in another table.  Rows with a null in one of
// them have none to find, as with a foreign key (MATCH SIMPLE).
//
// Where the other table is the target itself, partners are looked for in the new version, and among the rows of live
// that wait in the capture log: those are on their way.
#include "audit/check.hpp"
#include "core/sql_text.hpp"

namespace backfill {

namespace {

constexpr char partner[] = "backfill partner";

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) {
  if (check.find("from_table") != nullptr)
    return "every row of " + check.text("from_table") + " keeps its partner (" + listed_columns(check.columns()) + ")";
  return "every " + listed_columns(check.columns()) + " is in " + check.text("to_table");
}

std::vector<std::string> given_partner_columns(const Check &check) {
  const Node *node = check.find("to_columns");
  if (node == nullptr) node = check.find("to_column");
  return node != nullptr ? node->texts() : std::vector<std::string>();
}

// The columns there: as given, else the primary key, else those of the same names.
std::vector<std::string> partner_columns(const Check &check, Oid to_table) {
  std::vector<std::string> columns = given_partner_columns(check);
  if (columns.empty())
    for (pg::Row const row :
         pg::execute("SELECT a.attname FROM pg_catalog.pg_index i, generate_series(0, i.indnkeyatts - 1) n,"
                     " pg_catalog.pg_attribute a WHERE i.indrelid = $1 AND i.indisprimary"
                     " AND a.attrelid = i.indrelid AND a.attnum = i.indkey[n] ORDER BY n",
                     {pg::Param::oid(to_table)}))
      columns.push_back(row.text("attname"));
  std::vector<std::string> const mine = check.columns();
  if (given_partner_columns(check).empty() && columns.size() != mine.size()) columns = mine;
  if (columns.size() != mine.size())
    throw Error(sqlstate::invalid_parameter_value,
                "\"" + check.args.path + "\" compares " + std::to_string(mine.size()) + " columns with " +
                    std::to_string(columns.size()),
                {}, "Name as many to_columns as columns.");
  return columns;
}

Oid find_table(const Check &check, const char *key) {
  std::string const name = check.text(key);
  Oid const found = pg::execute("SELECT to_regclass($1)::oid AS relation", {name}).only().oid("relation");
  if (found == 0)
    throw Error(sqlstate::undefined_table,
                "relation \"" + name + "\" at \"" + check.args.path + "." + key + "\" does not exist", {},
                "Name an existing table, with its schema where it is not on the search_path.");
  return found;
}

std::string no_partner(const Scene &scene, const std::string &where, const std::vector<std::string> &mine,
                       const std::vector<std::string> &theirs, const std::string &also = {}) {
  std::string condition;
  for (std::size_t i = 0; i < mine.size(); i++)
    condition += (i > 0 ? " AND " : "") + quote_ident(partner) + "." + quote_ident(theirs[i]) + " = " + scene.table +
                 "." + quote_ident(mine[i]);
  return "NOT EXISTS (SELECT FROM " + where + " AS " + quote_ident(partner) + " WHERE " + condition + also + ")";
}

std::string qualified_name(Oid table) {
  return *pg::query_value(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
      " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
      {pg::Param::oid(table)});
}

// The partner may be a waiting row of live itself.
std::string waiting_partner(const Scene &scene) {
  return " AND EXISTS (SELECT FROM \"backfill pending\" AS p WHERE " + key_matches(scene.shape, partner, "p") + ")";
}

// ---- the other way round ----

constexpr char referring[] = "backfill referring";

// What compares a column of the target with one of the other table, and with itself.
struct Pair {
  std::string column, from_column;
  std::string equals = "=", same = "=";
};

std::vector<std::string> referring_columns(const Check &check) {
  const Node *node = check.find("from_columns");
  if (node == nullptr) node = check.find("from_column");
  return node != nullptr ? node->texts() : check.columns();
}

// A foreign key's own operators where there is one, for it is what the rows must satisfy.
std::vector<Pair> pairs_of(const Check &check, const Scene &scene, Oid from_table) {
  std::vector<std::string> const mine = check.columns(), theirs = referring_columns(check);
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), mine);
  if (mine.size() != theirs.size())
    throw Error(sqlstate::invalid_parameter_value,
                "\"" + check.args.path + "\" compares " + std::to_string(mine.size()) + " columns with " +
                    std::to_string(theirs.size()),
                {}, "Name as many from_columns as columns.");
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < mine.size(); i++) {
    pairs.push_back({mine[i], theirs[i]});
    pg::Result const operators = pg::execute(
        "SELECT pg_catalog.format('OPERATOR(%I.%s)', en.nspname, e.oprname) AS equals,"
        " pg_catalog.format('OPERATOR(%I.%s)', sn.nspname, s.oprname) AS same FROM pg_catalog.pg_constraint k"
        " CROSS JOIN pg_catalog.generate_subscripts(k.conkey, 1) AS i"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = k.confkey[i]"
        " JOIN pg_catalog.pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = k.conkey[i]"
        " JOIN pg_catalog.pg_operator e ON e.oid = k.conpfeqop[i]"
        " JOIN pg_catalog.pg_namespace en ON en.oid = e.oprnamespace"
        " JOIN pg_catalog.pg_operator s ON s.oid = k.conppeqop[i]"
        " JOIN pg_catalog.pg_namespace sn ON sn.oid = s.oprnamespace"
        " WHERE k.contype = 'f' AND k.conrelid = $1 AND k.confrelid = $2 AND a.attname = $3 AND f.attname = $4 LIMIT 1",
        {pg::Param::oid(from_table), pg::Param::oid(scene.job.live), mine[i], theirs[i]});
    if (operators.empty()) continue;
    pairs.back().equals = operators[0].text("equals");
    pairs.back().same = operators[0].text("same");
  }
  return pairs;
}

// Rows of live whose values the new version has not.
std::string lost_rows(const Scene &scene, const std::vector<Pair> &pairs) {
  std::string filled, same;
  for (const Pair &pair : pairs) {
    std::string const column = scene.table + "." + quote_ident(pair.column);
    filled += " AND " + column + " IS NOT NULL";
    same += (same.empty() ? "" : " AND ") + quote_ident(partner) + "." + quote_ident(pair.column) + " " + pair.same +
            " " + column;
  }
  return scene.live + " WHERE " + scene.rows + filled + "\n  AND NOT EXISTS (SELECT FROM " + scene.table + " AS " +
         quote_ident(partner) + " WHERE " + same + ")";
}

Measurement measure_referring(const Check &check, const Scene &scene) {
  if (check.find("to_table") != nullptr || scene.pre)
    throw Error(
        sqlstate::invalid_parameter_value,
        "\"" + check.args.path + ".from_table\" has no meaning " + (scene.pre ? "in a pre-check" : "beside to_table"),
        "It compares the partners that live has with those of the new version.",
        scene.pre ? "Move it to \"checks\"." : "Write two checks.");
  Oid const from_table = find_table(check, "from_table");
  std::vector<Pair> const pairs = pairs_of(check, scene, from_table);
  std::string const lost = lost_rows(scene, pairs);
  Measurement found = count_rows(scene, "SELECT count(*) AS measured, NULL::bigint AS population\nFROM " + lost,
                                 "row with lost values|rows with lost values");
  double const rows = found.measured;
  if (rows == 0 && !scene.trial) {
    found.actual = "no row without its partner";
    found.detail = "the new version has every value that live has";
    return found;
  }
  std::string matches, filled;
  for (const Pair &pair : pairs) {
    std::string const theirs = quote_ident(referring) + "." + quote_ident(pair.from_column);
    matches += " AND " + scene.table + "." + quote_ident(pair.column) + " " + pair.equals + " " + theirs;
    filled += (filled.empty() ? "" : " AND ") + theirs + " IS NOT NULL";
  }
  std::string const from = qualified_name(from_table) + " AS " + quote_ident(referring);
  std::string const population =
      check.limits.percent() ? "(SELECT count(*) FROM " + from + " WHERE " + filled + ")" : "NULL::bigint";
  found = count_rows(scene,
                     "SELECT count(*) AS measured, " + population + " AS population\nFROM " + from +
                         " WHERE EXISTS (SELECT FROM " + lost + matches + ")",
                     "row without its partner|rows without their partner");
  if (found.detail.empty())
    found.detail = worded(rows, std::nullopt,
                          "row of live has no like in the new version|rows of live have no like in the new version");
  return found;
}

// Conditions on the subject's rows: all columns are filled; they have no partner.
struct Lone {
  std::string filled, alone;
};

Lone conditions_of(const Check &check, const Scene &scene) {
  std::vector<std::string> const mine = check.columns();
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), mine);
  Oid const to_table = find_table(check, "to_table");
  std::vector<std::string> const theirs = partner_columns(check, to_table);
  bool const self = to_table == scene.job.live;
  std::string const where = self ? scene.table : qualified_name(to_table);
  Lone lone{quoted_columns(mine, " IS NOT NULL AND ") + " IS NOT NULL", no_partner(scene, where, mine, theirs)};
  if (self && scene.pending > 0)
    lone.alone += "\n  AND " + no_partner(scene, qualified(scene.shape.schema, scene.shape.table), mine, theirs,
                                          waiting_partner(scene));
  return lone;
}

Measurement measure(const Check &check, const Scene &scene) {
  if (check.find("from_table") != nullptr) return measure_referring(check, scene);
  Lone const lone = conditions_of(check, scene);
  std::string const rows = scene.rows + " AND " + lone.filled;
  std::string const population =
      check.limits.percent() ? "(SELECT count(*) FROM " + scene.table + " WHERE " + rows + ")" : "NULL::bigint";
  return count_rows(scene,
                    "SELECT count(*) AS measured, " + population + " AS population\nFROM " + scene.table + " WHERE " +
                        rows + "\n  AND " + lone.alone,
                    "row without a partner|rows without a partner");
}

std::string rows_at_fault(const Check &check, const Scene &scene) {
  if (check.find("from_table") != nullptr)
    throw meaningless(check, "The rows at fault are those of another table.",
                      "Leave store_failures out of a check with from_table.");
  Lone const lone = conditions_of(check, scene);
  return select_those(scene, lone.filled + "\n  AND " + lone.alone);
}

}  // namespace

extern const CheckKind relationships_check;
const CheckKind relationships_check = {.word = "relationships",
                                       .failing = failing,
                                       .expected = expected,
                                       .measure = measure,
                                       .rows_at_fault = rows_at_fault,
                                       .samples = true};

}  // namespace backfill
