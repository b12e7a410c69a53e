-- What came or went since the plan moves with the swap where a swap can move it; what would have had to be built is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA late;
SET search_path = late, public;
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, w int);
INSERT INTO t SELECT g, g, g FROM generate_series(1, 100) AS g;
CREATE VIEW early AS SELECT id FROM t;
SELECT count(*) > 0 AS planned FROM backfill_plan('late', 't', set => '{"v": "v + 1000"}',
  options => '{"strategy": {"chunk_by": "blocks"}}');
SELECT count(*) FROM backfill_run('late');
CALL backfill_wait('late', '1 min');
CREATE VIEW dependents AS SELECT kind, object, fate FROM backfill.dependents WHERE name = 'late';
SELECT * FROM dependents ORDER BY kind, object;

-- Built before.
CREATE INDEX newer ON t (w);
SELECT backfill_publish('late');
DROP INDEX newer;
ALTER TABLE t ADD CONSTRAINT positive CHECK (w > 0), ADD CONSTRAINT once UNIQUE (w);
SELECT backfill_publish('late');
ALTER TABLE t DROP CONSTRAINT positive, DROP CONSTRAINT once;
CREATE STATISTICS newer ON v, w FROM t;
SELECT backfill_publish('late');
DROP STATISTICS newer;
-- Never moved.
CREATE TABLE child () INHERITS (t);
SELECT backfill_publish('late');
DROP TABLE child;

-- Moved as it is found.
CREATE VIEW "Late ""view" AS SELECT id, v FROM t;
DROP VIEW early;
BEGIN;
SELECT left(backfill_publish('late'), 14);
SELECT min(v) FROM "Late ""view";
SELECT * FROM dependents ORDER BY kind, object;
SELECT detail FROM backfill.events WHERE name = 'late' AND event = 'dependents changed';
ROLLBACK;
SELECT min(v) FROM "Late ""view";
SELECT count(*) FROM backfill.events WHERE name = 'late' AND event = 'dependents changed';

-- In the caller's transaction: he is told, and his session does not idle with the locks for long.
SET client_min_messages = notice;
BEGIN;
SELECT left(backfill_publish('late'), 14);
SHOW idle_in_transaction_session_timeout;
SHOW deadlock_timeout;
ROLLBACK;
SHOW idle_in_transaction_session_timeout;
BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '7s';
SAVEPOINT before;
SELECT left(backfill_publish('late'), 14);
SHOW idle_in_transaction_session_timeout;
ROLLBACK TO before;
SELECT min(v) FROM "Late ""view";
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 't'::regclass AND mode = 'AccessExclusiveLock';
COMMIT;
-- From a function, in a block that catches.
DO $$
BEGIN
  BEGIN
    PERFORM backfill_publish('late');
    RAISE EXCEPTION 'second thoughts';
  EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE 'undone: %', (SELECT min(v) FROM "Late ""view");
  END;
END $$;
BEGIN READ ONLY;
SELECT backfill_publish('late');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT backfill_publish('late');
ROLLBACK;
SET client_min_messages = warning;

SELECT left(backfill_publish('late'), 14);
SELECT min(v) FROM "Late ""view";
-- And on the way back.
CREATE VIEW later AS SELECT v FROM t;
DROP VIEW "Late ""view";
SELECT left(backfill_rollback('late'), 16);
SELECT min(v) FROM later;
SELECT * FROM dependents ORDER BY kind, object;
SELECT left(backfill_publish('late'), 14);
SELECT min(v) FROM later;
SELECT left(backfill_finish('late'), 13);
SELECT detail FROM backfill.events WHERE name = 'late' AND event = 'dependents changed' ORDER BY at;
DROP SCHEMA late CASCADE;
