// Security labels of the table, its columns, its row type and its identity sequences.
//
// They are given through their provider (SECURITY LABEL), not written past it: it may have a say, or keep books.  Only
// what differs is said, so on the way back mostly nothing.
#include "core/sql_text.hpp"
#include "pg/label.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

// $1 out, $2 in, $3 and $4 identity sequences of the two: what the label of the object that enters is to become, null for
// none.  Columns that only one of the two tables has are left alone.
constexpr char differences_sql[] = R"(
WITH twins AS (
  SELECT 'table' AS what, 'pg_class'::regclass::oid AS class, $1 AS leaves, $2 AS enters, 0 AS leaves_sub, 0 AS enters_sub,
         '' AS name
  UNION ALL
  SELECT 'column', 'pg_class'::regclass, $1, $2, o.attnum, i.attnum, o.attname
    FROM pg_attribute o JOIN pg_attribute i ON i.attname = o.attname AND i.attnum > 0 AND NOT i.attisdropped
   WHERE o.attrelid = $1 AND i.attrelid = $2 AND o.attnum > 0 AND NOT o.attisdropped
  UNION ALL
  SELECT 'type', 'pg_type'::regclass, o.reltype, i.reltype, 0, 0, '' FROM pg_class o, pg_class i WHERE o.oid = $1 AND i.oid = $2
  UNION ALL
  SELECT 'sequence', 'pg_class'::regclass, o, i, 0, 0, format('%I.%I', n.nspname, c.relname)
    FROM unnest($3::oid[], $4::oid[]) AS pair(o, i) JOIN pg_class c ON c.oid = o JOIN pg_namespace n ON n.oid = c.relnamespace),
labels AS (
  SELECT what, name, provider, label AS wanted, NULL AS present
    FROM twins JOIN pg_seclabel ON classoid = class AND objoid = leaves AND objsubid = leaves_sub
  UNION ALL
  SELECT what, name, provider, NULL, label
    FROM twins JOIN pg_seclabel ON classoid = class AND objoid = enters AND objsubid = enters_sub)
SELECT what, name, provider, max(wanted) AS label FROM labels GROUP BY what, name, provider
HAVING max(wanted) IS DISTINCT FROM max(present)
 ORDER BY what, name COLLATE "C", provider COLLATE "C")";

std::string object_of(const Swap &swap, const pg::Row &row) {
  std::string const what = row.text("what");
  if (what == "column") return "COLUMN " + swap.target_sql() + "." + quote_ident(row.text("name"));
  if (what == "sequence") return "SEQUENCE " + row.text("name");
  return (what == "type" ? "TYPE " : "TABLE ") + swap.target_sql();
}

}  // namespace

std::vector<std::string> move_labels(const Swap &swap) {
  std::vector<std::string> sequences, twins, sql;
  for (const auto &[old, twin] : identity_twins(swap)) {
    sequences.push_back(std::to_string(old));
    twins.push_back(std::to_string(twin));
  }
  for (const pg::Row &row :
       pg::execute(differences_sql, {pg::Param::oid(swap.out), pg::Param::oid(swap.in), sequences, twins})) {
    pg::require_label_provider(row.text("provider"), display_name(swap.schema, swap.name));
    sql.push_back("SECURITY LABEL FOR " + quote_ident(row.text("provider")) + " ON " + object_of(swap, row) + " IS " +
                  (row.null("label") ? std::string("NULL") : quote_literal(row.text("label"))));
  }
  return sql;
}

}  // namespace backfill
