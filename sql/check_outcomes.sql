-- Every kind of check passing, warning, failing and unable to run, with the figures that the data have.
-- Needs a library built with TESTING=1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE FUNCTION audit_run_check(name text, "check" text) RETURNS text LANGUAGE c STRICT AS '$libdir/backfill';
CREATE SCHEMA outcomes;
SET search_path = outcomes, public;

-- 10 rows a day, 8 of 10 days in scope, three rows of no day at all.  The transform doubles v (and loses eight), gives every code twice, and
-- leads some rows astray.  The table has changed its shape in its life.
CREATE TABLE parent (id integer PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 5);
CREATE TABLE switch (broken boolean);
INSERT INTO switch VALUES (false);
CREATE FUNCTION doubled(v numeric) RETURNS numeric LANGUAGE sql STABLE SET search_path = outcomes AS
  $$ SELECT v * (2 / (NOT broken)::integer) FROM switch $$;
CREATE TABLE measured (id integer PRIMARY KEY, gone integer, day date, v numeric, code integer, region text, parent integer, seen timestamptz, note text);
INSERT INTO measured SELECT i, i, date '2024-01-01' + (i - 1) / 10, i, i, CASE WHEN i % 2 = 1 THEN 'a' ELSE 'b' END, i % 5 + 1, timestamptz '2024-01-01', repeat('x', i * 100) FROM generate_series(1, 100) AS i;
ALTER TABLE measured DROP COLUMN gone, ADD COLUMN since integer DEFAULT 7, ADD COLUMN late text;
INSERT INTO measured VALUES (101, NULL, 101, 101, 'a', 1), (102, 'infinity', 102, 102, 'b', 1), (103, '-infinity', 103, 103, 'a', 1);
CREATE INDEX ON measured (day);
ANALYZE measured;
SELECT count(*) > 10 AS planned FROM backfill_plan($spec$
name: outcomes
scope: {table: measured, column: day, start: 2024-01-01, stop: 2024-01-10, exclude: [2024-01-09]}
transform:
  set:
    v: CASE WHEN id > 8 THEN outcomes.doubled(v) END
    code: (id + 1) / 2
    region: CASE WHEN id % 10 = 0 THEN 'z' ELSE region END
    parent: CASE WHEN id % 20 = 0 THEN 99 ELSE parent END
strategy: {chunk_by: 2 days, parallelism: 2}
checks:
 - {check: unique, column: id, name: "unique: pass"}
 - {check: unique, column: code, name: "unique: warn", warn_if: "> 10%", error_if: "> 50%"}
 - {check: unique, column: code, name: "unique: fail", max_percent: 38.8}
 - {check: unique, column: code, name: "unique: error", where: "1 / (id - id) = 0"}
 - {check: not_null, column: code, name: "not_null: pass"}
 - {check: not_null, column: v, name: "not_null: warn", severity: warn}
 - {check: not_null, columns: [code, v], name: "not_null: fail"}
 - {check: not_null, column: v, name: "not_null: error", where: "1 / (id - id) = 0"}
 - {check: accepted_values, column: region, values: [a, b, z], name: "accepted_values: pass"}
 - {check: accepted_values, column: region, values: [a, b], name: "accepted_values: warn", warn_if: ">= 10%", error_if: "> 10%"}
 - {check: accepted_values, column: region, values: [a, z], name: "accepted_values: fail"}
 - {check: accepted_values, column: region, values: [a], name: "accepted_values: error", where: "1 / (id - id) = 0"}
 - {check: accepted_range, column: v, min: 18, max: 160, name: "accepted_range: pass"}
 - {check: accepted_range, column: v, min: 20, name: "accepted_range: warn", severity: warn}
 - {check: accepted_range, column: v, min: 18, max: 160, inclusive: false, name: "accepted_range: fail"}
 - {check: accepted_range, column: v, min: 18, name: "accepted_range: error", where: "1 / (id - id) = 0"}
 - {check: relationships, column: parent, to_table: outcomes.parent, name: "relationships: pass", where: "id % 20 > 0"}
 - {check: relationships, column: parent, to_table: outcomes.parent, name: "relationships: warn", severity: warn}
 - {check: relationships, column: parent, to_table: outcomes.parent, name: "relationships: fail", error_if: "> 4%"}
 - {check: relationships, column: parent, to_table: outcomes.parent, name: "relationships: error", where: "1 / (id - id) = 0"}
 - {check: expression, sql: "v = 2 * id OR v IS NULL", name: "expression: pass"}
 - {check: expression, sql: "v = 2 * id", name: "expression: warn", severity: warn}
 - {check: expression, sql: "code = id", name: "expression: fail"}
 - {check: expression, sql: "1 / (id - id) = 0", name: "expression: error"}
 - {check: failed_rows, query: "SELECT FROM measured WHERE v < 18", name: "failed_rows: pass"}
 - {check: failed_rows, query: "SELECT FROM measured WHERE parent = 99", name: "failed_rows: warn", severity: warn}
 - {check: failed_rows, query: "SELECT FROM measured WHERE v IS NULL", name: "failed_rows: fail", error_if: ">= 7.7%"}
 - {check: failed_rows, query: "SELECT FROM measured WHERE 1 / (id - id) = 0", name: "failed_rows: error"}
 - {check: row_count, min: 80, max: 80, name: "row_count: pass"}
 - {check: row_count, max: 79, name: "row_count: warn", severity: warn}
 - {check: row_count, min: 81, name: "row_count: fail"}
 - {check: row_count, min: 80, name: "row_count: error", where: "1 / (id - id) = 0"}
 - {check: row_count_delta, name: "row_count_delta: pass"}
 - {check: row_count_delta, name: "row_count_delta: warn", where: "code <= 20", direction: increase, severity: warn}
 - {check: row_count_delta, name: "row_count_delta: fail", where: "code <= 20"}
 - {check: row_count_delta, name: "row_count_delta: error", where: "1 / (id - id) = 0"}
 - {check: metric_delta, metric: sum, column: v, tolerance: 98%, name: "metric_delta: pass"}
 - {check: metric_delta, metric: sum, column: v, by: region, severity: warn, name: "metric_delta: warn"}
 - {check: metric_delta, metric: sum, column: v, tolerance: 97%, name: "metric_delta: fail"}
 - {check: metric_delta, sql: 1 / (count(*) - count(*)), name: "metric_delta: error"}
 - {check: spot_check, chunks: 4, sql: "count(*), sum(v)", source_query: "SELECT count(*), sum(v * 2) FROM outcomes.measured WHERE id > 8 AND day >= :chunk_start AND day < :chunk_stop", name: "spot_check: pass", where: "id > 8"}
 - {check: spot_check, chunks: 4, sql: sum(v), source_query: "SELECT sum(v * 2) FROM outcomes.measured WHERE day >= :chunk_start AND day < :chunk_stop", severity: warn, name: "spot_check: warn"}
 - {check: spot_check, chunks: 4, metric: sum, column: v, source_query: "SELECT sum(v) FROM outcomes.measured WHERE day >= :chunk_start AND day < :chunk_stop", name: "spot_check: fail"}
 - {check: spot_check, chunks: 4, sql: count(*), source_query: "SELECT 1 / (count(*) - count(*)) FROM outcomes.measured", name: "spot_check: error"}
 - {check: distribution, column: region, error_if: "> 0.3", name: "distribution: pass"}
 - {check: distribution, column: region, warn_if: "> 0.2", name: "distribution: warn"}
 - {check: distribution, column: region, error_if: "> 0.2", name: "distribution: fail"}
 - {check: distribution, column: region, name: "distribution: error", where: "1 / (id - id) = 0"}
 - {check: freshness, column: seen, max_age: 520 weeks, name: "freshness: pass"}
 - {check: freshness, column: seen, max_age: 1 h, severity: warn, name: "freshness: warn"}
 - {check: freshness, column: seen, max_age: 1 day, name: "freshness: fail"}
 - {check: freshness, column: seen, max_age: 1 day, name: "freshness: error", where: "1 / (id - id) = 0"}
 - {check: no_gaps, column: day, name: "no_gaps: pass"}
 - {check: no_gaps, column: parent, severity: warn, name: "no_gaps: warn"}
 - {check: no_gaps, column: day, name: "no_gaps: fail", where: "id <= 30 OR id > 50"}
 - {check: no_gaps, column: day, name: "no_gaps: error", where: "1 / (id - id) = 0"}
 - {check: schema_match, name: schema}
 - {check: schema_match, severity: warn, name: schema warns}
 - {check: shrink_guard, name: shrink}
 - {check: shrink_guard, severity: warn, name: shrink warns}
 - {check: shrink_guard, where: "1 / (id - id) = 0", name: "shrink_guard: error"}
 - {check: exact, name: image}
 - {check: exact, scope: both, name: all images}
 - {check: exact, scope: in, severity: warn, name: image warns}
$spec$);
SELECT backfill_run('outcomes') IS NOT NULL AS started;
CALL backfill_wait('outcomes', '5 min');
SELECT "check", outcome, CASE WHEN actual ~ ' old$' THEN 'so many days old' ELSE actual END AS actual, regexp_replace(detail, '_backfill_\d+', '_backfill_N') AS detail
FROM backfill.checks WHERE name = 'outcomes' AND latest AND chunk IS NULL AND scope <> 'pre' ORDER BY "check" COLLATE "C";
SELECT "check", chunk, actual FROM backfill.checks WHERE name = 'outcomes' AND latest AND chunk IS NOT NULL ORDER BY "check" COLLATE "C", chunk;

