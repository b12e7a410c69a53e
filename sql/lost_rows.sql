-- A row written after the audit for which the transform yields nothing would be lost at publish.  The audit is outdated
-- by it: the job audits again, the check fails, and publish is refused until somebody answers for it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA lost_rows;
SET search_path = lost_rows, public;

CREATE TABLE price (sku text PRIMARY KEY, cents int NOT NULL);
INSERT INTO price SELECT 'sku' || g, g * 10 FROM generate_series(1, 9) AS g;
CREATE TABLE sale (id int PRIMARY KEY, day date NOT NULL, sku text NOT NULL, cents int);
INSERT INTO sale SELECT g, date '2024-01-01' + g % 60, 'sku' || 1 + g % 9 FROM generate_series(1, 600) AS g;
CREATE INDEX ON sale (day);
ANALYZE;

SELECT count(*) > 0 AS planned FROM backfill_plan('lost rows', 'sale', set => '{"cents": "price.cents"}',
  chunk_column => 'day', start => '2024-01-10', stop => '2024-02-10', chunk_by => 'week',
  options => '{"transform": {"join": "JOIN price USING (sku)"}}');
SELECT backfill_run('lost rows') IS NOT NULL AS started;
CALL backfill_wait('lost rows', '1 min');
SELECT "check", outcome FROM backfill.checks WHERE name = 'lost rows' AND "check" = 'row_count_delta';

-- One row with a price and one without: the second has no row in the new version.
INSERT INTO sale VALUES (1001, '2024-01-20', 'sku1'), (1002, '2024-01-20', 'no such sku');
DO $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN EXISTS (SELECT FROM backfill.checks WHERE name = 'lost rows' AND audit = 2 AND "check" = 'row_count_delta')
      AND (SELECT state FROM backfill.jobs WHERE name = 'lost rows') = 'ready';
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT state, pending_keys FROM backfill.jobs WHERE name = 'lost rows';
SELECT "check", outcome, actual FROM backfill.checks WHERE name = 'lost rows' AND audit = 2 AND outcome <> 'pass';
SELECT backfill_publish('lost rows');
SELECT event, detail FROM backfill.events WHERE name = 'lost rows' AND event = 'audit outdated';

-- Nobody's row was touched.
SELECT count(*) FROM sale;
SELECT backfill_cancel('lost rows') IS NOT NULL AS cancelled;
DROP SCHEMA lost_rows CASCADE;
