-- Metrics of live and of the new version side by side, bucket by bucket, before the run and in every audit.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA metered;
SET search_path = metered, public;

-- Four days of 5 rows, amounts 1 to 20; the backfill doubles day 2 and 3 and fills a new column.
CREATE TABLE sales (id integer PRIMARY KEY, day date NOT NULL, amount numeric(10, 2), note text);
INSERT INTO sales SELECT i, date '2024-03-01' + (i - 1) / 5, CASE WHEN i <> 7 THEN i END, CASE WHEN i % 2 = 0 THEN 'x' END FROM generate_series(1, 20) AS i;
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: by day
scope: {table: sales, column: day, start: 2024-03-02, stop: 2024-03-04}
transform: {set: {amount: amount * 2, note: "coalesce(note, 'y')", tax: "amount / 10"}, add_columns: {tax: float8}}
strategy: {chunk_by: day}
$spec$);
SELECT backfill_run('by day') IS NOT NULL AS started;
CALL backfill_wait('by day', '2 min');
SELECT audit, latest, place, bucket, "column", metric, live, shadow, delta, delta_percent FROM backfill.metrics WHERE name = 'by day';
SELECT "check", actual, detail FROM backfill.checks WHERE name = 'by day' AND "check" = 'baseline_metrics';
-- A new audit has metrics of its own.
SELECT backfill_audit('by day') IS NOT NULL AS begun;
CALL backfill_wait('by day', '2 min');
SELECT audit, latest, count(*), count(shadow) AS measured FROM backfill.metrics WHERE name = 'by day' GROUP BY 1, 2 ORDER BY 1;
SELECT backfill_cancel('by day') IS NOT NULL AS cancelled;

-- Buckets of hours in the job's time zone, with the hour that comes twice; rows that came and went.
CREATE TABLE clicks (id integer PRIMARY KEY, at timestamptz, n integer);
INSERT INTO clicks SELECT i, timestamptz '2024-10-26 22:00+00' + i * interval '30 min', i FROM generate_series(0, 9) AS i;
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: by hour
scope: {table: clicks, column: at, start: 2024-10-27 00:00, stop: 2024-10-27 06:00, time_zone: Europe/Berlin}
transform: {query: "SELECT id, at, n + 1 AS n FROM metered.clicks WHERE at >= :chunk_start AND at < :chunk_stop AND n NOT IN (2, 3)"}
strategy: {chunk_by: hour}
checks: [{check: row_count_delta, severity: warn}]
$spec$);
SELECT backfill_run('by hour') IS NOT NULL AS started;
CALL backfill_wait('by hour', '2 min');
SELECT place, bucket, "column", metric, live, shadow, delta FROM backfill.metrics WHERE name = 'by hour' AND latest AND metric IN ('rows', 'sum');
SELECT backfill_cancel('by hour') IS NOT NULL AS cancelled;

-- Ranges of keys, and a table without a scope.
CREATE TABLE keyed (id bigint PRIMARY KEY, v real);
INSERT INTO keyed SELECT i, CASE WHEN i = 333 THEN real 'NaN' ELSE i END FROM generate_series(1, 1000) AS i;
SELECT count(*) > 0 AS planned FROM backfill_plan('by key', 'keyed', set => '{"v": "v + 1"}', chunk_column => 'id', start => '1', stop => '951', chunk_by => '500');
SELECT backfill_run('by key') IS NOT NULL AS started;
CALL backfill_wait('by key', '2 min');
SELECT place, bucket, "column", metric, live, shadow FROM backfill.metrics WHERE name = 'by key' AND latest AND (place < 3 OR place > 94 OR bucket = '331') AND metric IN ('rows', 'sum');
SELECT backfill_cancel('by key') IS NOT NULL AS cancelled;
SELECT count(*) > 0 AS planned FROM backfill_plan('no scope', 'keyed', set => '{"v": "v + 1"}', chunk_by => 'blocks');
SELECT backfill_run('no scope') IS NOT NULL AS started;
CALL backfill_wait('no scope', '2 min');
SELECT audit, bucket, "column", metric, live, shadow FROM backfill.metrics WHERE name = 'no scope';
SELECT backfill_cancel('no scope') IS NOT NULL AS cancelled;

-- Whoever may not see the job does not see its metrics, nor the table below them.
CREATE ROLE backfill_stranger;
SET ROLE backfill_stranger;
SELECT count(*) FROM backfill.metrics;
SELECT count(*) FROM backfill.metric;
RESET ROLE;
DROP ROLE backfill_stranger;
-- Sums are made of numerics: no overflow stands in the way.
CREATE TABLE large (id integer PRIMARY KEY, v double precision);
INSERT INTO large VALUES (1, 1.5e308), (2, 1.5e308);
SELECT count(*) > 0 AS planned FROM backfill_plan('too large', 'large', set => '{"v": "v"}', chunk_by => 'blocks');
SELECT backfill_run('too large') IS NOT NULL AS started;
CALL backfill_wait('too large', '2 min');
SELECT metric, round(live / 1e300) AS live, round(shadow / 1e300) AS shadow FROM backfill.metrics WHERE name = 'too large' AND latest AND metric IN ('rows', 'sum');
SELECT backfill_cancel('too large') IS NOT NULL AS cancelled;

DROP SCHEMA metered CASCADE;
