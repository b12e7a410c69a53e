-- Materialized views have the new contents after a publish and the old ones after a rollback; they, their indexes and
-- all that hangs on them stay what they are, OIDs and all.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE matview_owner NOLOGIN;
CREATE ROLE matview_reader NOLOGIN;
CREATE SCHEMA materialized AUTHORIZATION matview_owner;
SET search_path = materialized, public;
GRANT USAGE ON SCHEMA materialized TO matview_reader;

CREATE TABLE sales (id int PRIMARY KEY, day date NOT NULL, amount int NOT NULL, note text);
INSERT INTO sales SELECT g, date '2024-01-01' + g % 30, g, repeat('long ' || g, 1000) FROM generate_series(1, 300) AS g;
CREATE TABLE shops (id int PRIMARY KEY, name text);
INSERT INTO shops SELECT g, 'shop ' || g FROM generate_series(1, 300) AS g;
GRANT SELECT ON sales, shops TO matview_owner;
CREATE FUNCTION tripled(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 3 * $1';
CREATE FUNCTION doubled(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT tripled($1) - $1';
-- Before PostgreSQL 17 contents and indexes are built under the search_path of who asks for them.
SELECT current_setting('server_version_num')::int >= 170000 AS pinned \gset
\if :pinned
ALTER FUNCTION doubled SET search_path = materialized;
\endif

-- With a unique index, of another owner, with all that can hang on one.
CREATE MATERIALIZED VIEW daily (the_day, total) WITH (fillfactor = 70, autovacuum_enabled = off) AS
  SELECT day, sum(amount) FROM sales JOIN shops USING (id) GROUP BY day;
CREATE UNIQUE INDEX daily_day ON daily (the_day);
CREATE INDEX daily_total ON daily (total) WHERE total > 100;
COMMENT ON MATERIALIZED VIEW daily IS 'by day';
COMMENT ON COLUMN daily.total IS 'the sum';
GRANT SELECT ON daily TO matview_reader WITH GRANT OPTION;
GRANT SELECT (the_day) ON daily TO PUBLIC;
ALTER MATERIALIZED VIEW daily CLUSTER ON daily_day;
ALTER MATERIALIZED VIEW daily ALTER COLUMN total SET STATISTICS 50;
ALTER MATERIALIZED VIEW daily OWNER TO matview_owner;
-- Without one; an index on an expression that needs the search_path; values out of line; a name that just fits.
CREATE MATERIALIZED VIEW "Größe, quoted "" and as long as a name may be, 63 bytes, with" AS
  SELECT id, doubled(amount) AS twice, note FROM sales;
ALTER MATERIALIZED VIEW "Größe, quoted "" and as long as a name may be, 63 bytes, with" ALTER note SET STORAGE EXTERNAL;
CREATE INDEX "Größe, index with a name as long as a name may be, 63 bytes, ab" ON
  "Größe, quoted "" and as long as a name may be, 63 bytes, with" (doubled(twice)) WHERE id > 10;
CREATE UNIQUE INDEX partly ON "Größe, quoted "" and as long as a name may be, 63 bytes, with" (id) WHERE id > 0;
CREATE STATISTICS pair ON id, twice FROM "Größe, quoted "" and as long as a name may be, 63 bytes, with";
-- Over it, through views, and over both; not populated; empty.
CREATE VIEW seen AS SELECT twice, note FROM "Größe, quoted "" and as long as a name may be, 63 bytes, with";
CREATE MATERIALIZED VIEW top AS SELECT max(twice) AS most, (SELECT max(total) FROM daily) AS best FROM seen;
-- It depends on the primary key; elsewhere.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE matview_place LOCATION '';
CREATE MATERIALIZED VIEW grouped TABLESPACE matview_place AS SELECT id, amount FROM sales GROUP BY id;
CREATE INDEX grouped_amount ON grouped USING hash (amount) TABLESPACE matview_place;
CREATE VIEW large AS SELECT id, amount FROM sales WHERE amount > 100;
CREATE MATERIALIZED VIEW through AS SELECT count(*) FROM large;
CREATE MATERIALIZED VIEW later AS SELECT id FROM sales WITH NO DATA;
CREATE MATERIALIZED VIEW nobody AS SELECT FROM sales WHERE amount < 0;
-- Cannot be computed from the new version.
CREATE MATERIALIZED VIEW fails AS SELECT 900 / (1010 - amount) AS v FROM sales WHERE id = 101;
-- Bound to the materialized view itself, its row type included.
CREATE FUNCTION of_row(daily) RETURNS bigint LANGUAGE sql AS 'SELECT ($1).total';
CREATE FUNCTION best() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT max(total) FROM daily; END;
ANALYZE;

CREATE VIEW contents AS
  SELECT (SELECT total FROM daily WHERE the_day = '2024-01-02') AS daily,
         (SELECT string_agg(twice || ':' || length(note), ' ' ORDER BY id) FROM
           "Größe, quoted "" and as long as a name may be, 63 bytes, with" WHERE id IN (1, 300)) AS long_name,
         (SELECT most || ' ' || best FROM top) AS top, (SELECT sum(amount) FROM grouped) AS "grouped", (SELECT count FROM through) AS through,
         (SELECT count(*) FROM nobody) AS nobody, (SELECT v FROM fails) AS fails, best();
-- What a dump would tell, and the OIDs.
CREATE VIEW shape AS
  SELECT c.relname, c.oid, c.relkind, c.relowner::regrole, c.relacl::text, c.reloptions, c.relispopulated, c.relhasindex, c.reltablespace,
         pg_get_viewdef(c.oid) AS definition, obj_description(c.oid, 'pg_class') AS comment,
         (SELECT array_agg((a.attname, a.attacl, a.attstorage, a.attcompression, a.attstattarget, col_description(c.oid, a.attnum))::text
                           ORDER BY attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,
         (SELECT array_agg((i.indexrelid, pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisvalid)::text ORDER BY indexrelid)
            FROM pg_index i WHERE i.indrelid = c.oid) AS indexes,
         (SELECT array_agg(pg_get_statisticsobjdef(oid)) FROM pg_statistic_ext WHERE stxrelid = c.oid) AS statistics,
         (SELECT array_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) || d.deptype::text) FROM pg_depend d
            JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid WHERE r.ev_class = c.oid) AS reads,
         (SELECT relname = 'pg_toast_' || c.oid FROM pg_class t WHERE t.oid = c.reltoastrelid) AS toast
    FROM pg_class c WHERE c.relnamespace = 'materialized'::regnamespace AND c.relkind IN ('m', 'v')
     AND c.relname NOT IN ('contents', 'shape', 'changed');
CREATE TABLE before AS SELECT * FROM shape;
CREATE VIEW changed AS
  (SELECT 'before' AS side, relname FROM (TABLE before EXCEPT TABLE shape) AS b) UNION ALL
  (SELECT 'after', relname FROM (TABLE shape EXCEPT TABLE before) AS a) ORDER BY 1, 2;
-- Waits until nothing is left to do after a swap.
CREATE PROCEDURE settle(of_job text DEFAULT 'recompute') LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM backfill.steps WHERE name = of_job AND phase = 'after' AND status IN ('pending', 'running'));
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
TABLE contents;

SELECT count(*) > 0 AS planned FROM backfill_plan('recompute', 'sales', set => '{"amount": "amount * 10"}',
  chunk_column => 'day', start => '2024-01-01', stop => '2024-02-01', chunk_by => 'month');
SELECT object, kind, fate, regexp_replace(detail, '\(\d+ \w+\)', '(size)') AS detail FROM backfill.dependents WHERE name = 'recompute' AND kind LIKE '%view' AND object !~ 'contents' ORDER BY object COLLATE "C";
SELECT kind, title FROM backfill.steps WHERE name = 'recompute' AND phase = 'after' ORDER BY step;
SELECT backfill_run('recompute') IS NOT NULL AS started;
CALL backfill_wait('recompute', '1 min');

-- Bound to the new version at once, with the old contents.
BEGIN;
SELECT backfill_publish('recompute') ~ '^published' AS published;
TABLE contents;
TABLE changed;
ROLLBACK;
TABLE changed;

SELECT substring(backfill_publish('recompute') FROM '\d+ materialized [^;]*');
CALL settle();
SELECT title, status, attempts, error FROM backfill.steps WHERE name = 'recompute' AND phase = 'after' ORDER BY step;
TABLE contents;
TABLE changed;
-- Put right, it is tried again.
UPDATE sales SET amount = 1009 WHERE id = 101;
SELECT backfill_run('recompute');
CALL settle();
SELECT v FROM fails;
-- Index scans find the rows, and only those.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM daily WHERE total > 100;
SELECT id FROM "Größe, quoted "" and as long as a name may be, 63 bytes, with" WHERE doubled(twice) = 2400 AND id > 10;
RESET enable_seqscan;
RESET enable_bitmapscan;
-- They can be refreshed as before.
UPDATE sales SET amount = 1 WHERE id = 300;
SET ROLE matview_owner;
REFRESH MATERIALIZED VIEW CONCURRENTLY daily;
RESET ROLE;
REFRESH MATERIALIZED VIEW "Größe, quoted "" and as long as a name may be, 63 bytes, with";
REFRESH MATERIALIZED VIEW top;
TABLE contents;

SELECT backfill_rollback('recompute') ~ '^rolled back' AS rolled_back;
CALL settle();
TABLE contents;
TABLE changed;

-- Published again.  Ending it at once: what is to be refreshed is refreshed first.
SELECT backfill_publish('recompute') ~ '^published' AS published;
SELECT backfill_finish('recompute') ~ '^finished' AS finished;
TABLE contents;
TABLE changed;
SELECT status, count(*) FROM backfill.steps WHERE name = 'recompute' AND kind = 'refresh' GROUP BY status;
SELECT relname FROM pg_class WHERE relname ~ '_(backfill|archive)_\d+$';

-- One over two tables that are published together; one that has an index left behind by a failure.
CREATE TABLE a (id int PRIMARY KEY, v int);
CREATE TABLE b (id int PRIMARY KEY, v int);
INSERT INTO a VALUES (1, 1), (2, 2);
INSERT INTO b VALUES (1, 1), (2, 2);
CREATE MATERIALIZED VIEW both_tables AS SELECT id, a.v AS a, b.v AS b FROM a JOIN b USING (id);
CREATE MATERIALIZED VIEW spoiled AS SELECT 1 AS one, v FROM b;
\set VERBOSITY sqlstate
CREATE UNIQUE INDEX CONCURRENTLY spoiled_index ON spoiled (one);
\set VERBOSITY default
SELECT count(*) > 0 AS planned FROM backfill_plan('recompute', 'a', set => '{"v": "v * 10"}', chunk_by => 'blocks');
SELECT count(*) > 0 AS planned FROM backfill_plan('other', 'b', set => '{"v": "v * 100"}', chunk_by => 'blocks');
SELECT backfill_run('recompute') IS NOT NULL AND backfill_run('other') IS NOT NULL AS started;
CALL backfill_wait('recompute', '1 min');
CALL backfill_wait('other', '1 min');
SELECT backfill_publish('recompute', 'other') ~ '^published' AS published;
CALL settle();
CALL settle('other');
SELECT name, title, status, error, error_hint FROM backfill.steps
 WHERE name IN ('recompute', 'other') AND phase = 'after' AND status IN ('done', 'failed') AND id > (SELECT max(id) - 2 FROM backfill.job) ORDER BY 1, 2;
TABLE both_tables;
SELECT backfill_rollback('other') ~ '^rolled back' AS rolled_back;
CALL settle('other');
TABLE both_tables;
DROP INDEX spoiled_index;
SELECT backfill_cancel('other') IS NOT NULL AND backfill_finish('recompute') IS NOT NULL AS ended;
TABLE spoiled;
SELECT relname FROM pg_class WHERE relname ~ '_(backfill|archive)_\d+$';

RESET search_path;
DROP SCHEMA materialized CASCADE;
DROP ROLE matview_owner, matview_reader;
DROP TABLESPACE matview_place;
