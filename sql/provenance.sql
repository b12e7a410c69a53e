-- Which run and which chunk computed a row: in columns of its own, kept true by drains, and by range in backfill.chunks.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA origin;
SET search_path = origin, public;
CREATE TABLE readings (id int PRIMARY KEY, day date, v int, run int, chunk int, computed_by text);
INSERT INTO readings SELECT g, date '2024-01-01' + g % 90, g, 0, 0, 'by hand' FROM generate_series(1, 900) AS g;
INSERT INTO readings VALUES (0, NULL, 0, 0, 0, 'by hand');
ANALYZE readings;

SELECT count(*) > 0 AS planned FROM backfill_plan($$
name: first
scope: {table: readings, column: day, start: 2024-01-01, stop: 2024-03-01}
transform: {set: {v: v * 10, run: ":run_id", chunk: ":chunk", computed_by: ":backfill"}}
strategy: {chunk_by: month}
checks: [{check: exact, scope: both}]
$$);
SELECT backfill_run('first') IS NOT NULL AS started;
CALL backfill_wait('first', '1 min');
-- Drained rows get the chunk they belong to now: one that moves, one that comes, one that leaves the scope, one that changes.
UPDATE readings SET day = '2024-02-15' WHERE id = 30;
INSERT INTO readings VALUES (1001, '2024-01-07', 1, NULL, NULL, NULL), (1002, '2024-03-07', 2, 0, 0, 'by hand');
UPDATE readings SET day = '2024-03-15' WHERE id = 31;
UPDATE readings SET v = v + 1 WHERE id = 45;
SELECT backfill_audit('first') IS NOT NULL AS audited;
CALL backfill_wait('first', '1 min');
SELECT "check", scope, outcome FROM backfill.checks WHERE name = 'first' AND latest ORDER BY "check" COLLATE "C";
SELECT backfill_publish('first') ~ '^published' AS published;
SELECT id, day, v, run = (SELECT max(id) FROM backfill.jobs WHERE name = 'first') AS ours, chunk, computed_by
  FROM readings WHERE id IN (0, 1, 30, 31, 45, 60, 1001, 1002) ORDER BY id;
SELECT chunk, computed_by, count(*) FROM readings GROUP BY 1, 2 ORDER BY 1, 2;

-- Of a range, from the record alone.
SELECT name, chunk, lo, hi, rows FROM backfill_provenance('readings', '2024-02-15');
SELECT name, chunk, lo, hi FROM backfill_provenance('origin.readings', '2024-03-01');
SELECT backfill_finish('first') ~ '^finished' AS finished;

-- A second run over a part of it: the newer is told first, the older stays in the record.
SELECT count(*) > 0 AS planned FROM backfill_plan($$
name: second
scope: {table: readings, column: day, start: 2024-02-10, stop: 2024-02-20, exclude: [2024-02-12]}
transform: {set: {v: v + 1, run: ":run_id", chunk: ":chunk", computed_by: ":backfill"}}
strategy: {chunk_by: day}
$$);
SELECT name FROM backfill_provenance('readings', '2024-02-15');
SELECT backfill_run('second') IS NOT NULL AS started;
CALL backfill_wait('second', '1 min');
SELECT name FROM backfill_provenance('readings', '2024-02-15');
SELECT backfill_publish('second') ~ '^published' AS published;
SELECT name, chunk, lo, hi FROM backfill_provenance('readings', '2024-02-15');
SELECT name, chunk, lo, hi FROM backfill_provenance('readings', '2024-02-12');
SELECT name, chunk FROM backfill_provenance('readings', '2024-01-15');
SELECT computed_by, count(*) FROM readings GROUP BY 1 ORDER BY 1;
-- A rollback undoes it in the record as in the table.
SELECT backfill_rollback('second') ~ '^rolled back' AS back;
SELECT name FROM backfill_provenance('readings', '2024-02-15');
SELECT backfill_cancel('second') ~ '^cancelled' AS cancelled;
SELECT name FROM backfill_provenance('readings', '2024-02-15');
\set VERBOSITY terse
SELECT * FROM backfill_provenance('readings', 'not a day');
SELECT * FROM backfill_provenance('nowhere', '2024-02-15');

DROP SCHEMA origin CASCADE;
