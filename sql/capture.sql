-- Capture and drain, one session: keys of every kind leave the log as they went in, what the log cannot hold is not
-- lost, and triggers that somebody has touched are noticed.  Races are in test/isolation.  Needs a library built with
-- TESTING=1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE EXTENSION IF NOT EXISTS backfill_steps;
\set VERBOSITY terse

CREATE SCHEMA capture;
SET search_path = capture, public;
CREATE COLLATION capture.insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN capture.positive AS int CHECK (VALUE > 0);
CREATE TYPE capture.mood AS ENUM ('sad', 'so, so', 'happy "mostly"');

-- A job on capture.subject, the whole of it one chunk of blocks: payload is to be upper(payload).
CREATE PROCEDURE begin_job(key name[]) LANGUAGE plpgsql AS $$
DECLARE
  v_job int;
BEGIN
  ALTER TABLE capture.subject ADD COLUMN part int DEFAULT 1;
  INSERT INTO backfill.job (name, state, strategy, spec, planned_by, target_schema, target_name, live, home, owner,
      owner_name, shadow_name, archive_name, search_path, chunk_column, chunk_type, start, stop, time_zone, key_columns,
      fingerprint, parallelism, retention, started_at, running_since)
    SELECT 'subject', 'running', 'swap', '{"name": "subject", "scope": {"table": "subject", "column": "part", "start": 0, "stop": 2},
                                               "transform": {"set": {"payload": "upper(payload)"}}}',
        current_user, 'capture', 'subject', 'capture.subject'::regclass,
        (SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d WHERE datname = current_database()),
        current_user::regrole, current_user, 'subject_shadow', 'subject_archive', 'capture, public', 'part', 'int'::regtype, '0', '2', 'UTC', key, '', 1,
        '1 day', now(), now()
    RETURNING id INTO v_job;
  INSERT INTO backfill.step (job_id, id, stage, phase, kind, title, chunk, lo, params)
    VALUES (v_job, 1, 4, 'copy', 'blocks', 'chunk 1', 1, '0', '{"whole": true}');
  PERFORM backfill_test.shadow('subject');
  PERFORM backfill_test.capture('subject');
  PERFORM backfill_test.copy('subject', 1);
  PERFORM backfill_test.purge('subject');
  PERFORM backfill_test.build('subject');
END $$;

CREATE PROCEDURE end_job() LANGUAGE plpgsql AS $$
BEGIN
  DROP TABLE IF EXISTS capture.subject, capture.subject_shadow;
  EXECUTE format('DROP TABLE IF EXISTS backfill.log_%s', (SELECT max(id) FROM backfill.job WHERE name = 'subject'));
  DELETE FROM backfill.job WHERE name = 'subject';
END $$;

-- Changes every row, moves every key that can be moved, drains two log rows at a time.
CREATE PROCEDURE write_and_drain() LANGUAGE plpgsql AS $$
DECLARE
  v_drained text;
BEGIN
  UPDATE capture.subject SET payload = payload || ' again';
  DELETE FROM capture.subject WHERE payload LIKE 'gone%';
  LOOP
    v_drained := backfill_test.drain('subject', 2);
    EXIT WHEN v_drained LIKE '0 taken%';
  END LOOP;
END $$;

-- Keys of every type, together.
CREATE TABLE subject (
  a numeric, b float8, c text, d timestamptz, e bytea, f uuid, g date, h positive, i mood, j varchar(10), k char(5),
  l interval, m int[], n bool, o "char", p inet, q jsonb, payload text,
  PRIMARY KEY (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q));
