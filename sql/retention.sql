-- The archive: nobody writes to it, it goes when its time has come, and its going breaks nothing.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA keeping;
SET search_path = keeping, public;
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
DECLARE message text; hint text; state text;
BEGIN
  EXECUTE statement;
  RAISE WARNING 'not refused: %', statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
  RAISE WARNING E'%: %\n  %', state, regexp_replace(message, '_\d+', '_ID', 'g'), regexp_replace(hint, '_\d+', '_ID', 'g');
END $$;
-- A table with all that could hang on the version that is dropped.
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number serial, day date, v int DEFAULT 7, word text);
CREATE SEQUENCE other OWNED BY t.v;
ALTER TABLE t ALTER v SET DEFAULT nextval('other');
CREATE STATISTICS both_columns ON day, v FROM t;
CREATE VIEW v AS SELECT id, number, v FROM t;
CREATE INDEX by_day ON t (day);
COMMENT ON TABLE t IS 'the table';
COMMENT ON COLUMN t.word IS 'the column';
INSERT INTO t (day, word) SELECT date '2024-01-01' + i % 10, 'w' || i FROM generate_series(1, 100) i;
CREATE PROCEDURE publish(job text, retention text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_plan(format('{name: %s, scope: {table: t}, transform: {set: {word: "word || ''!''"}}, strategy: {chunk_by: blocks}, retention: %s}', job, retention));
  PERFORM backfill_run(job);
  CALL await(format('state = ''ready'' FROM backfill.jobs WHERE name = %L', job));
  PERFORM backfill_publish(job);
END $$;

CALL publish('keep', '14 days');
SELECT archive AS old, archive_until BETWEEN now() + interval '13 days 23 h' AND now() + interval '14 days 1 h' AS two_weeks FROM backfill.jobs WHERE name = 'keep' \gset
SELECT :'two_weeks' AS two_weeks;
-- Whatever writes to it, and whoever.
CALL refused('INSERT INTO ' || :'old' || ' (word) VALUES (1)');
CALL refused('UPDATE ' || :'old' || ' SET v = 0');
CALL refused('DELETE FROM ' || :'old');
CALL refused('TRUNCATE ' || :'old');
CALL refused('TRUNCATE ' || :'old' || ' CASCADE');
CALL refused('MERGE INTO ' || :'old' || ' AS a USING t ON a.id = t.id WHEN MATCHED THEN UPDATE SET v = 1');
SET session_replication_role = replica;
CALL refused('DELETE FROM ' || :'old');
CALL refused('TRUNCATE ' || :'old');
RESET session_replication_role;
\set VERBOSITY sqlstate
SELECT format('COPY %s (word) FROM STDIN', :'old') AS copy \gset
:copy;
stray
\.
\set VERBOSITY default
SELECT count(*), sum(v) FROM :old;

-- Renamed by hand, it goes all the same.
ALTER TABLE :old RENAME TO "by hand";
SELECT left(backfill_finish('keep'), 13);
SELECT relname FROM pg_class WHERE relnamespace = 'keeping'::regnamespace AND relkind IN ('r', 'i', 'S', 'v') ORDER BY relname COLLATE "C";
SELECT relname FROM pg_class WHERE relnamespace = 'backfill'::regnamespace AND relname ~ '^(log|reverse)_';
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal;
INSERT INTO t (day, word) VALUES ('2024-02-01', 'after') RETURNING id, number, v;
SELECT count(*), max(number), max(v) FROM v;
SELECT stxname FROM pg_statistic_ext WHERE stxrelid = 't'::regclass;
SELECT obj_description('t'::regclass, 'pg_class'), col_description('t'::regclass, 5);
SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'keeping' ORDER BY sequencename;
SELECT deptype, pg_describe_object(classid, objid, 0) FROM pg_depend WHERE classid = 'pg_class'::regclass AND refobjid = 't'::regclass AND deptype IN ('a', 'i')
  AND objid IN (SELECT oid FROM pg_class WHERE relkind = 'S') ORDER BY 2;

-- Dropped by hand: a rollback says so, finishing works.
CALL publish('gone', '14 days');
SELECT archive AS old FROM backfill.jobs WHERE name = 'gone' \gset
DROP TABLE :old;
UPDATE t SET v = 0 WHERE id = 1;
CALL refused($$SELECT backfill_rollback('gone')$$);
SELECT inserted, updated, deleted, regexp_replace(problem, '_\d+', '_ID') AS problem, next_command FROM backfill.way_back WHERE name = 'gone';
SELECT left(backfill_finish('gone'), 13);
INSERT INTO t (day, word) VALUES ('2024-02-01', 'after') RETURNING id, number, v;

-- The table in service dropped: finishing keeps the only rows left, in a table that takes writes again.
SELECT count(*) > 0 AS planned FROM backfill_plan('{name: lost, scope: {table: t}, transform: {set: {word: "word"}}, strategy: {chunk_by: blocks}}');
SELECT count(*) FROM backfill_run('lost');
CALL await($$state = 'ready' FROM backfill.jobs WHERE name = 'lost'$$);
SELECT left(backfill_publish('lost'), 14);
BEGIN;
DROP TABLE t CASCADE;
CALL refused($$SELECT backfill_rollback('lost')$$);
SELECT regexp_replace(regexp_replace(backfill_finish('lost'), 'in \d+ tr.*ms', 'in N tries'), '_\d+', '_ID');
SELECT archive IS NULL AS forgotten, state FROM backfill.jobs WHERE name = 'lost' ORDER BY id DESC LIMIT 1;
SELECT relname AS kept FROM pg_class WHERE relname ~ '^t_archive_\d+$' \gset
INSERT INTO :kept (id, number, day, word) OVERRIDING SYSTEM VALUE VALUES (100000, 1, '2024-02-01', 'again') RETURNING word;
SELECT regexp_replace(relname, '_\d+', '_ID') AS relname FROM pg_class WHERE relnamespace = 'keeping'::regnamespace AND relkind IN ('r', 'i', 'S', 'v') ORDER BY relname COLLATE "C";
ROLLBACK;

-- The end of the retention, by the coordinator; shortened, it is over at once.
SELECT count(*) FROM backfill_alter('lost', retention => '0');
CALL await($$state = 'finished' FROM backfill.jobs WHERE name = 'lost'$$);
SELECT count(*) FROM pg_class WHERE relname ~ '_archive_\d+';
SELECT event, detail ~ '^The archive was dropped' AS told FROM backfill.events WHERE name = 'lost' AND event = 'finished';
INSERT INTO t (day, word) VALUES ('2024-02-01', 'last') RETURNING id, number, v;
RESET search_path;
DROP SCHEMA keeping CASCADE;
