-- What writers gave the new version and the old one cannot hold: counted, listed, and given up only when told.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA holding;
SET search_path = holding, public;
CREATE PROCEDURE ready(job text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_run(job);
  COMMIT;
  FOR i IN 1..1200 LOOP
    EXIT WHEN (SELECT state = 'ready' FROM backfill.jobs WHERE name = job);
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END $$;
-- The coordinator drains now, or has not yet: the answers must be the same.
CREATE PROCEDURE drained(job text) LANGUAGE plpgsql AS $$
BEGIN
  COMMIT;
  FOR i IN 1..1200 LOOP
    EXIT WHEN (SELECT pending_keys = 0 FROM backfill.jobs WHERE name = job);
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END $$;
-- What a call says, without what differs from run to run.
CREATE FUNCTION told(line text) RETURNS text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(line, 'in \d+ tr(y|ies): waited \d+ ms for locks, held them \d+ ms', 'in TRIES'), '_\d+', '_ID', 'g') $$;
CREATE PROCEDURE refused(statement text) LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text;
BEGIN
  EXECUTE statement;
  RAISE WARNING 'not refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
  RAISE WARNING E'%: %\n  %\n  %', state, regexp_replace(message, '_\d+', '_ID', 'g'), regexp_replace(detail, '_\d+', '_ID', 'g'), regexp_replace(hint, '_\d+', '_ID', 'g');
END $$;

CREATE TABLE t (id int PRIMARY KEY, code int, v int);
INSERT INTO t SELECT i, i % 7, i FROM generate_series(1, 100) i;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  name: hold
  scope: {table: t}
  transform: {add_columns: {tier: text, "Größe": int}, set: {tier: "'gold'", v: v + 1000}}
  strategy: {chunk_by: blocks}$$);
CALL ready('hold');
SELECT left(backfill_publish('hold'), 14);

-- Nobody wrote to the new columns: undone without a question, and counted by rows, not by writes.
UPDATE t SET code = code + 1 WHERE id <= 5;
UPDATE t SET code = code + 1 WHERE id <= 3;
INSERT INTO t (id, code, v) VALUES (101, 1, 1), (102, 1, 1);
CALL drained('hold');
UPDATE t SET code = 0 WHERE id = 101;
INSERT INTO t (id, code, v) VALUES (103, 1, 1);
DELETE FROM t WHERE id IN (6, 7);
CALL drained('hold');
INSERT INTO t (id, code, v) VALUES (7, 70, 70);
DELETE FROM t WHERE id = 103;
CALL drained('hold');
UPDATE t SET id = 200 WHERE id = 8;
CALL drained('hold');
SELECT name, inserted, updated, deleted, pending_keys, problem IS NULL AS free, next_command FROM backfill.way_back WHERE name = 'hold';
BEGIN;
SET LOCAL client_min_messages = notice;
SELECT told(backfill_rollback('hold'));
SELECT * FROM t WHERE id IN (1, 7, 10, 101, 200) ORDER BY id;
ROLLBACK;
SELECT state FROM backfill.jobs WHERE name = 'hold';

-- Writers gave values; some took them back; backfilled values that moved with a new key are none of theirs.
UPDATE t SET tier = 'silver' WHERE id IN (11, 12, 13, 14);
INSERT INTO t (id, tier) VALUES (111, 'silver'), (112, NULL);
CALL drained('hold');
UPDATE t SET tier = NULL WHERE id = 12;
DELETE FROM t WHERE id = 13;
UPDATE t SET id = 214 WHERE id = 14;
CALL refused($$SELECT backfill_rollback('hold')$$);
CALL drained('hold');
CALL refused($$SELECT backfill_rollback('hold')$$);
SELECT inserted, updated, deleted, problem, next_command FROM backfill.way_back WHERE name = 'hold';
UPDATE t SET "Größe" = 5 WHERE id = 20;
CALL refused($$SELECT backfill_rollback('hold', '{tier}')$$);
CALL refused($$SELECT backfill_rollback('hold', '{tier, code}')$$);
SELECT state, error IS NULL AS well FROM backfill.jobs WHERE name = 'hold';
BEGIN;
SELECT told(backfill_rollback('hold', discard => '{tier, Größe}'));
SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
ROLLBACK;

-- A place made for them on the old version: nothing is given up.
SELECT archive FROM backfill.jobs WHERE name = 'hold' \gset
BEGIN;
ALTER TABLE :archive ADD COLUMN tier text, ADD COLUMN "Größe" int;
SELECT told(backfill_rollback('hold'));
SELECT id, tier, "Größe" FROM t WHERE tier IS NOT NULL OR "Größe" IS NOT NULL ORDER BY id;
ROLLBACK;

-- A column somebody added is not lost in silence, whatever is in it; a constant default is nobody's value.
ALTER TABLE t ADD COLUMN late int NOT NULL DEFAULT 7;
INSERT INTO t (id) VALUES (120);
INSERT INTO t (id, late) VALUES (121, 8);
UPDATE t SET tier = 'gold', "Größe" = NULL WHERE tier = 'silver' OR id = 20;
CALL refused($$SELECT backfill_rollback('hold')$$);
-- What reads such a column could not stay in service.
CREATE VIEW by_tier AS SELECT tier, count(*) FROM t GROUP BY tier;
CALL refused($$SELECT backfill_rollback('hold', '{tier, late}')$$);
DROP VIEW by_tier;
SELECT told(backfill_rollback('hold', '{tier, late}'));
SELECT count(*), sum(v) FROM t;
SELECT told(detail) FROM backfill.events WHERE name = 'hold' AND event = 'rolled back';
-- The new version is in step again, and what was given up is computed anew.
CALL ready('hold');
SELECT left(backfill_publish('hold'), 14);
SELECT count(*), sum(v), count(*) FILTER (WHERE tier = 'gold') AS gold FROM t;
SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;

-- The old version renamed or dropped by hand.
SELECT archive AS old, split_part(archive, '.', 2) AS old_name FROM backfill.jobs WHERE name = 'hold' \gset
ALTER TABLE :old RENAME TO elsewhere;
CALL refused($$SELECT backfill_rollback('hold')$$);
UPDATE t SET v = 0 WHERE id = 3;
CALL drained('hold');
SELECT v FROM elsewhere WHERE id = 3;
ALTER TABLE elsewhere RENAME TO :old_name;
-- Columns of the old version that are gone.
ALTER TABLE t RENAME code TO kode;
UPDATE t SET kode = 99 WHERE id = 1;
CALL refused($$SELECT backfill_rollback('hold')$$);
ALTER TABLE t RENAME kode TO code;
SELECT left(backfill_rollback('hold'), 16);
SELECT id, code FROM t WHERE id = 1;
RESET search_path;
SELECT left(backfill_cancel('hold'), 14);
DROP SCHEMA holding CASCADE;
