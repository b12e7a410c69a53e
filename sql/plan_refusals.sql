-- What cannot be moved is refused at plan time by name, each kind with its own remedy, and nothing is left of the attempt.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA refused;
SET search_path = refused, public;
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE TABLE other (id int PRIMARY KEY, n int);

-- SQLSTATE, message, detail and hint of a plan, and what it left behind.
CREATE VIEW things AS SELECT (SELECT count(*) FROM pg_class) AS relations, (SELECT count(*) FROM pg_depend) AS dependencies,
  (SELECT count(*) FROM pg_trigger) AS triggers, (SELECT count(*) FROM backfill.job) AS jobs, (SELECT count(*) FROM backfill.step) AS steps,
  (SELECT count(*) FROM backfill.dependent) AS dependents, (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode <> 'AccessShareLock' AND locktype = 'relation') AS locks;
CREATE FUNCTION planned(options jsonb DEFAULT '{}', target text DEFAULT 'refused.orders') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; before things; after things;
BEGIN
  SELECT * INTO before FROM things;
  BEGIN
    PERFORM backfill_plan('x', target, set => '{"note": "''x''"}', chunk_by => 'blocks', options => options);
    RAISE 'planned';
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN QUERY SELECT * FROM unnest(ARRAY[SQLSTATE || ' ' || message, '  ' || nullif(replace(detail, E'\n', E'\n  '), ''), '  ' || nullif(replace(hint, E'\n', E'\n  '), '')]) AS line WHERE line IS NOT NULL;
  END;
  SELECT * INTO after FROM things;
  IF message <> 'planned' AND before IS DISTINCT FROM after THEN RETURN NEXT format('left behind: %s, was %s', after, before); END IF;
END $$;

\echo -- nothing stands in the way
SELECT planned();

\echo -- the row type: of a column, of an array, in a composite type
CREATE TABLE history (was orders);
SELECT planned();
ALTER TABLE history DROP was, ADD list orders[];
SELECT planned();
DROP TABLE history;
CREATE TYPE pair AS (one orders, two int);
SELECT planned();
DROP TYPE pair;

\echo -- of columns of views
CREATE VIEW whole AS SELECT o, id FROM orders o;
SELECT planned();
DROP VIEW whole;
CREATE MATERIALIZED VIEW whole AS SELECT array_agg(o) AS list FROM orders o;
SELECT planned();
DROP MATERIALIZED VIEW whole;

\echo -- of functions, procedures, aggregates
CREATE FUNCTION label(orders) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT $1.note; END;
CREATE FUNCTION newest() RETURNS SETOF orders LANGUAGE sql AS 'SELECT * FROM refused.orders';
CREATE PROCEDURE keep(IN orders[], OUT kept orders) LANGUAGE sql AS 'SELECT $1[1]';
CREATE FUNCTION add_order(int, orders) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2.id';
CREATE AGGREGATE total(orders) (sfunc = add_order, stype = int, initcond = 0);
SELECT planned();
DROP AGGREGATE total(orders);
DROP ROUTINE label, newest, keep, add_order;

\echo -- domains and ranges over it, casts, operators
CREATE DOMAIN an_order AS orders;
SELECT planned();
DROP DOMAIN an_order;
CREATE TYPE span AS RANGE (subtype = orders);
SELECT planned();
DROP TYPE span;
CREATE CAST (orders AS jsonb) WITH INOUT;
SELECT planned();
DROP CAST (orders AS jsonb);
CREATE FUNCTION same(orders, orders) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR === (leftarg = orders, rightarg = orders, function = same);
SELECT planned();
DROP OPERATOR === (orders, orders);
DROP FUNCTION same;

\echo -- a row made by hand, where columns are added
CREATE VIEW made AS SELECT ROW(1, 'x')::orders IS NULL AS empty FROM other;
CREATE FUNCTION makes() RETURNS boolean LANGUAGE sql RETURN ROW(1, 'x')::orders IS NULL;
CREATE POLICY making ON other USING (ROW(1, 'x')::orders IS NULL);
CREATE RULE making AS ON DELETE TO other DO ALSO SELECT ROW(1, 'x')::orders;
SELECT planned();
SELECT planned('{"transform": {"add_columns": {"more": "int"}}}');
DROP VIEW made;
DROP FUNCTION makes;
DROP POLICY making ON other;
DROP RULE making ON other;

\echo -- defaults and constraints of other tables
ALTER TABLE other ALTER n SET DEFAULT nextval('orders_id_seq');
SELECT planned();
ALTER TABLE other ALTER n SET DEFAULT 'orders'::regclass::oid::int;
SELECT planned();
ALTER TABLE other ALTER n DROP DEFAULT, ADD CONSTRAINT named CHECK (n <> 'orders'::regclass::oid::int);
SELECT planned();
ALTER TABLE other DROP CONSTRAINT named;

\echo -- inheritance, both ways, and typed tables
CREATE TABLE child () INHERITS (orders);
SELECT planned();
DROP TABLE child;
CREATE TABLE parent (note text);
ALTER TABLE orders INHERIT parent;
SELECT planned();
ALTER TABLE orders NO INHERIT parent;
CREATE TYPE shape AS (id int, note text);
CREATE TABLE typed OF shape (PRIMARY KEY (id));
SELECT planned(target => 'refused.typed');

\echo -- a subscription that writes to it
CREATE SUBSCRIPTION refused_sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
SET allow_system_table_mods = on;
INSERT INTO pg_subscription_rel SELECT oid, 'orders'::regclass, 'r', NULL FROM pg_subscription WHERE subname = 'refused_sub';
SELECT planned();
DROP SUBSCRIPTION refused_sub;

\echo -- several at once: each has its remedy
CREATE TABLE history (was orders);
ALTER TABLE other ALTER n SET DEFAULT nextval('orders_id_seq');
CREATE CAST (orders AS jsonb) WITH INOUT;
SELECT planned();
DROP CAST (orders AS jsonb);
DROP TABLE history;
ALTER TABLE other ALTER n DROP DEFAULT;
SELECT planned();

DROP SCHEMA refused CASCADE;
