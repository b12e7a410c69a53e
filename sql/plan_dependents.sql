-- Everything bound to the target is listed with its fate, or blocks the plan by name.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION backfill;
CREATE SCHEMA bound;
SET search_path = bound, public;

CREATE TABLE customers (customer_id int PRIMARY KEY);
CREATE TABLE orders (
  order_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  no serial UNIQUE,
  customer_id int REFERENCES customers,
  amount numeric CHECK (amount > 0),
  during int4range, EXCLUDE USING gist (during WITH &&),
  note text DEFAULT 'none');
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (lower(note)) WHERE amount > 10;
CREATE STATISTICS orders_stats ON customer_id, amount FROM orders;
CREATE VIEW large AS SELECT * FROM orders WHERE amount > 100;
CREATE VIEW larger AS SELECT * FROM large WHERE amount > 1000;
CREATE VIEW grouped AS SELECT order_id, amount FROM orders GROUP BY order_id;
CREATE MATERIALIZED VIEW through AS SELECT count(*) FROM large;

-- What blocks, and a plan that is taken back.
CREATE FUNCTION blockers() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
  PERFORM backfill_plan('x', 'bound.orders', set => '{"note": "''x''"}', chunk_by => 'blocks');
  DELETE FROM backfill.job;
  RETURN NEXT 'planned';
EXCEPTION WHEN dependent_objects_still_exist THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
  RETURN QUERY SELECT regexp_split_to_table(detail, E'\n');
END $$;

\echo -- moved and rebuilt
SELECT count(*) > 0 FROM backfill_plan('x', 'orders', set => '{"note": "''x''"}', chunk_by => 'blocks');
SELECT fate, kind, object, regexp_replace(detail, '\(\d+ \w+\)', '(size)') AS detail FROM backfill.dependent ORDER BY id;
DELETE FROM backfill.job;

\echo -- triggers, rules, policies and row security move, but not those of another table
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f();
SELECT blockers();
DROP TRIGGER stamp ON orders;
CREATE CONSTRAINT TRIGGER stamp AFTER INSERT ON customers FROM orders FOR EACH ROW EXECUTE FUNCTION f();
SELECT blockers();
DROP TRIGGER stamp ON customers;
CREATE RULE quiet AS ON DELETE TO orders DO INSTEAD NOTHING;
SELECT blockers();
DROP RULE quiet ON orders;
CREATE RULE other AS ON INSERT TO customers DO ALSO SELECT count(*) FROM orders;
SELECT blockers();
DROP RULE other ON customers;
CREATE POLICY mine ON orders USING (true);
CREATE POLICY theirs ON customers USING (EXISTS (SELECT FROM orders));
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
SELECT blockers();
DROP POLICY mine ON orders;
DROP POLICY theirs ON customers;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;

\echo -- foreign keys of others and those to itself are rebuilt; those of partitioned tables block
CREATE TABLE items (order_id int REFERENCES orders);
SELECT blockers();
DROP TABLE items;
CREATE TABLE items (order_id int REFERENCES orders) PARTITION BY LIST (order_id);
CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1);
SELECT blockers();
DROP TABLE items;
CREATE TABLE items (order_id int REFERENCES orders);
ALTER TABLE items DISABLE TRIGGER ALL;
SELECT blockers();
DROP TABLE items;
ALTER TABLE orders ADD COLUMN parent int REFERENCES orders;
SELECT blockers();
ALTER TABLE orders DROP COLUMN parent;

\echo -- materialized views, functions with bodies of SQL, the row type
CREATE MATERIALIZED VIEW daily AS SELECT count(*) FROM orders;
SELECT blockers();
DROP MATERIALIZED VIEW daily;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM orders; END;
SELECT blockers();
DROP FUNCTION total();
CREATE FUNCTION label(orders) RETURNS text LANGUAGE sql AS 'SELECT 1::text';
SELECT blockers();
DROP FUNCTION label(orders);
CREATE TABLE history (was orders, list orders[]);
SELECT blockers();
DROP TABLE history;
CREATE DOMAIN an_order AS orders;
SELECT blockers();
DROP DOMAIN an_order;
CREATE VIEW whole AS SELECT o FROM orders o;
SELECT blockers();
DROP VIEW whole;

\echo -- publications, by name, by schema, of everything
CREATE PUBLICATION p FOR TABLE orders;
SELECT blockers();
DROP PUBLICATION p;
CREATE PUBLICATION p FOR TABLES IN SCHEMA bound;
SELECT blockers();
DROP PUBLICATION p;
CREATE PUBLICATION p FOR ALL TABLES;
SELECT blockers();
DROP PUBLICATION p;

\echo -- a default of another table may use the sequence of a serial column, which stays, but not that of an identity column
CREATE TABLE copies (no int DEFAULT nextval('orders_no_seq'));
SELECT blockers();
ALTER TABLE copies ALTER no SET DEFAULT nextval('orders_order_id_seq');
SELECT blockers();
DROP TABLE copies;
SELECT blockers();

DROP SCHEMA bound CASCADE;
DROP EXTENSION backfill;
DROP SCHEMA IF EXISTS backfill CASCADE;