-- What is stored alike needs no look at images.
SELECT sql ~ 'stored_sum' AS by_bytes, sql ~ 'image_hash' AS by_image FROM backfill.checks WHERE name = 'outcomes' AND latest AND "check" = 'image';

CREATE TABLE found (kind text, outcome text);
INSERT INTO found SELECT s.params->>'check', c.outcome FROM backfill.checks AS c JOIN backfill.step AS s ON s.kind = 'check' AND s.params->>'name' = c."check"
WHERE c.name = 'outcomes' AND c.latest AND c.chunk IS NULL AND s.job_id = (SELECT id FROM backfill.jobs WHERE name = 'outcomes');

CREATE FUNCTION keep(kept text) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO outcomes.found SELECT split_part(one, ' ', 1), split_part(one, ' ', 2) FROM regexp_split_to_table(kept, ',') AS one $$;

-- What depends on how the new version came about is done to it by hand, and undone.
SELECT format('%I.%I', n.nspname, c.relname) AS new FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'outcomes' AND c.relname ~ '^measured_backfill_\d+$' \gset
CREATE VIEW look AS SELECT kind, audit_run_check('outcomes', name) AS found
FROM (VALUES ('row_count', 'row_count: pass'), ('row_count_delta', 'row_count_delta: pass'), ('no_gaps', 'no_gaps: pass'), ('shrink_guard', 'shrink'), ('shrink_guard', 'shrink warns'),
             ('schema_match', 'schema'), ('schema_match', 'schema warns'), ('exact', 'image'), ('exact', 'all images'), ('exact', 'image warns')) AS checks (kind, name);
