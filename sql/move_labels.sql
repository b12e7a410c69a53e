-- Security labels of a table, its columns, its row type and its identity sequence come with it.  Needs a library built with
-- TESTING=1, which has a provider of labels.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA "Läbel ""it""";
SET search_path = "Läbel ""it""", public;
CREATE FUNCTION label_provider(name text) RETURNS void LANGUAGE c AS '$libdir/backfill';
SELECT label_provider('Prövider "1"'), label_provider('two');

CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Bétrag ""x""" int, gone int, note text);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t ("Bétrag ""x""") SELECT i FROM generate_series(1, 100) i;
SECURITY LABEL FOR "Prövider ""1""" ON TABLE t IS 'it''s a table';
SECURITY LABEL FOR two ON TABLE t IS 'Ünï';
SECURITY LABEL FOR two ON COLUMN t."Bétrag ""x""" IS 'MASKED \ secret';
SECURITY LABEL FOR two ON COLUMN t.note IS 'noted';
SECURITY LABEL FOR two ON TYPE t IS 'the row';
SECURITY LABEL FOR two ON SEQUENCE t_id_seq IS 'the ids';

CREATE FUNCTION labels_of(regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT concat_ws(' ', 'table', attname, provider, label) FROM pg_seclabel LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0
   WHERE classoid = 'pg_class'::regclass AND objoid = $1
  UNION ALL SELECT concat_ws(' ', 'type', provider, label) FROM pg_seclabel JOIN pg_class c ON c.oid = $1 AND c.reltype = objoid
   WHERE classoid = 'pg_type'::regclass
  UNION ALL SELECT concat_ws(' ', 'sequence', provider, label) FROM pg_seclabel
   WHERE classoid = 'pg_class'::regclass AND objoid = pg_get_serial_sequence($1::text, 'id')::regclass $$;
CREATE TABLE before AS SELECT line FROM labels_of('t') AS line;
CREATE VIEW changed AS
  SELECT 'gone' AS what, line FROM (SELECT line FROM before EXCEPT ALL SELECT line FROM labels_of('t') AS line) AS x
  UNION ALL SELECT 'new', line FROM (SELECT line FROM labels_of('t') AS line EXCEPT ALL SELECT line FROM before) AS x;
SELECT count(*) FROM before;
CREATE FUNCTION told(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN QUERY SELECT line FROM unnest(ARRAY[SQLSTATE, SQLERRM, detail, hint]) AS line;
END $$;

SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: label, scope: {table: t}, transform: {add_columns: {tier: text}, set: {note: "'x' || id", tier: "'gold'"}},
   strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, object, detail FROM backfill.dependents WHERE name = 'label' AND kind = 'security label' ORDER BY object COLLATE "C", detail COLLATE "C";
SELECT count(*) FROM backfill_run('label');
SET client_min_messages = error;
CALL backfill_wait('label', '60 s');
SELECT left(backfill_publish('label'), 15);
SELECT * FROM changed;
SELECT left(backfill_rollback('label'), 17);
SELECT * FROM changed;
SELECT left(backfill_publish('label'), 15);
-- Given, changed and taken away since; one is of a column that the old version does not have.
SECURITY LABEL FOR two ON TABLE t IS 'other';
SECURITY LABEL FOR two ON COLUMN t.note IS NULL;
SECURITY LABEL FOR two ON COLUMN t.id IS 'key';
SECURITY LABEL FOR two ON TYPE t IS NULL;
TRUNCATE before;
INSERT INTO before SELECT line FROM labels_of('t') AS line;
SECURITY LABEL FOR two ON COLUMN t.tier IS 'new';
SELECT left(backfill_rollback('label'), 17);
SELECT * FROM changed;
SELECT left(backfill_publish('label'), 15);
SELECT * FROM changed;
SELECT left(backfill_finish('label'), 14);
SELECT * FROM changed;

-- In a session that does not know the provider: no plan, and no publish; a way back where all labels are there already.
SELECT count(*) > 0 AS planned FROM backfill_plan('{name: label, scope: {table: t}, transform: {set: {note: id}}, strategy: {chunk_by: blocks}}');
SELECT count(*) FROM backfill_run('label');
CALL backfill_wait('label', '60 s');
SELECT left(backfill_publish('label'), 15), left(backfill_rollback('label'), 17);
\c -
SET client_min_messages = error;
SET search_path = "Läbel ""it""", public;
SELECT left(backfill_publish('label'), 15), left(backfill_rollback('label'), 17);
SELECT label_provider('two');
SECURITY LABEL FOR two ON COLUMN t.id IS 'another';
\c -
SET client_min_messages = error;
SET search_path = "Läbel ""it""", public;
SELECT told($$SELECT backfill_publish('label')$$);
SELECT left(backfill_cancel('label'), 15);
SELECT told($$SELECT backfill_plan('{name: label, scope: {table: t}, transform: {set: {note: id}}, strategy: {chunk_by: blocks}}')$$);

RESET search_path;
DROP SCHEMA "Läbel ""it""" CASCADE;
