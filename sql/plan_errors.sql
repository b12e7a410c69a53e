-- Every bad input gets a clear error with SQLSTATE, detail and hint, and leaves nothing behind.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION backfill;

CREATE SCHEMA bad;
SET search_path = bad, public;
CREATE TABLE orders (
  order_id bigint PRIMARY KEY, customer_id int, ordered_at timestamptz NOT NULL, day date, amount numeric(10,2),
  tier text, twice numeric GENERATED ALWAYS AS (amount * 2) STORED);
CREATE INDEX ON orders (ordered_at);
CREATE TABLE customers (customer_id int PRIMARY KEY, spend numeric);
CREATE TABLE "Odd Name" (id int PRIMARY KEY, at date);

-- Calls the plan; returns what it was refused with.
CREATE FUNCTION refused(spec text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE state text; message text; detail text; hint text;
BEGIN
  BEGIN
    PERFORM backfill_plan(spec);
    RAISE EXCEPTION 'planned, and taken back';
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT state || ': ' || message;
    RETURN QUERY SELECT '  ' || l FROM regexp_split_to_table(detail, E'\n') l WHERE l <> '';
    RETURN QUERY SELECT '  ' || hint WHERE hint <> '';
  END;
END $$;

-- The same around one transform, scope or strategy.
CREATE FUNCTION refused_set(set_text text, rest text DEFAULT '') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT refused('{name: x, scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01}, transform: {set: {'
                 || set_text || '}' || rest || '}}') $$;
CREATE FUNCTION refused_query(query text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT refused('{name: x, scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01}, transform: {query: '
                 || to_json(query) || '}}') $$;
CREATE FUNCTION refused_scope(scope text, strategy text DEFAULT '') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT refused('{name: x, scope: {' || scope || '}, transform: {set: {tier: "''gold''"}}, strategy: {' || strategy || '}}') $$;
CREATE FUNCTION refused_table(name text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT refused('{name: x, scope: {table: ' || to_json(name) || '}, transform: {set: {tier: "''gold''"}}, strategy: {chunk_by: blocks}}') $$;

CREATE TABLE before AS SELECT 'class' AS kind, oid FROM pg_class UNION ALL SELECT 'trigger', oid FROM pg_trigger;

\echo -- the table
SELECT refused_table('ordres');
SELECT refused_table('bad.order');
SELECT refused_table('nowhere.orders');
SELECT refused_table('a b');
CREATE VIEW a_view AS SELECT * FROM customers;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM customers;
CREATE FOREIGN DATA WRAPPER fdw;
CREATE SERVER far FOREIGN DATA WRAPPER fdw;
CREATE FOREIGN TABLE a_foreign_table (id int) SERVER far;
CREATE TEMP TABLE a_temp (id int PRIMARY KEY, tier text);
CREATE UNLOGGED TABLE an_unlogged (id int PRIMARY KEY, tier text);
CREATE TABLE a_parent (id int PRIMARY KEY, tier text) PARTITION BY RANGE (id);
CREATE TABLE a_partition PARTITION OF a_parent DEFAULT;
CREATE TYPE a_type AS (id int, tier text);
CREATE TABLE a_typed OF a_type (PRIMARY KEY (id));
CREATE TABLE a_child (PRIMARY KEY (customer_id)) INHERITS (customers);
CREATE SEQUENCE a_sequence;
CREATE TABLE forced (id int PRIMARY KEY, tier text);
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE ROLE regress_owner;
ALTER TABLE forced OWNER TO regress_owner;
SELECT refused_table('a_view');
SELECT refused_table('a_matview');
SELECT refused_table('a_foreign_table');
SELECT refused_table('a_temp');
SELECT refused_table('an_unlogged');
SELECT refused_table('a_parent');
SELECT refused_table('a_partition');
SELECT refused_table('a_typed');
SELECT refused_table('a_child');
SELECT refused_table('a_sequence');
SELECT refused_table('customers_pkey');
SELECT refused_table('a_type');
SELECT refused_table('forced');
SELECT refused_table('pg_class');
SELECT refused_table('backfill.job');
DROP TABLE a_child;

\echo -- the key
CREATE TABLE no_key (id int, tier text, UNIQUE (id));
CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE, tier text);
CREATE TABLE other_key (id int NOT NULL UNIQUE, tier text);
CREATE TABLE part_key (id int NOT NULL, tier text);
CREATE UNIQUE INDEX ON part_key (id) WHERE tier IS NULL;
SELECT refused_table('no_key');
SELECT refused_table('late_key');
SELECT refused_table('other_key');
SELECT refused_scope('table: no_key', 'chunk_by: blocks, key: id');
SELECT refused_scope('table: part_key', 'chunk_by: blocks, key: id');
SELECT refused_scope('table: orders', 'chunk_by: blocks, key: [order_id, order_id]');
SELECT refused_scope('table: orders', 'chunk_by: blocks, key: ordr_id');
SELECT refused_scope('table: orders', 'chunk_by: blocks, key: [order_id, customer_id]');

\echo -- the scope
SELECT refused_scope('table: orders, column: orderd_at, start: 2023-01-01, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: tier, start: 2023-01-01, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: ordered_at, start: 2024-01-01, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: ordered_at, start: 2024-01-02, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-02-30, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: soon');
SELECT refused_scope('table: orders, column: ordered_at, start: -infinity, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: order_id, start: 2023-01-01, stop: 2024-01-01');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01, time_zone: Europe/Berln');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01, exclude: [2024-07-04]');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-01-02, exclude: [2023-01-01]');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-01-02, exclude: [july]');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-01-02, exclude: ["2023-01-01 10:00"]', 'chunk_by: blocks');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01');
SELECT refused_scope('table: orders');