BEGIN;  -- a chunk is lost
DELETE FROM :new WHERE day IN ('2024-01-03', '2024-01-04');
CREATE TEMP TABLE looked AS SELECT * FROM look;
SELECT * FROM looked;
SELECT string_agg(kind || ' ' || split_part(found, ':', 1), ',') AS kept FROM looked \gset
ROLLBACK;
SELECT keep(:'kept');
BEGIN;  -- rows out of scope, each for another reason
UPDATE :new SET region = 'x' WHERE id IN (90, 91, 101, 102, 103);
SELECT * FROM look WHERE kind = 'exact';
ROLLBACK;
BEGIN;  -- the same image, stored in other bytes
ALTER TABLE :new ALTER note SET STORAGE EXTERNAL;
UPDATE :new SET note = repeat('x', 9500) WHERE id = 95;
SELECT * FROM look WHERE kind = 'exact';
UPDATE :new SET note = repeat('x', 9501) WHERE id = 95;
SELECT * FROM look WHERE kind = 'exact';
ROLLBACK;
BEGIN;  -- another shape
ALTER TABLE :new DROP COLUMN seen;
CREATE TEMP TABLE looked AS SELECT * FROM look WHERE kind = 'schema_match';
SELECT * FROM looked;
SELECT string_agg(kind || ' ' || split_part(found, ':', 1), ',') AS kept FROM looked \gset
ROLLBACK;
SELECT keep(:'kept');
BEGIN;  -- the transform cannot be evaluated any more
UPDATE switch SET broken = true;
CREATE TEMP TABLE looked AS SELECT * FROM look WHERE kind = 'exact';
SELECT * FROM looked;
SELECT string_agg(kind || ' ' || split_part(found, ':', 1), ',') AS kept FROM looked \gset
ROLLBACK;
SELECT keep(:'kept');
BEGIN;  -- the new version is gone
DROP TABLE :new;
CREATE TEMP TABLE looked AS SELECT * FROM look WHERE kind = 'schema_match';
SELECT kind, regexp_replace(found, '_backfill_\d+', '_backfill_N') AS found FROM looked;
SELECT string_agg(kind || ' ' || split_part(found, ':', 1), ',') AS kept FROM looked \gset
ROLLBACK;
SELECT keep(:'kept');

-- No kind is left out.
SELECT kind, string_agg(DISTINCT outcome, ' ' ORDER BY outcome) AS outcomes FROM found GROUP BY kind ORDER BY kind COLLATE "C";
SELECT backfill_cancel('outcomes') IS NOT NULL AS cancelled;

SET client_min_messages = error;
DROP SCHEMA outcomes CASCADE;
DROP FUNCTION audit_run_check;
