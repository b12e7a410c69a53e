-- A row written a thousand times since publish is one key of the way back: the log of keys carried back grows with the
-- rows written, not with the writes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA carried_keys;
SET search_path = carried_keys, public;
CREATE TABLE hot (id int PRIMARY KEY, day date, n int);
INSERT INTO hot SELECT g, '2024-01-01', 0 FROM generate_series(1, 1000) AS g;
ANALYZE hot;

SELECT count(*) > 0 AS planned FROM backfill_plan('hot', 'hot', set => '{"n": "n"}', chunk_column => 'day',
  start => '2024-01-01', stop => '2024-01-05', chunk_by => 'day');
SELECT backfill_run('hot') IS NOT NULL AS started;
CALL backfill_wait('hot', '1 min');
SELECT backfill_publish('hot') ~ '^published' AS published;

-- 250 000 writes to 1000 rows, drained in batches of 10 000: without compaction 25 000 keys would be left.
DO $$
BEGIN
  FOR i IN 1..250 LOOP
    UPDATE hot SET n = n + 1;
  END LOOP;
END $$;
CREATE FUNCTION carried() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found bigint;
BEGIN
  EXECUTE 'SELECT count(*) FROM backfill.log_' || (SELECT max(id) FROM backfill.jobs WHERE name = 'hot') INTO found;
  RETURN found;
END $$;
DO $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN (SELECT pending_keys FROM backfill.jobs WHERE name = 'hot' AND state = 'published') = 0 AND carried() < 10000;
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT carried() < 10000 AS compact;

-- And the way back carries every write.
SELECT backfill_rollback('hot') ~ '0 rows inserted, 1000 updated, 0 deleted' AS carried;
SELECT count(*), min(n), max(n) FROM hot;
SELECT backfill_cancel('hot') IS NOT NULL AS cancelled;
DROP SCHEMA carried_keys CASCADE;