INSERT INTO subject VALUES
  ('1.00', 0.1, E'it''s "q\\uoted", {,} \n', '2024-03-31 02:30:00.123456+01', '\x00ff5c', '00000000-0000-0000-0000-00000000000a',
   '2024-02-29', 1, 'happy "mostly"', 'NULL', 'ab', '1 mon -2 days 03:04:05.6', '{1,NULL,3}', true, 'x', '10.0.0.1/8', '{"a": [1, "b"]}', 'one'),
  ('-1e-20', 'NaN', '', 'infinity', '', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '-infinity', 2147483647, 'so, so', '', '',
   '0', '{}', false, '"', '::1', 'null', 'two'),
  ('NaN', '-Infinity', ' NULL ', '0044-03-15 12:00:00 BC', '\x27', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '0044-03-15 BC', 7, 'sad', '  ', 'abcde',
   '-178000000 years', '{{1,2},{3,4}}', true, '', '192.168.0.0/16', '"\u00e9"', 'gone one'),
  ('123456789012345678901234567890.12345', 1.7976931348623157e308, 'é', '1850-01-01 00:00:00+00', '\xdeadbeef',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', '5874897-12-31', 8, 'sad', 'x', 'y', '1 microsecond', '{5}', false, 'a', '0.0.0.0', '[]', 'three');
CALL begin_job('{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}');
SET TimeZone = 'Europe/Amsterdam';
SET DateStyle = 'German';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
CALL write_and_drain();
SELECT * FROM backfill_test.compare('subject');
UPDATE subject SET a = a + 1, b = b / 3, c = c || 'x', h = CASE h WHEN 1 THEN 3 ELSE 4 END, g = '2000-01-01';
CALL write_and_drain();
SELECT * FROM backfill_test.compare('subject');
RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
CALL end_job();

-- Equal is what the key's index holds equal.
CREATE TABLE subject (name text COLLATE insensitive, n numeric, payload text, PRIMARY KEY (name, n));
INSERT INTO subject VALUES ('Anna', 1.0, 'a'), ('Bert', 2, 'b'), ('Carl', 3, 'gone c');
CALL begin_job('{name,n}');
UPDATE subject SET name = 'ANNA', n = 1.00 WHERE name = 'anna';
DELETE FROM subject WHERE name = 'bert';
INSERT INTO subject VALUES ('BERT', 2.000, 'b again');
CALL write_and_drain();
SELECT * FROM backfill_test.compare('subject');
SELECT name, n, payload FROM subject_shadow ORDER BY name;
CALL end_job();

-- A key wide enough to be compressed, and one stored out of line.
CREATE TABLE subject (id text PRIMARY KEY, payload text);
ALTER TABLE subject ALTER id SET STORAGE EXTERNAL;
INSERT INTO subject VALUES (repeat('k', 2500), 'wide'), (repeat('l', 2600), 'gone wide'), ('short', repeat('p', 100000));
CALL begin_job('{id}');
UPDATE subject SET id = overlay(id PLACING 'z' FROM 1000) WHERE id LIKE 'k%';
CALL write_and_drain();
SELECT * FROM backfill_test.compare('subject');
CALL end_job();

-- What the log cannot hold any more makes the drain start over: slow, never wrong.
CREATE TABLE subject (id int PRIMARY KEY, payload text);
INSERT INTO subject VALUES (1, 'a'), (2, 'b');
CALL begin_job('{id}');
ALTER TABLE subject ALTER id TYPE bigint;
UPDATE subject SET payload = 'c' WHERE id = 1;
SELECT backfill_test.drain('subject');
SELECT count(*) FROM subject_shadow;
CALL end_job();

-- Triggers that somebody has touched.
CREATE TABLE subject (id int PRIMARY KEY, payload text);
CALL begin_job('{id}');
SELECT max(id) AS job FROM backfill.job WHERE name = 'subject' \gset
SELECT tgname = 'backfill_capture_' || :job AS rows, tgenabled, pg_get_triggerdef(oid) LIKE '%AFTER INSERT OR DELETE OR UPDATE%' AS fires
  FROM pg_trigger WHERE tgrelid = 'subject'::regclass ORDER BY 1 DESC;
SELECT backfill_test.capture_intact('subject');
ALTER TABLE subject DISABLE TRIGGER USER;
SELECT backfill_test.capture_intact('subject');
ALTER TABLE subject ENABLE TRIGGER USER;
SELECT backfill_test.capture_intact('subject');
-- As it was; but nobody knows what was written meanwhile.
DO $$ DECLARE v_name name; BEGIN
  FOR v_name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'subject'::regclass LOOP
    EXECUTE format('ALTER TABLE subject ENABLE ALWAYS TRIGGER %I', v_name);
  END LOOP;
END $$;
SELECT backfill_test.capture_intact('subject');
DO $$ BEGIN
  EXECUTE (SELECT format('DROP TRIGGER %I ON subject', tgname) FROM pg_trigger WHERE tgrelid = 'subject'::regclass AND tgname LIKE '%truncate%');
END $$;
SELECT backfill_test.capture_intact('subject');

-- A writer needs no privilege on the log, and has none.
CREATE ROLE capture_writer;
GRANT USAGE ON SCHEMA capture TO capture_writer;
GRANT INSERT, SELECT ON subject TO capture_writer;
SET ROLE capture_writer;
INSERT INTO subject VALUES (1, 'by somebody else');
SELECT has_table_privilege(format('backfill.log_%s', :job), 'SELECT') AS may_read,
       has_function_privilege('backfill.capture()', 'EXECUTE') AS may_install;
RESET ROLE;
SELECT backfill_test.pending('subject');

-- In a restored dump the OID leads nowhere, or to another table: nothing happens.
DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE backfill.log_%s RENAME TO log_0', id) FROM backfill.job WHERE name = 'subject'); END $$;
INSERT INTO subject VALUES (2, 'not logged');
SELECT count(*) FROM backfill.log_0;
DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE backfill.log_0 RENAME TO log_%s', id) FROM backfill.job WHERE name = 'subject'); END $$;
INSERT INTO subject VALUES (3, 'logged');
SELECT backfill_test.pending('subject');
SELECT backfill.capture();
CALL end_job();

SET search_path = public;
DROP SCHEMA capture CASCADE;
DROP ROLE capture_writer;
DROP EXTENSION backfill_steps;
DROP SCHEMA IF EXISTS backfill_test;
