-- Cancelling at any stage leaves the catalog as it was, and only the ledger tells of the job.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA cancelling;
SET search_path = cancelling, public;

CREATE TABLE parent (code int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(0, 9);
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, code int REFERENCES parent, v int, w text);
CREATE INDEX ON t (w);
CREATE STATISTICS st ON code, v FROM t;
CREATE VIEW seen AS SELECT id, v FROM t;
INSERT INTO t (code, v) SELECT i % 10, i FROM generate_series(1, 100) i;

-- Everything there is, by name; the catalog's own rows for it, by number.
CREATE VIEW everything AS
  SELECT 'relation' AS kind, format('%s.%s %s', relnamespace::regnamespace, relname, relkind) AS object FROM pg_class
   WHERE relnamespace IN ('cancelling'::regnamespace, 'backfill'::regnamespace, 'pg_toast'::regnamespace)
  UNION ALL SELECT 'trigger', format('%s %s %s', tgrelid::regclass, tgfoid::regproc, tgenabled) FROM pg_trigger
  UNION ALL SELECT 'statistics', stxname FROM pg_statistic_ext
  UNION ALL SELECT 'constraint', format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
  UNION ALL SELECT 'type', typname FROM pg_type
  UNION ALL SELECT 'dependency', count(*)::text FROM pg_depend
  UNION ALL SELECT 'shared dependency', count(*)::text FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT 'default', count(*)::text FROM pg_attrdef
  UNION ALL SELECT 'description', count(*)::text FROM pg_description;
CREATE TABLE before (kind text, object text);
INSERT INTO before SELECT * FROM everything;
CREATE VIEW left_behind AS
  (SELECT 'new' AS what, * FROM (SELECT * FROM everything EXCEPT ALL SELECT * FROM before) AS x)
  UNION ALL (SELECT 'gone', * FROM (SELECT * FROM before EXCEPT ALL SELECT * FROM everything) AS x) ORDER BY 1, 2, 3;

CREATE PROCEDURE plan(expression text, parallel int DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_plan(jsonb_build_object('name', 'c', 'scope', jsonb_build_object('table', 'cancelling.t'),
    'transform', jsonb_build_object('set', jsonb_build_object('w', expression)),
    'strategy', jsonb_build_object('chunk_by', 'blocks', 'parallelism', parallel, 'retries', 0), 'publish', jsonb_build_object('give_up_after', '20s'))::text);
END $$;
CREATE FUNCTION cancel() RETURNS text LANGUAGE sql AS $$ SELECT left(backfill_cancel('c'), 11) $$;
CREATE PROCEDURE await(condition text) LANGUAGE plpgsql AS $$
DECLARE
  met boolean;
  deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
  LOOP
    EXECUTE 'SELECT ' || condition INTO met;
    EXIT WHEN met;
    IF clock_timestamp() > deadline THEN RAISE 'waited in vain for %', condition; END IF;
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END $$;
TRUNCATE before;
INSERT INTO before SELECT * FROM everything;
SELECT * FROM left_behind;

-- Planned.
CALL plan('v::text');
SELECT cancel();
SELECT * FROM left_behind;

-- In the middle of the copy: the transform waits for a lock of this session.
CREATE FUNCTION slow(v int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(4711);
  RETURN v::text;
END $$;
TRUNCATE before;
INSERT INTO before SELECT * FROM everything;
SELECT pg_advisory_lock(4711);
CALL plan('cancelling.slow(v)', 2);
SELECT count(*) FROM backfill_run('c');
CALL await($$EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted)$$);
SELECT count(*) > 0 AS something_is_there FROM left_behind;
SELECT cancel();
SELECT pg_advisory_unlock(4711);
SELECT * FROM left_behind;

-- Failed.
CALL plan('(100 / (v - 50))::text');
SELECT count(*) FROM backfill_run('c');
CALL await($$(SELECT state = 'failed' FROM backfill.jobs WHERE name = 'c' ORDER BY id DESC LIMIT 1)$$);
-- Once the table has changed, running again does not help, and the failure says so.
ALTER TABLE t ADD CONSTRAINT late CHECK (v > 0);
SELECT count(*) FROM backfill_run('c');
CALL await($$(SELECT state = 'failed' FROM backfill.jobs WHERE name = 'c' ORDER BY id DESC LIMIT 1)$$);
SELECT error, error_detail, error_hint FROM backfill.steps
 WHERE name = 'c' AND status = 'failed' AND id = (SELECT max(id) FROM backfill.jobs);
ALTER TABLE t DROP CONSTRAINT late;
SELECT cancel();
SELECT * FROM left_behind;

-- Ready, and somebody has dropped the new version.
CALL plan('v::text');
SELECT count(*) FROM backfill_run('c');
SET client_min_messages = error;
CALL backfill_wait('c', '60 s');
DO $$ BEGIN EXECUTE (SELECT 'DROP TABLE ' || shadow FROM backfill.jobs ORDER BY id DESC LIMIT 1); END $$;
\set VERBOSITY sqlstate
SELECT backfill_diff('c');
SELECT backfill_publish('c');
\set VERBOSITY default
UPDATE t SET v = v WHERE id = 1;
CALL await($$(SELECT state = 'failed' FROM backfill.jobs WHERE name = 'c' ORDER BY id DESC LIMIT 1)$$);
SELECT sqlstate, error_hint FROM backfill.jobs JOIN backfill.job USING (id) WHERE id = (SELECT max(id) FROM backfill.jobs);
SELECT cancel();
SELECT * FROM left_behind;
SET client_min_messages = warning;

-- Ready, with captured writes.
CALL plan('v::text');
SELECT count(*) FROM backfill_run('c');
SET client_min_messages = error;
CALL backfill_wait('c', '60 s');
INSERT INTO t (code, v) VALUES (1, 1);
SELECT cancel();
SELECT * FROM left_behind;

-- Published: no, the way is back; then yes.
CALL plan('v::text');
SELECT count(*) FROM backfill_run('c');
CALL backfill_wait('c', '60 s');
SELECT left(backfill_publish('c'), 11);
SELECT backfill_cancel('c');
SELECT left(backfill_rollback('c'), 13);
SELECT cancel();
SELECT * FROM left_behind;
SELECT backfill_cancel('c');
SELECT backfill_rollback('c');

-- What is in service goes on.
INSERT INTO t (code, v) VALUES (1, 1) RETURNING id, s;
SELECT count(*), count(w) FROM t;

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA cancelling CASCADE;
