-- store_failures: rows at fault in a table of the owner's, the statement that shows them, and what becomes of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE backfill_keeper;
CREATE ROLE backfill_other;
CREATE SCHEMA kept;
GRANT USAGE ON SCHEMA kept TO backfill_keeper, backfill_other;
SET search_path = kept, public;
ALTER DEFAULT PRIVILEGES IN SCHEMA kept GRANT SELECT ON TABLES TO backfill_other;

-- The owner may not create tables in the schema.
CREATE TABLE parent (id integer PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 90);
CREATE TABLE "Odd ""name" (id integer PRIMARY KEY, day date NOT NULL, parent integer, v integer, twice integer GENERATED ALWAYS AS (v * 2) STORED);
INSERT INTO "Odd ""name" SELECT i, date '2024-01-01' + (i - 1) / 10, i, CASE WHEN i % 10 > 0 THEN i % 50 END FROM generate_series(1, 100) AS i;
CREATE INDEX ON "Odd ""name" (day);
ANALYZE "Odd ""name";
ALTER TABLE "Odd ""name" OWNER TO backfill_keeper;
GRANT SELECT, REFERENCES ON parent TO backfill_keeper;
GRANT USAGE ON SCHEMA public TO backfill_keeper;

CREATE FUNCTION refusal(checks jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  PERFORM backfill_plan('refused', '"Odd ""name"', set => '{"v": "v"}', chunk_column => 'day', start => '2024-01-01', stop => '2024-01-06', checks => checks);
  RAISE EXCEPTION 'nothing was refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
  RETURN NEXT v_state || ' ' || v_message;
  IF v_detail <> '' THEN RETURN NEXT '  detail: ' || v_detail; END IF;
  IF v_hint <> '' THEN RETURN NEXT '  hint: ' || v_hint; END IF;
END $$;
SELECT refusal('[{"check": "row_count", "min": 1, "store_failures": true}]');
SELECT refusal('[{"check": "schema_match", "store_failures": true}]');
SELECT refusal('[{"check": "not_null", "column": "v", "limit": 5}]');
SELECT refusal('[{"check": "unique", "column": "v", "sample": "5%"}]');
SELECT refusal('[{"check": "not_null", "column": "v", "sample": "0"}]');
SELECT refusal('[{"check": "not_null", "column": "v", "sample": "200%"}]');

SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: kept
scope: {table: '"Odd ""name"', column: day, start: 2024-01-01, stop: 2024-01-06}
transform: {set: {v: v}}
strategy: {chunk_by: day}
checks:
 - {check: not_null, column: v, store_failures: true}
 - {check: accepted_values, column: v, values: [1, 2, 3, 4, 5, 6, 7, 8, 9], store_failures: true, limit: 7}
 - {check: accepted_range, column: v, max: 38, store_failures: true, scope: chunk, severity: warn}
 - {check: expression, sql: "v < 1000 OR v IS NULL", store_failures: true, name: passes}
 - {check: unique, columns: [v], store_failures: true, scope: table}
 - {check: relationships, column: parent, to_table: parent, store_failures: true, scope: table}
 - {check: failed_rows, query: 'SELECT id, v FROM "Odd ""name" WHERE v = 7', store_failures: true, name: "sevens, of all days, with a name that is long enough to be cut"}
 - {check: not_null, column: v, sample: 50%, name: half}
 - {check: not_null, column: v, sample: 1000000, name: all of them}
$spec$);
SELECT backfill_run('kept') IS NOT NULL AS started;
CALL backfill_wait('kept', '2 min');
SELECT "check", chunk, outcome, actual, regexp_replace(detail, '_backfill_\d+', '_backfill_N') AS detail, regexp_replace(next_command, '_backfill_\d+', '_backfill_N') AS next_command
FROM backfill.checks WHERE name = 'kept' AND "check" ~ 'v|passes|parent|sevens|half|all of' AND scope <> 'pre' ORDER BY "check" COLLATE "C", chunk NULLS LAST;
-- The statements work, and show the rows.
SELECT format('SELECT f.* FROM (%s) AS f ORDER BY f.id;', rtrim(next_command, ';')) AS show FROM backfill.checks WHERE name = 'kept' AND "check" = 'not_null(v)' \gset
:show
SELECT format('SELECT f.* FROM (%s) AS f ORDER BY (f."row"->>''id'')::int;', rtrim(next_command, ';')) AS show FROM backfill.checks WHERE name = 'kept' AND "check" ~ '^sevens' \gset
:show
SELECT DISTINCT format('SELECT f.* FROM (%s) AS f ORDER BY f.id;', rtrim(next_command, ';')) AS show FROM backfill.checks WHERE name = 'kept' AND "check" ~ '^accepted_range' \gset
:show
-- They are the owner's, and nobody else's.
SELECT count(*) AS tables, bool_and(tableowner = 'backfill_keeper') AS owned,
       bool_and(NOT has_table_privilege('backfill_other', format('%I.%I', schemaname, tablename), 'SELECT')) AS closed
FROM pg_tables WHERE schemaname = 'kept' AND tablename ~ '_backfill_\d+_';
-- A new audit puts others in their place.
SELECT table_name AS failures FROM backfill.failures WHERE check_name = 'not_null(v)' \gset
UPDATE "Odd ""name" SET v = 1 WHERE id = 10;
SELECT backfill_audit('kept') IS NOT NULL AS begun;
CALL backfill_wait('kept', '2 min');
SELECT actual ~ '^4 rows' AS fewer FROM backfill.checks WHERE name = 'kept' AND "check" = 'not_null(v)' AND latest;
SELECT count(*) FROM :failures;
-- Who has renamed a table keeps it; the others go with the backfill.
ALTER TABLE :failures RENAME TO mine;
SELECT backfill_cancel('kept') IS NOT NULL AS cancelled;
SELECT tablename FROM pg_tables WHERE schemaname = 'kept' ORDER BY 1;
SELECT count(*) FROM backfill.failures;

-- Publishing takes nothing of them along; finish drops them.  The table is in a publication of all.
SET client_min_messages = error;
CREATE PUBLICATION backfill_all FOR ALL TABLES;
SET client_min_messages = warning;
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: finished
scope: {table: '"Odd ""name"', column: day, start: 2024-01-01, stop: 2024-01-06}
transform: {set: {v: v}}
strategy: {chunk_by: day}
publish: {published_shadow: allow}
checks: [{check: not_null, column: v, store_failures: true, severity: warn}]
$spec$);
SELECT backfill_run('finished') IS NOT NULL AS started;
CALL backfill_wait('finished', '2 min');
SELECT backfill_audit('finished') IS NOT NULL AS begun;
CALL backfill_wait('finished', '2 min');
SELECT audit, outcome, actual, next_command IS NOT NULL AS shows FROM backfill.checks WHERE name = 'finished' AND "check" = 'not_null(v)' ORDER BY audit;
SELECT count(*) > 0 AS published FROM backfill_publish('finished');
SELECT count(*) AS tables FROM pg_tables WHERE schemaname = 'kept' AND tablename ~ '_not_null_v$';
SELECT count(*) > 0 AS finished FROM backfill_finish('finished');
SELECT tablename FROM pg_tables WHERE schemaname = 'kept' ORDER BY 1;
DROP PUBLICATION backfill_all;

SET client_min_messages = error;
DROP SCHEMA kept CASCADE;
REVOKE ALL ON SCHEMA public FROM backfill_keeper;
DROP ROLE backfill_keeper, backfill_other;
