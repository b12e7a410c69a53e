-- What a claim costs does not depend on how many steps a job has, or has done.
-- Needs a library built with TESTING=1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA claims;
SET search_path = claims, public;
CREATE FUNCTION claim(job text) RETURNS bigint LANGUAGE c AS '$libdir/backfill', 'steps_claim';
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, i FROM generate_series(1, 10) AS i;
ANALYZE t;
SELECT count(*) > 10 AS planned FROM backfill_plan('claims', 't', set => '{"v": "v + 1"}', chunk_column => 'id', start => '1', stop => '10001', chunk_by => '1');
SELECT id AS job FROM backfill.job WHERE name = 'claims' \gset
UPDATE backfill.step SET status = 'done', started_at = now(), finished_at = now() WHERE job_id = :job AND (chunk IS NULL AND stage < 4 OR chunk <= 6000);
ANALYZE backfill.step;

CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS $$
  SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'backfill.step'::regclass $$;
-- Once to have it planned, then counted.
BEGIN;
SELECT claim('claims') - (SELECT id FROM backfill.step WHERE job_id = :job AND chunk = 6001) AS the_next;
SELECT rows_read() AS before \gset
SELECT count(claim('claims')) AS claims FROM generate_series(1, 10);
SELECT (rows_read() - :before) / 10 < 20 AS few_rows_each;
SELECT min(chunk), max(chunk), count(*) FROM backfill.step WHERE job_id = :job AND status = 'running';
ROLLBACK;

SELECT backfill_cancel('claims') IS NOT NULL AS cancelled;
DROP SCHEMA claims CASCADE;
