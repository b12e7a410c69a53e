-- The new version is vacuumed and analyzed before it is ready: the first plans after publish are good, and the first
-- index-only scan reads no heap.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA vacuumed;
SET search_path = vacuumed, public;
CREATE TABLE t (id int PRIMARY KEY, day date NOT NULL, n int);
INSERT INTO t SELECT g, date '2024-01-01' + g % 30, g FROM generate_series(1, 5000) AS g;
CREATE INDEX ON t (day);
ANALYZE t;
SELECT count(*) > 0 AS planned FROM backfill_plan('vacuumed', 't', set => '{"n": "n * 2"}', chunk_column => 'day',
  start => '2024-01-01', stop => '2024-02-01', chunk_by => 'week');
SELECT backfill_run('vacuumed') IS NOT NULL AS started;
CALL backfill_wait('vacuumed', '1 min');
SELECT title ~ '^vacuum and analyze t_backfill_' AS step, status FROM backfill.steps WHERE name = 'vacuumed' AND kind = 'analyze';
SELECT reltuples, pg_stat_get_last_vacuum_time(oid) IS NOT NULL AS vacuumed, pg_stat_get_last_analyze_time(oid) IS NOT NULL AS analyzed
  FROM pg_class WHERE oid = (SELECT shadow::regclass FROM backfill.jobs WHERE name = 'vacuumed');
SELECT backfill_cancel('vacuumed') IS NOT NULL AS cancelled;
DROP SCHEMA vacuumed CASCADE;
