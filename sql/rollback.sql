-- What stands in the way of a publish or a rollback, each by name; what cannot be carried back is told before.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA undoing;
SET search_path = undoing, public;
CREATE TABLE parent (code int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE TABLE t (id int PRIMARY KEY, code int, v int);
INSERT INTO t SELECT i, 1, i FROM generate_series(1, 100) i;

SELECT count(*) > 0 AS planned FROM backfill_plan($$
  name: undo
  scope: {table: t}
  transform: {add_columns: {tier: text}, set: {tier: "CASE WHEN v > 50 THEN 'gold' ELSE 'basic' END", v: v + 1000}}
  strategy: {chunk_by: blocks}
  checks: [{check: accepted_range, column: v, max: 1099}]
  publish: {lock_timeout: 100ms, give_up_after: 10s}$$);
-- Too early.
SELECT backfill_publish();
SELECT backfill_publish('undo');
SELECT backfill_rollback('undo');
SELECT count(*) FROM backfill_run('undo');
SET client_min_messages = error;
CALL backfill_wait('undo', '60 s');
SET client_min_messages = warning;

-- A check that failed; waived, it is an audit's.
SELECT backfill_publish('undo');
SELECT count(*) FROM backfill_waive('undo', (SELECT "check" FROM backfill.checks WHERE name = 'undo' AND latest AND outcome = 'fail'), 'known');

-- Not this transaction.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT backfill_publish('undo');
ROLLBACK;

-- The table changed; what depends on it changed; the name is taken.
ALTER TABLE t ADD COLUMN late int;
SELECT backfill_publish('undo');
ALTER TABLE t DROP COLUMN late;
CREATE INDEX fresh ON t (v);
SELECT backfill_publish('undo');
DROP INDEX fresh;
SELECT id AS job, archive_name FROM backfill.job WHERE name = 'undo' \gset
CREATE TABLE :"archive_name" (i int);
\set VERBOSITY sqlstate
SELECT backfill_publish('undo');
\set VERBOSITY default
DROP TABLE :"archive_name";
SELECT state FROM backfill.jobs WHERE id = :job;

-- In one transaction with other work, undone by it as well.
BEGIN;
SELECT left(backfill_publish('undo'), 14);
SELECT tier FROM t WHERE id = 60;
ROLLBACK;
SELECT state FROM backfill.jobs WHERE id = :job;
SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped;

SELECT left(backfill_publish('undo'), 14);
INSERT INTO t VALUES (101, 2, 5, 'silver');
UPDATE t SET code = 2 WHERE id = 7;
UPDATE t SET v = 8 WHERE id = 8;
DELETE FROM t WHERE id = 9;
UPDATE t SET id = 200 WHERE id = 10;
-- A dependent made since that nobody knows to move.
CREATE TABLE refers (t t);
SELECT backfill_rollback('undo');
DROP TABLE refers;
SELECT left(backfill_rollback('undo', '{tier}'), 16);
SELECT * FROM t WHERE id IN (6, 7, 8, 9, 10, 101, 200) ORDER BY id;
SELECT split_part(detail, '; ', 2) FROM backfill.events WHERE id = :job AND event = 'rolled back';
SELECT state, shadow IS NOT NULL AS shadow, archive IS NULL AS no_archive FROM backfill.job WHERE id = :job;
SELECT backfill_rollback('undo') LIKE 'nothing to undo%' AS nothing_to_undo;

-- Published again with everything written before and since.
UPDATE t SET v = 60 WHERE id = 60;
SELECT left(backfill_publish('undo'), 14);
SELECT * FROM t WHERE id IN (6, 7, 8, 9, 10, 60, 101, 200) ORDER BY id;
\set VERBOSITY terse
SELECT backfill_rollback('undo') LIKE 'rolled back%' AS rolled_back;

-- A TRUNCATE met by the publish: nothing is swapped, and the job runs again.
BEGIN;
TRUNCATE t;
INSERT INTO t VALUES (1, 1, 1);
SELECT backfill_publish('undo');
COMMIT;
SELECT state FROM backfill.job WHERE id = :job;
SET client_min_messages = error;
CALL backfill_wait('undo', '60 s');
SELECT left(backfill_publish('undo'), 14);
SELECT * FROM t;
SELECT left(backfill_finish('undo'), 13);

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA undoing CASCADE;
