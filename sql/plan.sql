-- The plan that people read, and the job it stores.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'Europe/Berlin';
DROP EXTENSION IF EXISTS backfill CASCADE;
CREATE EXTENSION backfill;
CREATE ROLE regress_sales;
CREATE SCHEMA sales AUTHORIZATION regress_sales;
SET search_path = sales, public;
SET ROLE regress_sales;

CREATE TABLE customers (customer_id int PRIMARY KEY, spend numeric NOT NULL);
CREATE TABLE orders (
  order_id bigint PRIMARY KEY,
  customer_id int NOT NULL REFERENCES customers,
  ordered_at timestamptz,
  amount numeric(10,2) CHECK (amount >= 0),
  note text);
CREATE INDEX ON orders (ordered_at);
CREATE VIEW large_orders AS SELECT * FROM orders WHERE amount > 900;
CREATE VIEW largest_order AS SELECT max(amount) FROM large_orders;
INSERT INTO customers SELECT i, i * 10 FROM generate_series(1, 100) i;
INSERT INTO orders SELECT i, i % 100 + 1, '2022-07-01'::timestamptz + i * interval '1 hour', i % 1000, NULL FROM generate_series(1, 20000) i;
INSERT INTO orders VALUES (20001, 1, NULL, 1, NULL), (20002, 1, 'infinity', 1, NULL), (20003, 1, '-infinity', 1, NULL);
VACUUM ANALYZE orders;
ANALYZE customers;

SELECT * FROM backfill_plan($$
backfill:
  name: orders_tier_backfill
  description: Backfill customer_tier for historical orders
  requested_by: data-team
  owner: sales
  reason: the tier was introduced in 2024
  scope:
    table: orders
    column: ordered_at
    date_range: {start: 2023-01-01, end: 2024-01-01}
    exclude: [2023-07-04]
  transform:
    set:
      customer_tier: "CASE WHEN c.spend > 500 THEN 'gold' ELSE 'standard' END"
      note: "coalesce(note, 'recomputed by ' || :backfill)"
    join: LEFT JOIN customers c USING (customer_id)
    add_columns: {customer_tier: text}
    preserve_existing: true
  strategy:
    chunk_by: month
    parallelism: 4
  checks:
    - {check: not_null, columns: [customer_tier]}
$$);

\echo -- what is stored
RESET ROLE;
\pset tuples_only off
\x on
SELECT name, state, strategy, description, requested_by, responsible, reason, target_schema, target_name, live::regclass,
       shadow_name, archive_name, owner_name, search_path, chunk_column, chunk_type::regtype, start, stop, exclude,
       time_zone, key_columns, fingerprint ~ '^[0-9a-f]{32}$' AS fingerprint, parallelism, retention, rows_estimated
  FROM backfill.job;
\x off
SELECT id, stage, phase, kind, chunk, lo, hi, rows_estimated FROM backfill.step WHERE phase IN ('prepare', 'copy', 'build', 'catch up') ORDER BY id;
SELECT phase, kind, params - 'index' AS params FROM backfill.step WHERE kind IN ('key', 'index', 'publish') OR phase = 'after' ORDER BY id;
SELECT fate, kind, object, detail FROM backfill.dependent ORDER BY id;
SELECT event, by, detail FROM backfill.event;
\pset tuples_only on

\echo -- every row is in exactly one chunk
SELECT sum(rows_estimated) BETWEEN 19000 AND 21000 FROM backfill.step WHERE kind IN ('range', 'blocks');

\echo -- the name is free again when the job is over; the same by named arguments
DELETE FROM backfill.job;
SET ROLE regress_sales;
SELECT * FROM backfill_plan('by_name', 'orders', set => '{"note": "lower(note)"}', chunk_column => 'order_id', start => '1', stop => '20001',
  chunk_by => '5000', parallelism => 1, checks => '[{"check": "unique"}]', options => '{"strategy": {"order": "newest_first"}, "retention": "30 days"}');

\echo -- a query, and a table that was never analyzed
CREATE TABLE daily (day date PRIMARY KEY, revenue numeric);
SELECT * FROM backfill_plan($$
name: daily_revenue
scope: {table: daily, column: day, start: 2022-07-01, stop: 2023-07-01}
transform:
  query: |
    SELECT ordered_at::date AS day, sum(amount) AS revenue
      FROM orders
     WHERE ordered_at >= :chunk_start AND ordered_at < :chunk_stop
     GROUP BY 1
$$);

\echo -- the whole table by blocks; what is volatile is told
CREATE TABLE lots (id int PRIMARY KEY, tier text);
SELECT line FROM backfill_plan('lots', 'lots', set => '{"tier": "random()::text"}', chunk_by => 'blocks') line
 WHERE line ~ '^(Scope|Chunks|Warning)|!|^SELECT';

\echo -- the fingerprint follows the functions of the transform
RESET ROLE;
DELETE FROM backfill.job;
CREATE FUNCTION tier(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'gold' $$;
SELECT count(*) > 0 FROM backfill_plan('lots', 'lots', set => '{"tier": "tier(id)"}', chunk_by => 'blocks');
SELECT fingerprint ~ '^[0-9a-f]{32} \d+:[0-9a-f]{32}$' FROM backfill.job;
DELETE FROM backfill.job;
SET search_path = public;
DROP SCHEMA sales CASCADE;
DROP ROLE regress_sales;
DROP EXTENSION backfill;
DROP SCHEMA IF EXISTS backfill CASCADE;
