-- The shadow: it has the shape of live, and its rows are the transform's, whatever the transform is made of.
-- Each job is run until it is ready, looked at, and cancelled.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA copy;
SET search_path = copy, public;
CREATE ROLE copy_reader;

-- The newest job's shadow.
CREATE FUNCTION shadow() RETURNS regclass LANGUAGE sql AS
  'SELECT shadow::regclass FROM backfill.job ORDER BY id DESC LIMIT 1';

-- Everything the catalog says of a table's shape, under names that do not depend on the table's own, the job or the user.
CREATE FUNCTION shape(rel regclass) RETURNS TABLE (kind text, name text, what text) LANGUAGE plpgsql AS $$
DECLARE
  job text := (SELECT max(id) FROM backfill.job);
BEGIN
  RETURN QUERY
  SELECT f.kind, regexp_replace(f.name, '^.*_[0-9a-f]{8}$', '(a name that was cut)'), replace(f.what, current_user, 'owner') FROM (
  SELECT 'column', attname::text, concat_ws(' ', attnum - (SELECT count(*) FROM pg_attribute d
           WHERE d.attrelid = rel AND d.attisdropped AND d.attnum < a.attnum),
         format_type(atttypid, atttypmod), attnotnull, nullif(attidentity, ''), nullif(attgenerated, ''), attstorage,
         nullif(attcompression, ''), attcollation::regcollation, coalesce(attstattarget, -1),
         (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver%'),
         (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = rel AND adnum = attnum),
         col_description(rel, attnum))
  FROM pg_attribute a WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT 'constraint', regexp_replace(conname, '_backfill_' || job || '$', ''),
         concat_ws(' ', pg_get_constraintdef(oid), condeferrable, condeferred, convalidated, conislocal, connoinherit,
                   obj_description(oid, 'pg_constraint'))
  FROM pg_constraint WHERE conrelid = rel
  UNION ALL
  SELECT 'index', regexp_replace(x.relname, '_backfill_' || job || '$', ''),
         concat_ws(' ', regexp_replace(pg_get_indexdef(x.oid), '^CREATE (UNIQUE )?INDEX .* USING', '\1USING'), indisprimary,
                   indimmediate, indisclustered, indisreplident, indisvalid, pg_get_userbyid(x.relowner), x.reloptions,
                   (SELECT array_agg(coalesce(t.attstattarget, -1) ORDER BY t.attnum) FROM pg_attribute t WHERE t.attrelid = x.oid),
                   obj_description(x.oid, 'pg_class'))
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE indrelid = rel
  UNION ALL
  SELECT 'statistics', pg_get_statisticsobjdef_columns(oid),
         concat_ws(' ', stxkind, coalesce(stxstattarget, -1), stxowner::regrole, obj_description(oid, 'pg_statistic_ext'))
  FROM pg_statistic_ext WHERE stxrelid = rel
  UNION ALL
  SELECT 'table', '', concat_ws(' ', relowner::regrole, amname, relreplident, reloptions, obj_description(c.oid, 'pg_class'),
         (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid))
  FROM pg_class c JOIN pg_am ON pg_am.oid = relam WHERE c.oid = rel
  UNION ALL
  SELECT 'privileges', '', concat_ws(' ', replace(relacl::text, 'arwdDxtm', 'arwdDxt'), (SELECT string_agg(attname || attacl::text, ' ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = rel AND attacl IS NOT NULL))
  FROM pg_class WHERE oid = rel) AS f (kind, name, what);
END $$;

-- Columns of live and shadow side by side: rows that are expected and missing, and rows that are there unexpectedly.
CREATE FUNCTION differences(expected text) RETURNS TABLE (missing bigint, unexpected bigint, rows bigint) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format(
    'SELECT (SELECT count(*) FROM (SELECT one::text FROM (%2$s) one EXCEPT ALL SELECT one::text FROM %1$s one) d),'
    '       (SELECT count(*) FROM (SELECT one::text FROM %1$s one EXCEPT ALL SELECT one::text FROM (%2$s) one) d),'
    '       (SELECT count(*) FROM %1$s)', shadow(), expected);
END $$;

-- 1. A table with one of everything.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad');
CREATE FUNCTION plus_one(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN one_more(x); END';
CREATE FUNCTION one_more(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x + 1';
-- Before PostgreSQL 17 an index is built under the search_path of who asks for it.
SELECT current_setting('server_version_num')::int >= 170000 AS pinned \gset
\if :pinned
ALTER FUNCTION plus_one SET search_path = copy;
\endif

CREATE TABLE "Ördërs ""2023""; with a name that is as long as names can b" (
  gone     int,
  id       bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5),
  "at"     date,
  amount   numeric(8,2) CONSTRAINT positive CHECK (amount >= 0),
  gone_too text,
  code     varchar(4),
  padded   char(5),
  feeling  mood DEFAULT 'sad',
  s        short,
  tags     text[],
  "sel""ect" int DEFAULT 5 NOT NULL,
  big      text COLLATE "C",
  ser      serial,
  twice    numeric GENERATED ALWAYS AS (amount * 2) STORED,
  customer int,
  PRIMARY KEY (id)
) WITH (fillfactor = 80, autovacuum_enabled = true, toast.autovacuum_vacuum_threshold = 77);
\set t '"Ördërs ""2023""; with a name that is as long as names can b"'
ALTER TABLE :t DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE :t ALTER big SET STORAGE EXTERNAL, ALTER tags SET COMPRESSION pglz, ALTER customer SET STATISTICS 500,
  ALTER customer SET (n_distinct = -0.5);
INSERT INTO :t ("at", amount, code, padded, s, tags, big, customer)
SELECT CASE i % 50 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '0044-03-15 BC'
            ELSE date '2023-01-01' + i % 400 END,
       i % 100 + 0.25, CASE WHEN i % 3 > 0 THEN 'k' || i % 9 END, 'x' || i % 7, 'ab', ARRAY['a', NULL, 'b'], repeat('x', i), i % 20
FROM generate_series(1, 2000) i;
-- Older than its constraint, which does not hold for it.
INSERT INTO :t ("at", customer) VALUES ('2024-06-01', 2000000);
ALTER TABLE :t ADD CONSTRAINT small CHECK (customer < 1000000) NOT VALID;

CREATE INDEX by_at ON :t ("at");
CREATE INDEX "by, expression" ON :t (plus_one(customer), lower(big) text_pattern_ops DESC NULLS LAST) INCLUDE (amount)
  WITH (fillfactor = 70) WHERE amount > 10;
ALTER INDEX "by, expression" ALTER COLUMN 1 SET STATISTICS 333;
CREATE INDEX by_code ON :t USING hash (code);
CREATE INDEX by_tags ON :t USING gin (tags);
CREATE UNIQUE INDEX by_ser ON :t (ser);
CREATE UNIQUE INDEX loose ON :t (code, id) NULLS NOT DISTINCT;
ALTER TABLE :t ADD CONSTRAINT later UNIQUE (ser) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE :t ADD CONSTRAINT apart EXCLUDE (id WITH =);
ALTER TABLE :t REPLICA IDENTITY USING INDEX by_ser, CLUSTER ON by_ser;
CREATE STATISTICS both_ways (ndistinct, mcv) ON customer, code FROM :t;
ALTER STATISTICS both_ways SET STATISTICS 55;
CREATE STATISTICS lowered ON lower(big) FROM :t;
COMMENT ON TABLE :t IS 'a table';
COMMENT ON COLUMN :t.amount IS 'it''s a column';
COMMENT ON INDEX "by, expression" IS 'an index';
COMMENT ON CONSTRAINT later ON :t IS 'a unique constraint';
COMMENT ON CONSTRAINT positive ON :t IS 'a check';
COMMENT ON CONSTRAINT small ON :t IS 'a check that was never validated';
COMMENT ON STATISTICS both_ways IS 'a statistics object';
GRANT SELECT ON :t TO copy_reader;
GRANT UPDATE (amount) ON :t TO copy_reader;
ANALYZE :t;
ALTER DEFAULT PRIVILEGES IN SCHEMA copy GRANT SELECT ON TABLES TO PUBLIC;

\o /dev/null
SELECT backfill_plan($$
backfill:
  name: everything
  scope: {table: '"Ördërs ""2023""; with a name that is as long as names can b"', column: at, start: 2023-01-01, stop: 2024-01-01, exclude: [2023-07-04]}
  transform:
    set:
      code: "'n' || customer"
      amount: "amount * 1.0001 -- rounded to the column's scale"
      s: lower('XYZ')
      tier: "CASE WHEN customer > 10 THEN 'gold' ELSE 'rest' END"
    add_columns: {lot: short, feel: mood, tier: varchar(10)}
    preserve_existing: true
  strategy: {chunk_by: quarter}
$$);
SELECT backfill_run('everything');
CALL backfill_wait('everything', '2 min');
\o
SELECT state FROM backfill.jobs WHERE name = 'everything';
SELECT name, outcome, detail FROM backfill.checks WHERE name = 'everything' AND outcome <> 'pass';

-- What the two shapes do not share: what only the swap may give, and the added columns.
SELECT * FROM (
  SELECT 'live' AS only_of, * FROM (SELECT * FROM shape(:'t') EXCEPT ALL SELECT * FROM shape(shadow())) l
  UNION ALL
  SELECT 'shadow', * FROM (SELECT * FROM shape(shadow()) EXCEPT ALL SELECT * FROM shape(:'t')) s) d
ORDER BY kind, name COLLATE "C", only_of;
-- Values that were there are kept, added columns have theirs only in scope, and out of scope nothing changed.
SELECT * FROM differences($$
  SELECT id, "at", amount, CASE WHEN inside THEN coalesce(code, 'n' || customer) ELSE code END, padded, feeling, s, tags, "sel""ect",
         big, ser, twice, customer, lot, feel, tier
  FROM (SELECT *, coalesce("at" >= '2023-01-01' AND "at" < '2024-01-01' AND "at" <> '2023-07-04', false) AS inside,
               NULL::mood AS feel, NULL::short AS lot FROM "Ördërs ""2023""; with a name that is as long as names can b") l,
       LATERAL (SELECT CASE WHEN inside THEN CASE WHEN customer > 10 THEN 'gold' ELSE 'rest' END END AS tier) t $$);
SELECT shadow() AS shadow \gset
SELECT "at", count(*), count(tier) AS filled FROM :shadow
WHERE "at" IS NULL OR NOT isfinite("at") OR "at" < '0001-01-01' OR "at" = '2023-07-04' GROUP BY 1 ORDER BY 1;

-- Run again over what is there, with the indexes in place: ranges, and blocks.
UPDATE :t SET customer = 1 WHERE customer = 2000000;
\o /dev/null
SELECT backfill_retry('everything', chunk) FROM backfill.chunks WHERE name = 'everything';
CALL backfill_wait('everything', '2 min');
\o
SELECT state FROM backfill.jobs WHERE name = 'everything';
SELECT count(*), count(DISTINCT id) FROM :shadow;
\o /dev/null
SELECT backfill_cancel('everything');
\o

-- 2. Joins that multiply rows, and what a transform may know of its run.
CREATE TABLE orders (id int PRIMARY KEY, at timestamptz, customer int, code text);
INSERT INTO orders SELECT i, timestamptz '2023-01-01 00:00+00' + i * interval '3 hours', i % 10, 'c' || i FROM generate_series(1, 1000) i;
INSERT INTO orders VALUES (0, NULL, 1, 'none'), (-1, 'infinity', 1, 'never'), (-2, '-infinity', 1, 'always');
CREATE INDEX ON orders (at);
CREATE TABLE customers (customer int, tier text, since date);
INSERT INTO customers SELECT i, 't' || i, '2020-01-01' FROM generate_series(0, 9) i;
INSERT INTO customers VALUES (3, 'newer', '2021-01-01'), (3, 'older', '2019-01-01');
ANALYZE orders, customers;

\o /dev/null
SELECT backfill_plan($$
backfill:
  name: provenance
  scope: {table: orders, column: at, start: 2023-02-01, stop: 2023-04-01, time_zone: Europe/Berlin}
  transform:
    set: {code: c.tier, day: "at::date", of_chunk: ":chunk", since: ":chunk_start", until: ":chunk_stop", by: ":backfill"}
    join: LEFT JOIN customers c USING (customer)
    dedupe: c.since DESC
    add_columns: {by: text, day: date, since: timestamptz, until: timestamptz, of_chunk: int}
  strategy: {chunk_by: month}
  checks: [{check: exact}]
$$);
SELECT backfill_run('provenance');
CALL backfill_wait('provenance', '2 min');
\o
SELECT state FROM backfill.jobs WHERE name = 'provenance';
SET TimeZone = 'UTC';
SELECT shadow() AS shadow \gset
SELECT by, of_chunk, since, until, count(*), count(*) FILTER (WHERE code = 'newer') AS newer,
       bool_and(day = (at AT TIME ZONE 'Europe/Berlin')::date) AS own_zone
FROM :shadow GROUP BY 1, 2, 3, 4 ORDER BY 2;
-- A row that is drained gets the same as one that was copied, also when it moves into another chunk.
UPDATE orders SET at = '2023-03-15 12:00+00' WHERE id = 300;
UPDATE orders SET customer = 3 WHERE id = 700;
INSERT INTO orders VALUES (2001, '2023-02-15', 3, 'new');
DELETE FROM orders WHERE id = 301;
DO $$ BEGIN
  FOR i IN 1 .. 600 LOOP
    EXIT WHEN (SELECT pending_keys FROM backfill.jobs WHERE name = 'provenance') = 0;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT id, code, by, of_chunk, since, until FROM :shadow WHERE id IN (300, 301, 700, 2001) ORDER BY id;
\o /dev/null
SELECT backfill_cancel('provenance');
\o

-- 3. A query, restricted to the chunk by us.
\o /dev/null
SELECT backfill_plan(name => 'wrapped', target => 'orders', chunk_column => 'at', start => '2023-02-01', stop => '2023-04-01', chunk_by => 'month',
  query => 'SELECT id, at, o.customer, c.tier AS code FROM orders o JOIN customers c ON c.customer = o.customer -- all of them',
  options => '{"transform": {"dedupe": "code"}}');
SELECT backfill_run('wrapped');
CALL backfill_wait('wrapped', '2 min');
\o
SELECT state FROM backfill.jobs WHERE name = 'wrapped';
SELECT * FROM differences($$
  SELECT id, at, customer, CASE WHEN at >= '2023-02-01' AND at < '2023-04-01' THEN
    (SELECT min(tier) FROM customers c WHERE c.customer = o.customer) ELSE code END FROM orders o $$);
\o /dev/null
SELECT backfill_cancel('wrapped');
\o

-- 4. A query with boundaries of its own; the number of the chunk as well.
\o /dev/null
SELECT backfill_plan(name => 'bounded', target => 'orders', chunk_column => 'at', start => '2023-02-01', stop => '2023-04-01', chunk_by => 'month',
  query => 'WITH mine AS (SELECT * FROM orders WHERE at >= :chunk_start AND at < :chunk_stop) SELECT id, at, customer, :chunk::text AS code FROM mine',
  checks => '[{"check": "exact"}]');
SELECT backfill_run('bounded');
CALL backfill_wait('bounded', '2 min');
\o
SELECT state FROM backfill.jobs WHERE name = 'bounded';
SELECT * FROM differences($$
  SELECT id, at, customer, CASE WHEN at >= '2023-02-01' AND at < '2023-03-01' THEN '1'
                                WHEN at >= '2023-03-01' AND at < '2023-04-01' THEN '2' ELSE code END FROM orders $$);
\o /dev/null
SELECT backfill_cancel('bounded');
\o

-- 5. What must not be believed: rows that a neighbouring chunk would bring a second time, and values that do not fit.
\o /dev/null
SELECT backfill_plan(name => 'strays', target => 'orders', chunk_column => 'at', start => '2023-02-01', stop => '2023-04-01', chunk_by => 'month',
  query => 'SELECT * FROM orders WHERE at >= :chunk_start AND at < :chunk_stop::timestamptz + interval ''3 hours''');
SELECT backfill_run('strays');
CALL backfill_wait('strays', '2 min');
\o
SELECT chunk, status, rows, sqlstate, error FROM backfill.chunks WHERE name = 'strays' AND status = 'failed' ORDER BY chunk;
SELECT error_detail FROM backfill.steps WHERE name = 'strays' AND status = 'failed' ORDER BY chunk;
\o /dev/null
SELECT backfill_cancel('strays');
SELECT backfill_plan(name => 'too long', target => :'t', chunk_column => 'at', start => '2023-02-01', stop => '2023-04-01', chunk_by => 'month',
  set => '{"code": "''12345''"}');
SELECT backfill_run('too long');
CALL backfill_wait('too long', '2 min');
\o
SELECT chunk, status, sqlstate, error FROM backfill.chunks WHERE name = 'too long' AND status = 'failed' ORDER BY chunk;
\o /dev/null
SELECT backfill_cancel('too long');
\o

-- 6. Keys so far apart that a double cannot tell them: no batch goes beyond its chunk.
CREATE TABLE far_apart (id bigint PRIMARY KEY, code text);
INSERT INTO far_apart SELECT -9223372036854775808 + n * 36893488147419103::numeric, n FROM generate_series(0, 499) n;
INSERT INTO far_apart VALUES (9223372036854775807, 'last');
\o /dev/null
SELECT backfill_plan(name => 'far apart', target => 'far_apart', chunk_column => 'id', start => '-9223372036854775808',
  stop => '9223372036854775807', chunk_by => '3000000000000000001', set => '{"code": "code || ''!''"}');
SELECT backfill_run('far apart');
CALL backfill_wait('far apart', '2 min');
\o
SELECT state, error FROM backfill.jobs WHERE name = 'far apart';
SELECT * FROM differences($$ SELECT id, code || CASE WHEN code = 'last' THEN '' ELSE '!' END FROM far_apart $$);
\o /dev/null
SELECT backfill_cancel('far apart');
\o

-- Nothing is left of them.
SELECT relname FROM pg_class WHERE relnamespace = 'copy'::regnamespace AND relname ~ '_backfill_' ORDER BY 1;
ALTER DEFAULT PRIVILEGES IN SCHEMA copy REVOKE SELECT ON TABLES FROM PUBLIC;
DROP SCHEMA copy CASCADE;
DROP ROLE copy_reader;
