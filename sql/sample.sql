-- A sample: what it tells (figures masked), what it leaves, what it refuses.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA sampled;
SET search_path = sampled, public;
SET timezone = 'UTC';

-- Times, sizes and rates differ from run to run.
CREATE FUNCTION told(name text, chunks integer DEFAULT 3) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(line, 'time    .*', 'time SPANS'),
           '\y[\d.]+ ?(ms|s|m|h)( \d+s)?\y', 'SPAN', 'g'),
           '\y[\d.]+ (B|kB|MB|GB)', 'SIZE', 'g'),
           '[\d,]+ rows/s|too quick to tell', 'RATE', 'g'),
           '(SPAN|SIZE) – (SPAN|SIZE)|  +(SPAN)', ' \1\3', 'g')
  FROM backfill_sample(name, chunks) AS line
$$;
CREATE FUNCTION left_behind() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT relname::text FROM pg_class WHERE relnamespace = 'sampled'::regnamespace AND relname ~ '_(sample|rest|backfill)_\d+'
$$;

CREATE TABLE orders (order_id int PRIMARY KEY, ordered_at date, amount numeric, note json, doubled numeric GENERATED ALWAYS AS (amount * 2) STORED);
INSERT INTO orders (order_id, ordered_at, amount) SELECT n, date '2023-01-01' + n % 200, n FROM generate_series(1, 2000) AS n;
INSERT INTO orders (order_id, ordered_at, amount) VALUES (2001, NULL, 1);
CREATE INDEX orders_ordered_at ON orders (ordered_at);
ANALYZE orders;

SELECT count(*) > 0 AS planned FROM backfill_plan($$
name: sample_tiers
scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-06-01}
transform:
  add_columns: {tier: text}
  set: {amount: "CASE WHEN order_id % 2 = 0 THEN amount + 1 ELSE amount END", tier: "CASE WHEN amount > 100 THEN 'gold' END"}
strategy: {chunk_by: month, parallelism: 2}
checks:
  - {check: not_null, columns: [amount]}
  - {check: not_null, columns: [tier], severity: warn}
  - {check: accepted_values, column: tier, values: [silver]}
  - {check: accepted_range, column: amount, min: 5, scope: chunk}
  - {check: expression, sql: "1 / (order_id - 1) >= 0", name: breaks}
  - {check: failed_rows, query: SELECT 1 WHERE false}
$$);
SELECT told('sample_tiers');
SELECT left_behind();
SELECT state, shadow, started_at IS NULL AS not_started FROM backfill.jobs WHERE name = 'sample_tiers';
SELECT event, regexp_replace(detail, ';.*', '') AS detail FROM backfill.events WHERE name = 'sample_tiers' ORDER BY number;
SELECT count(*) AS evidence FROM backfill.checks WHERE name = 'sample_tiers';

-- The middle one; all there are.
SELECT line FROM told('sample_tiers', 1) AS line WHERE line ~ 'planned\)';
SELECT line FROM told('sample_tiers', 100) AS line WHERE line ~ 'planned\)|of \d+ built';

-- What it refuses.
SELECT backfill_sample('sample_tiers', 0);
SELECT backfill_sample('sample_tier');
SELECT backfill_sample('sample_tiers', NULL) IS NULL AS nothing;
CREATE INDEX another ON orders (amount);
SELECT backfill_sample('sample_tiers');
DROP INDEX another;

-- In a transaction that goes on, and beside the shadow of a job that is ready.
BEGIN;
SELECT count(*) > 10 AS sampled FROM backfill_sample('sample_tiers', 2);
SELECT left_behind();
SELECT mode FROM pg_locks WHERE relation = 'orders'::regclass AND pid = pg_backend_pid() AND mode <> 'AccessShareLock';
ROLLBACK;
SELECT count(*) AS samples FROM backfill.events WHERE name = 'sample_tiers' AND event = 'sampled';
SELECT backfill_run('sample_tiers') IS NOT NULL AS started;
SET client_min_messages = error;
CALL backfill_wait('sample_tiers', '60 s');
SET client_min_messages = warning;
UPDATE orders SET amount = amount + 10 WHERE order_id < 20;
SELECT line FROM told('sample_tiers') AS line WHERE line ~ 'exact|would change|goes on|SELECT';
SELECT count(*) AS shadows FROM left_behind() AS name WHERE name = (SELECT split_part(shadow, '.', 2) FROM backfill.jobs WHERE name = 'sample_tiers');
SELECT count(*) AS samples FROM left_behind() AS name WHERE name ~ '_(sample|rest)_';

-- One that the transform or the table refuses: the error says where.
SELECT backfill_cancel('sample_tiers') IS NOT NULL AS cancelled;
SELECT backfill_sample('sample_tiers');
SELECT count(*) > 0 AS planned FROM backfill_plan('sample_breaks', 'orders', set => '{"amount": "1 / (amount - 45)"}',
  chunk_column => 'ordered_at', start => '2023-01-01', stop => '2023-06-01', chunk_by => 'month');
SELECT backfill_sample('sample_breaks', 5);
SELECT left_behind();
SELECT backfill_cancel('sample_breaks') IS NOT NULL AS cancelled;

-- Blocks only, an empty table, a query that drops rows.
SELECT count(*) > 0 AS planned FROM backfill_plan('sample_blocks', 'orders', set => '{"amount": "amount + 1"}', chunk_by => 'blocks');
SELECT told('sample_blocks');
SELECT backfill_cancel('sample_blocks') IS NOT NULL AS cancelled;
CREATE TABLE nothing (id int PRIMARY KEY, v int);
SELECT count(*) > 0 AS planned FROM backfill_plan('sample_nothing', 'nothing', set => '{"v": "1"}', chunk_by => 'blocks');
SELECT line FROM told('sample_nothing') AS line WHERE line ~ 'planned\)|would change|^Whole';
SELECT count(*) > 0 AS planned FROM backfill_plan('sample_query', 'orders',
  query => 'SELECT order_id, ordered_at, amount * 3 AS amount, note FROM orders WHERE ordered_at >= :chunk_start AND ordered_at < :chunk_stop AND order_id > 100',
  chunk_column => 'ordered_at', start => '2023-01-01', stop => '2023-06-01', chunk_by => 'month');
SELECT line FROM told('sample_query', 5) AS line WHERE line ~ 'exact|row_count_delta|would change|value';
SELECT backfill_cancel('sample_query') IS NOT NULL AS cancelled;

-- As a member of the owner's role, who may create nothing in the schema himself; not as anybody else.
CREATE ROLE sample_owner;
CREATE ROLE sample_stranger;
GRANT USAGE ON SCHEMA sampled TO sample_owner, sample_stranger;
CREATE TABLE owned (id int PRIMARY KEY, v int);
INSERT INTO owned SELECT n, n FROM generate_series(1, 100) AS n;
ANALYZE owned;
ALTER TABLE owned OWNER TO sample_owner;
SET ROLE sample_owner;
SELECT count(*) > 0 AS planned FROM backfill_plan('sample_owned', 'owned', set => '{"v": "v + 1"}', chunk_by => 'blocks');
SELECT line FROM backfill_sample('sample_owned') AS line WHERE line ~ 'would change';
SET ROLE sample_stranger;
SELECT backfill_sample('sample_owned');
RESET ROLE;
SELECT backfill_cancel('sample_owned') IS NOT NULL AS cancelled, backfill_cancel('sample_nothing') IS NOT NULL AS cancelled;
DROP TABLE orders, nothing, owned;
REVOKE ALL ON SCHEMA sampled FROM sample_owner, sample_stranger;
DROP ROLE sample_owner, sample_stranger;