\echo -- the chunks
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: fortnight or so');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: 1000');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: -1 day');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: 0 days');
SELECT refused_scope('table: orders, column: day, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: hour');
SELECT refused_scope('table: orders, column: day, start: 2023-01-01, stop: 2024-01-01', 'chunk_by: 6 hours');
SELECT refused_scope('table: orders, column: order_id, start: 1, stop: 100', 'chunk_by: month');
SELECT refused_scope('table: orders, column: ordered_at, start: 1900-01-01, stop: 2024-01-01', 'chunk_by: hour');
SELECT refused_scope('table: orders, column: ordered_at, start: 4000-01-01 BC, stop: 294000-01-01', 'chunk_by: 1 second');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'type: partition');
SELECT refused_scope('table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01', 'type: partition');
SELECT refused('{name: x, retention: soon, scope: {table: orders}, transform: {set: {tier: "1"}}, strategy: {chunk_by: blocks}}');
SELECT refused('{name: x, retention: -1 day, scope: {table: orders}, transform: {set: {tier: "1"}}, strategy: {chunk_by: blocks}}');

\echo -- transform: set
SELECT refused_set('teir: "1"');
SELECT refused_set('order_id: order_id + 1');
SELECT refused_set('ordered_at: now()');
SELECT refused_set('twice: "1"');
SELECT refused_set('tier: "CASE WHEN"');
SELECT refused_set('tier: "1 -- and nothing else"');
SELECT refused_set('tier: "1) , (2"');
SELECT refused_set('tier: "1) FROM customers WHERE (true"');
SELECT refused_set('tier: "1); DROP TABLE orders; SELECT (2"');
SELECT refused_set('tier: nowhere');
SELECT refused_set('tier: no_such_function(1)');
SELECT refused_set('amount: "now()"');
SELECT refused_set('tier: "(SELECT 1, 2)"');
SELECT refused_set('tier: c.spend::text', ', join: "LEFT JOIN customers c USING (customer_id) WHERE true"');
SELECT refused_set('tier: c.spend::text', ', join: "LEFT JOIN customer c USING (customer_id)"');
SELECT refused_set('tier: "1"', ', join: "JOIN customers c USING (customer_id); SELECT 1"');
SELECT refused_set('tier: "1"', ', add_columns: {tier: text}');
SELECT refused_set('fresh: "1"', ', add_columns: {fresh: txet}');
SELECT refused_set('fresh: "1"', ', add_columns: {fresh: "int, other int"}');
SELECT refused_set('fresh: "now()"', ', add_columns: {fresh: integer}');
SELECT refused_set('tier: "1"', ', dedupe: nowhere DESC');
SELECT refused('{name: x, scope: {table: orders}, transform: {set: {tier: ":chunk_start::text"}}, strategy: {chunk_by: blocks}}');

