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

Oid find_table(const Check &check) {
  std::string const name = check.text("to_table");
  Oid const found = pg::execute("SELECT to_regclass($1)::oid AS relation", {name}).only().oid("relation");
  if (found == 0)
    throw Error(sqlstate::undefined_table,
                "relation \"" + name + "\" at \"" + check.args.path + ".to_table\" does not exist", {},
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

// The partner may be a waiting row of live itself.
std::string waiting_partner(const Scene &scene) {
  return " AND EXISTS (SELECT FROM \"backfill pending\" AS p WHERE " + key_matches(scene.shape, partner, "p") + ")";
}

Measurement measure(const Check &check, const Scene &scene) {
  std::vector<std::string> const mine = check.columns();
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), mine);
  Oid const to_table = find_table(check);
  std::vector<std::string> const theirs = partner_columns(check, to_table);
  bool const self = to_table == scene.job.live;

  std::string const rows = scene.rows + " AND " + quoted_columns(mine, " IS NOT NULL AND ") + " IS NOT NULL";
  std::string const where =
      self ? scene.table
           : *pg::query_value(
                 "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
                 {pg::Param::oid(to_table)});
  std::string alone = no_partner(scene, where, mine, theirs);
  if (self && scene.pending > 0)
    alone += "\n  AND " +
             no_partner(scene, qualified(scene.shape.schema, scene.shape.table), mine, theirs, waiting_partner(scene));
  std::string const population =
      check.limits.percent() ? "(SELECT count(*) FROM " + scene.table + " WHERE " + rows + ")" : "NULL::bigint";
  return count_rows(scene,
                    "SELECT count(*) AS measured, " + population + " AS population\nFROM " + scene.table + " WHERE " +
                        rows + "\n  AND " + alone,
                    "row without a partner|rows without a partner");
}

}  // namespace

extern const CheckKind relationships_check;
const CheckKind relationships_check = {"relationships", failing, expected, measure};

}  // namespace backfill
