-- What the old version refuses to hold: the table in service goes on, the job says what is the matter, the log stays small,
-- and once it is put right everything is carried.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA refusing;
SET search_path = refusing, public;
CREATE PROCEDURE await(condition text) LANGUAGE plpgsql AS $$
DECLARE met boolean;
BEGIN
  FOR i IN 1..1200 LOOP
    EXECUTE 'SELECT ' || condition INTO met;
    EXIT WHEN met;
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
  IF NOT met THEN RAISE 'not met: %', condition; END IF;
END $$;
CREATE PROCEDURE refused(statement text) LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text;
BEGIN
  EXECUTE statement;
  RAISE WARNING 'not refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
  RAISE WARNING E'%: %\n  %\n  %', state, regexp_replace(message, '_\d+', '_ID', 'g'), regexp_replace(detail, '_\d+', '_ID', 'g'), regexp_replace(hint, '_\d+', '_ID', 'g');
END $$;
CREATE FUNCTION waiting() RETURNS text LANGUAGE sql AS $$
  SELECT regexp_replace(waiting_for, '_\d+', '_ID', 'g') FROM backfill.jobs WHERE name = 'refuse' $$;

CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, v int, word varchar(5));
INSERT INTO t SELECT i, 'c' || i, i, 'w' || i FROM generate_series(1, 200) i;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: refuse, scope: {table: t}, transform: {set: {code: "'new ' || id", v: v + 1}}, strategy: {chunk_by: blocks}}$$);
SELECT count(*) FROM backfill_run('refuse');
CALL await($$state = 'ready' FROM backfill.jobs WHERE name = 'refuse'$$);
SELECT left(backfill_publish('refuse'), 16);

-- A unique value that the backfill had freed, and the old version has not.
INSERT INTO t VALUES (300, 'c5', 0);
UPDATE t SET v = 0 WHERE id = 6;
CALL refused($$SELECT backfill_rollback('refuse')$$);
CALL await($$waiting() LIKE 'a repair%'$$);
SELECT waiting();
SELECT state, error FROM backfill.jobs WHERE name = 'refuse';
SELECT regexp_replace(problem, '_\d+', '_ID', 'g') AS problem, next_command FROM backfill.way_back WHERE name = 'refuse';
INSERT INTO t VALUES (301, 'free', 0);
DELETE FROM t WHERE id = 300;
BEGIN;
SELECT left(backfill_rollback('refuse'), 17);
SELECT * FROM t WHERE id IN (5, 6, 300, 301) ORDER BY id;
ROLLBACK;

-- Wider types since: values that fit are carried, others refused by name of what is the matter.
ALTER TABLE t ALTER v TYPE bigint, ALTER word TYPE text;
UPDATE t SET v = 7 WHERE id = 7;
UPDATE t SET v = 3000000000 WHERE id = 8;
UPDATE t SET v = 4000000000 WHERE id = 9;
UPDATE t SET word = 'as long as this' WHERE id = 10;
CALL refused($$SELECT backfill_rollback('refuse')$$);
SELECT archive AS old FROM backfill.jobs WHERE name = 'refuse' \gset
ALTER TABLE :old ALTER word TYPE text;
UPDATE t SET v = 0 WHERE id = 9;
CALL refused($$SELECT backfill_rollback('refuse')$$);
BEGIN;
ALTER TABLE :old ALTER v TYPE bigint;
SELECT left(backfill_rollback('refuse'), 17);
SELECT * FROM t WHERE id IN (7, 8, 9, 10, 11) ORDER BY id;
ROLLBACK;
UPDATE t SET v = 8 WHERE id = 8;
SELECT left(backfill_rollback('refuse'), 17);
SELECT * FROM t WHERE id IN (7, 8, 9, 10, 11) ORDER BY id;
SELECT left(backfill_cancel('refuse'), 16);
RESET search_path;
DROP SCHEMA refusing CASCADE;