\echo -- transform: query
SELECT refused_query('SELECT');
SELECT refused_query('SELECT * FROM orders; SELECT 1');
SELECT refused_query('DELETE FROM orders');
SELECT refused_query('VALUES (1)');
SELECT refused_query('SELECT * INTO copy FROM orders');
SELECT refused_query('SELECT * FROM orders FOR UPDATE');
SELECT refused_query('SELECT * FROM (SELECT * FROM orders FOR SHARE) o');
SELECT refused_query('WITH gone AS (DELETE FROM customers RETURNING 1) SELECT * FROM orders');
SELECT refused_query('SELECT order_id, tier, 1 AS extra FROM orders');
SELECT refused_query('SELECT *, 1 AS tier FROM orders');
SELECT refused_query('SELECT order_id, customer_id, ordered_at, day, ordered_at AS amount, tier FROM orders');
SELECT refused_query('SELECT (random() * 10)::bigint AS order_id, customer_id, ordered_at, day, amount, tier FROM orders');
SELECT refused_query('SELECT order_id, customer_id, l.ordered_at, day, amount, tier FROM (SELECT *, clock_timestamp() AS at FROM orders) o CROSS JOIN LATERAL (SELECT o.at AS ordered_at) l');
SELECT refused_query('WITH o AS (SELECT clock_timestamp() AS at, * FROM orders) SELECT order_id, customer_id, at AS ordered_at, day, amount, tier FROM o');
SELECT refused_query('SELECT * FROM orders UNION ALL SELECT (random() * 10)::bigint, customer_id, ordered_at, day, amount, tier, twice FROM orders');
SELECT refused_query('SELECT * FROM orders WHERE ordered_at >= :chunk_start');
SELECT refused('{name: x, scope: {table: orders}, transform: {query: "SELECT * FROM orders"}, strategy: {chunk_by: blocks}}');
SELECT refused('{name: x, scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01}, transform: {query: "SELECT * FROM orders"}, strategy: {chunk_by: blocks}}');
SELECT refused('{name: x, scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2024-01-01}, transform: {query: "SELECT * FROM orders"}, strategy: {chunk_by: month, grain: 1 parsec}}');

\echo -- nothing is left behind
SELECT count(*) FROM backfill.job;
SELECT count(*) FROM backfill.step;
SELECT c.relname FROM pg_class c LEFT JOIN before b ON b.oid = c.oid AND kind = 'class'
 WHERE b.oid IS NULL AND c.relname LIKE '%backfill%';
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'backfill%';

\echo -- names and tables in use
SELECT count(*) > 10 FROM backfill_plan('{name: one, scope: {table: orders}, transform: {set: {tier: "1"}}, strategy: {chunk_by: blocks}}');
SELECT refused('{name: one, scope: {table: customers}, transform: {set: {spend: "1"}}, strategy: {chunk_by: blocks}}');
SELECT refused('{name: two, scope: {table: orders}, transform: {set: {tier: "1"}}, strategy: {chunk_by: blocks}}');

\echo -- whose table
CREATE ROLE regress_other;
GRANT ALL ON SCHEMA bad TO regress_owner, regress_other;
GRANT SELECT ON ALL TABLES IN SCHEMA bad TO regress_other;
ALTER TABLE other_key OWNER TO regress_owner;
ALTER TABLE other_key ADD PRIMARY KEY (id);
SET ROLE regress_other;
SELECT refused_table('other_key');
RESET ROLE;
GRANT regress_owner TO regress_other;
SET ROLE regress_other;
\echo -- the transform runs as the owner, who may not read customers
SELECT refused('{name: x, scope: {table: other_key}, transform: {set: {tier: c.spend::text}, join: "JOIN customers c ON c.customer_id = id"}, strategy: {chunk_by: blocks}}');
SELECT refused_table('other_key');
RESET ROLE;

DELETE FROM backfill.job;
DROP OWNED BY regress_owner, regress_other;
DROP ROLE regress_owner, regress_other;
DROP SCHEMA bad CASCADE;
DROP SERVER far CASCADE;
DROP FOREIGN DATA WRAPPER fdw;
DROP TABLE a_temp;
DROP EXTENSION backfill;
DROP SCHEMA IF EXISTS backfill CASCADE;
