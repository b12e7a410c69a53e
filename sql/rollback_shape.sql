-- What was done to the table since publish stays done after a rollback: settings, demands, indexes, statistics objects.  And
-- names are exact however often it goes there and back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA shaping;
SET search_path = shaping, public;
CREATE PROCEDURE ready(job text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_run(job);
  COMMIT;
  FOR i IN 1..1200 LOOP
    EXIT WHEN (SELECT state = 'ready' FROM backfill.jobs WHERE name = job);
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END $$;
CREATE FUNCTION shape(r regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT concat_ws(' ', 'table', relname, (SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) AS o), relreplident, obj_description(oid, 'pg_class')) FROM pg_class WHERE oid = r
  UNION ALL
  SELECT concat_ws(' ', 'toast', t.reloptions) FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = r
  UNION ALL
  SELECT concat_ws(' ', 'column', attname, attnotnull, coalesce(attstattarget, -1), attstorage, attcompression, (SELECT array_agg(o) FROM unnest(attoptions) AS o WHERE o LIKE 'n\_%'), pg_get_expr(adbin, adrelid),
                   col_description(r, attnum))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = r AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
    FROM pg_constraint WHERE conrelid = r AND contype <> 't'
  UNION ALL
  SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident, obj_description(indexrelid, 'pg_class'))
    FROM pg_index WHERE indrelid = r
  UNION ALL
  SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid), stxstattarget, obj_description(oid, 'pg_statistic_ext'))
    FROM pg_statistic_ext WHERE stxrelid = r $$;
CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, a int NOT NULL DEFAULT 1, b int, note text, x int, y int DEFAULT 0, z int,
                CONSTRAINT positive CHECK (a > 0)) WITH (fillfactor = 80);
INSERT INTO t (id, code, a, b, note) SELECT i, 'c' || i, i, i % 5, repeat('x', i) FROM generate_series(1, 100) i;
CREATE INDEX dropped ON t (b);
CREATE INDEX renamed ON t (a);
CREATE INDEX replaced ON t (note);
CREATE STATISTICS old_statistics ON a, b FROM t;
COMMENT ON INDEX renamed IS 'an index';
CREATE TABLE seen (line text);
CREATE PROCEDURE see() LANGUAGE sql AS $$ DELETE FROM seen; INSERT INTO seen SELECT shape('t'); $$;
CREATE VIEW changed AS
  SELECT 'gone' AS what, line FROM (SELECT line FROM seen EXCEPT ALL SELECT shape('t')) AS x(line)
  UNION ALL SELECT 'new', line FROM (SELECT shape('t') EXCEPT ALL SELECT line FROM seen) AS x(line) ORDER BY 1, 2;

SELECT count(*) > 0 AS planned FROM backfill_plan($$
  name: reshape
  scope: {table: t}
  transform: {add_columns: {tier: text}, set: {tier: "'gold'", note: "note || 'y'", x: 1, y: 1, z: id}}
  strategy: {chunk_by: blocks}$$);
CALL ready('reshape');
CALL see();
SELECT left(backfill_publish('reshape'), 17);
SELECT * FROM changed;

-- Since publish: everything that a DBA might do.
ALTER TABLE t SET (fillfactor = 60, autovacuum_vacuum_threshold = 7, toast.autovacuum_enabled = off), REPLICA IDENTITY FULL;
ALTER TABLE t ALTER a DROP NOT NULL, ALTER b SET NOT NULL, ALTER a SET DEFAULT 5, ALTER note SET STORAGE EXTERNAL,
  ALTER b SET STATISTICS 33, ALTER b SET (n_distinct = 5), DROP CONSTRAINT positive, DROP CONSTRAINT t_code_key,
  ADD CONSTRAINT small CHECK (b < 10), ADD CONSTRAINT tiered CHECK (tier <> 'lead'), ADD CONSTRAINT once UNIQUE (note) DEFERRABLE;
COMMENT ON TABLE t IS 'a table';
COMMENT ON COLUMN t.note IS 'a column';
COMMENT ON CONSTRAINT small ON t IS 'a constraint';
COMMENT ON CONSTRAINT once ON t IS 'a unique one';
DROP INDEX dropped, replaced;
CREATE INDEX replaced ON t (note DESC) WHERE id > 5;
ALTER INDEX renamed RENAME TO "Ünï index with a name as long as a name of an index can be 1";
CREATE INDEX "Ünï index with a name as long as a name of an index can be 2" ON t (lower(note)) INCLUDE (b);
CREATE INDEX by_tier ON t (tier);
COMMENT ON INDEX replaced IS 'another index';
CLUSTER t USING "Ünï index with a name as long as a name of an index can be 1";
DROP STATISTICS old_statistics;
CREATE STATISTICS new_statistics (mcv) ON b, (a % 10) FROM t;
ALTER STATISTICS new_statistics SET STATISTICS 44;
COMMENT ON STATISTICS new_statistics IS 'statistics';
-- Rows that only the new shape allows.
INSERT INTO t (id, code, a, b, note) VALUES (101, 'c1', NULL, 1, 'n1'), (102, 'c1', -5, 1, 'n2');
CALL see();
SELECT left(backfill_rollback('reshape'), 19);
SELECT * FROM changed;
SELECT id, code, a, b, left(note, 5) AS note FROM t WHERE id IN (1, 2, 101, 102) ORDER BY id;
SELECT relname FROM pg_class WHERE relname ~ '_archive_\d+$' AND relnamespace = 'shaping'::regnamespace;

-- There and back again; only what is about the added column comes and goes.
UPDATE t SET b = 9 WHERE id = 1;
CALL ready('reshape');
SELECT left(backfill_publish('reshape'), 17);
SELECT * FROM changed;
UPDATE t SET b = 8 WHERE id = 2;
SELECT left(backfill_rollback('reshape'), 19);
CALL see();
SELECT left(backfill_publish('reshape'), 17);
SELECT left(backfill_rollback('reshape'), 19);
SELECT * FROM changed;
SELECT left(backfill_publish('reshape'), 17);

-- Demands that rows of the old version do not meet are told, with the statements to run.
CREATE UNIQUE INDEX distinct_z ON t (coalesce(z, 0));
ALTER TABLE t ALTER x SET NOT NULL, ADD CONSTRAINT "y > 0" CHECK (y > 0);
INSERT INTO t (id, b, x, y, z) VALUES (103, 1, 3, 3, 103);
\set VERBOSITY terse
SELECT left(backfill_rollback('reshape'), 19);
INSERT INTO t (id, b, note) VALUES (104, 1, 'new');
INSERT INTO t (id, b, note, y) VALUES (105, 1, 'newer', 1);
RESET search_path;
SELECT left(backfill_cancel('reshape'), 17);
DROP SCHEMA shaping CASCADE;
