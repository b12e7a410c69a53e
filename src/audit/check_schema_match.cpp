// schema_match: the new version has the shape of live: columns in order, with type, collation, null-ness, default and
// generation; CHECK constraints; indexes with operator classes, collations and order; no foreign key that live has not.
// Columns that the transform adds are expected; others are not, unless allow_added.  What only the swap brings over (triggers, rules, foreign keys, grants) is its to prove.
#include "audit/check.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// One line a difference.  $1 live, $2 shadow, $3 columns that may be new, $4 whether any may.
// The expressions of defaults and predicates are deparsed, so the comparison needs no parsing.
constexpr char differences_sql[] = R"(
WITH side (live, relation) AS (VALUES (true, $1::oid), (false, $2::oid)),
part (live, kind, name, form) AS (
  SELECT live, 'column', a.attname::text,
         concat_ws(' ', format_type(a.atttypid, a.atttypmod), nullif(a.attcollation, t.typcollation)::regcollation::text,
                   CASE WHEN a.attnotnull THEN 'NOT NULL' END, nullif('identity ' || a.attidentity::text, 'identity '),
                   CASE WHEN a.attgenerated <> '' THEN 'generated' ELSE 'default' END || ' ' || pg_get_expr(d.adbin, d.adrelid))
  FROM side JOIN pg_attribute a ON a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
  SELECT live, 'constraint', pg_get_constraintdef(c.oid), ''
  FROM side JOIN pg_constraint c ON c.conrelid = relation AND c.contype = 'c'
UNION ALL
  SELECT live, 'index',
         concat_ws(' ', CASE WHEN i.indisprimary THEN 'primary' WHEN i.indisexclusion THEN 'exclusion' WHEN i.indisunique THEN 'unique' END,
                   m.amname, '(' || (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ', ' ORDER BY n)
                                     FROM generate_series(1, i.indnatts) AS n) || ')',
                   'WHERE ' || pg_get_expr(i.indpred, i.indrelid)),
         COALESCE(nullif(concat_ws(', ', CASE WHEN NOT i.indisvalid THEN 'not valid' END, CASE WHEN NOT i.indimmediate THEN 'deferrable' END,
                   CASE WHEN i.indnullsnotdistinct THEN 'nulls not distinct' END,
                   (SELECT string_agg('column ' || k.n || ': ' || k.form, ', ' ORDER BY k.n)
                    FROM (SELECT part.n, nullif(concat_ws(' ', CASE WHEN part.sorting NOT IN (0, 'default'::regcollation) THEN part.sorting::regcollation::text END,
                                                          CASE WHEN NOT o.opcdefault THEN o.opcname END,
                                                          CASE WHEN part.option & 1 = 1 THEN 'DESC' END,
                                                          CASE WHEN part.option & 2 = 2 THEN 'NULLS FIRST' END), '') AS form
                          FROM unnest(i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[]) WITH ORDINALITY AS part (class, sorting, option, n)
                          JOIN pg_opclass o ON o.oid = part.class) AS k)), ''), 'plain')
  FROM side JOIN pg_index i ON i.indrelid = relation JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
UNION ALL
  -- Foreign keys of live come with the swap: the new version has none, and must not have others.
  SELECT side.live, 'foreign key', pg_get_constraintdef(c.oid), ''
  FROM side JOIN pg_constraint c ON c.conrelid = relation AND c.contype = 'f' AND c.conparentid = 0
  WHERE NOT backfill.is_retired_key(c.oid)
),
counted AS (SELECT live, kind, name, form, row_number() OVER (PARTITION BY live, kind, name ORDER BY form) AS n FROM part)
SELECT CASE WHEN s.name IS NULL THEN l.kind || ' ' || l.name || ' is missing'
            WHEN l.name IS NULL THEN s.kind || ' ' || s.name || ' is new'
            ELSE s.kind || ' ' || s.name || ' is "' || s.form || '", live has "' || l.form || '"' END AS difference
FROM (SELECT * FROM counted WHERE live) AS l
FULL JOIN (SELECT * FROM counted WHERE NOT live) AS s ON s.kind = l.kind AND s.name = l.name AND s.n = l.n
WHERE (l.form IS DISTINCT FROM s.form)
  AND NOT (l.name IS NULL AND s.kind = 'column' AND ($4 OR s.name = ANY ($3)))
  AND NOT (s.name IS NULL AND l.kind = 'foreign key')
ORDER BY 1)";

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) {
  return check.boolean("allow_added", false) ? "the columns, constraints and indexes of live, and maybe more columns"
                                             : "the columns, constraints and indexes of live";
}

Measurement measure(const Check &check, const Scene &scene) {
  Measurement out;
  bool const any = check.boolean("allow_added", false);
  if (scene.trial) return out;
  std::vector<std::string> added;
  for (const auto &[column, type] : scene.job.spec.transform.add_columns) added.push_back(column);
  out.sql = differences_sql;
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(differences_sql, {pg::Param::oid(scene.job.live), pg::Param::oid(scene.job.shadow), added, any});
  });
  out.measured = static_cast<double>(found.size());
  out.actual = worded(out.measured, std::nullopt, "difference|differences");
  for (pg::Row const row : found) out.detail += (out.detail.empty() ? "" : "; ") + row.text("difference");
  return out;
}

}  // namespace

extern const CheckKind schema_match_check;
const CheckKind schema_match_check = {.word = "schema_match",
                                      .failing = failing,
                                      .expected = expected,
                                      .measure = measure,
                                      .whole_table = true,
                                      .compares = true,
                                      .against = ""};

}  // namespace backfill
