-- The report of a job at its stages, and what it makes of values that mean something to Markdown.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA report;
SET search_path = report, public;
SET timezone = 'UTC';

-- What differs from run to run is masked: times, durations, job numbers.
CREATE FUNCTION told(name text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(line, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC', 'TIME', 'g'),
                                       '(\| |\* )\d+(\.\d)?(ms|s)\y', '\1SPAN', 'g'),
                        '(_backfill|_archive)_\d+', '\1_N', 'g')
  FROM string_to_table(backfill_report(name), E'\n') AS line
$$;

CREATE TABLE orders (order_id int PRIMARY KEY, ordered_at date, amount int);
INSERT INTO orders SELECT n, date '2023-01-01' + n % 90, n FROM generate_series(1, 900) AS n;
CREATE INDEX orders_ordered_at ON orders (ordered_at);
INSERT INTO orders VALUES (901, '2023-05-01', 1), (902, NULL, 1);
ANALYZE orders;

-- Planned.
SELECT count(*) > 0 AS planned FROM backfill_plan($$
backfill:
  name: report_tiers
  description: "Fill tier | for the *first* quarter"
  requested_by: data-team
  owner: finance
  reason: |
    asked for
    in a meeting
  success_criteria: every order has a tier
  scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-04-01}
  transform:
    add_columns: {tier: text}
    set: {tier: "CASE WHEN 1000 / (amount - 450) > 10 THEN 'gold' ELSE 'standard' END"}
  strategy: {chunk_by: month, parallelism: 1}
$$);
SELECT told('report_tiers');

-- Failed: one chunk divides by zero, the others go on.
SELECT backfill_run('report_tiers') IS NOT NULL AS started;
\set VERBOSITY terse
CALL backfill_wait('report_tiers', '60 s');
\set VERBOSITY default
SELECT told('report_tiers');

-- The culprit is put right; the chunk runs again.  Ready.
UPDATE orders SET amount = 0 WHERE amount = 450;
SELECT backfill_retry('report_tiers', 1) IS NOT NULL AS again;
SET client_min_messages = error;
CALL backfill_wait('report_tiers', '60 s');
SET client_min_messages = warning;
CREATE FUNCTION gist(name text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT line FROM told(name) AS line
  WHERE line ~ '^(#|\*\*(Current|Ended|Published)|\| chunk|.*%|SELECT|\| .*✅ pass)' OR line ~ '(undo|backfill is kept|is gone|drops)'
$$;
SELECT gist('report_tiers');

-- Published, rolled back, published again.
SELECT backfill_publish('report_tiers') IS NOT NULL AS published;
SELECT gist('report_tiers');
SET client_min_messages = error;
SELECT backfill_rollback('report_tiers') IS NOT NULL AS undone;
SET client_min_messages = warning;
SELECT line FROM gist('report_tiers') AS line WHERE line ~ 'Current|drops|publish';

-- Cancelled: the record stays.
SELECT backfill_cancel('report_tiers') IS NOT NULL AS cancelled;
SELECT gist('report_tiers');

-- Many chunks: the first, and how many are left out.
SELECT count(*) > 0 AS planned FROM backfill_plan('report_days', 'orders', set => '{"amount": "amount + 1"}',
  chunk_column => 'ordered_at', start => '2023-01-01', stop => '2023-04-01', chunk_by => 'day');
SELECT count(*) FILTER (WHERE line LIKE '| chunk\_%') AS shown, max(line) FILTER (WHERE line ~ 'left out') AS others
FROM told('report_days') AS line;
SELECT backfill_cancel('report_days') IS NOT NULL AS cancelled;

-- Bad input.
SELECT backfill_report('report_days', 'pdf');
SELECT backfill_report('report_dayz');
CREATE ROLE report_stranger;
SET ROLE report_stranger;
SELECT backfill_report('report_days');
RESET ROLE;

SET client_min_messages = warning;
DROP ROLE report_stranger;
DROP SCHEMA report CASCADE;
