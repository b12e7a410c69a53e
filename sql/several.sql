-- Several backfills are published in one transaction, all or none; retention ends by itself.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA several;
SET search_path = several, public;
CREATE TABLE head (id int PRIMARY KEY, day date NOT NULL, total int);
CREATE TABLE line (id int PRIMARY KEY, day date NOT NULL, amount int);
INSERT INTO head SELECT g, date '2024-01-01' + g % 30, 0 FROM generate_series(1, 300) AS g;
INSERT INTO line SELECT g, date '2024-01-01' + g % 30, g FROM generate_series(1, 300) AS g;
CREATE INDEX ON head (day);
CREATE INDEX ON line (day);
CREATE VIEW whole AS SELECT id, total, amount FROM head JOIN line USING (id);
ANALYZE;

SELECT count(*) > 0 AS planned FROM backfill_plan('heads', 'head', set => '{"total": "id * 2"}', chunk_column => 'day',
  start => '2024-01-01', stop => '2024-02-01', chunk_by => 'week');
SELECT count(*) > 0 AS planned FROM backfill_plan('lines', 'line', set => '{"amount": "amount * 2"}', chunk_column => 'day',
  start => '2024-01-01', stop => '2024-02-01', chunk_by => 'week');
SELECT backfill_run('heads') IS NOT NULL AND backfill_run('lines') IS NOT NULL AS started;
CALL backfill_wait('heads', '1 min');
CALL backfill_wait('lines', '1 min');

-- Undone with the caller's transaction.
BEGIN;
SELECT backfill_publish('heads', 'lines') ~ '^published heads, lines' AS published;
SELECT count(*) AS right_in_between FROM whole WHERE total = id * 2 AND amount = id * 2;
ROLLBACK;
SELECT count(*) AS untouched FROM whole WHERE total = 0 AND amount = id;
SELECT name, state FROM backfill.jobs WHERE name IN ('heads', 'lines') ORDER BY name;

-- One that cannot be published keeps the other from it.
SELECT backfill_publish('heads', 'no such job');
SELECT backfill_pause('lines');
SELECT name, state FROM backfill.jobs WHERE name IN ('heads', 'lines') ORDER BY name;

-- Both.
SELECT backfill_publish('heads', 'lines') ~ '^published heads, lines' AS published;
SELECT count(*) AS right_after FROM whole WHERE total = id * 2 AND amount = id * 2;

-- The end of a retention: the coordinator drops the archive.
SELECT backfill_alter('heads', retention => '0') IS NOT NULL AS altered;
DO $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN (SELECT state FROM backfill.jobs WHERE name = 'heads') = 'finished';
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT name, state, archive FROM backfill.jobs WHERE name = 'heads';
SELECT relname FROM pg_class WHERE relnamespace = 'several'::regnamespace AND relkind = 'r' AND relname !~ '^line_archive_'
 ORDER BY relname;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'head'::regclass;
SELECT backfill_finish('lines') ~ '^finished' AS finished;
-- Nothing is left to look after.
SELECT backfill_maintain();
DROP SCHEMA several CASCADE;
