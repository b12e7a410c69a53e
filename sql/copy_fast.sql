-- Multi-insert does what INSERT … SELECT does: each statement is run both ways, into a table of the same shape, and the two
-- outcomes are held side by side: rows, their images and stored sizes, or everything the error says.
-- Needs a library built with TESTING=1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA copy_fast;
CREATE SCHEMA by_rows;
CREATE SCHEMA in_bulk;
SET search_path = copy_fast, public;
SET TimeZone = 'UTC';
CREATE FUNCTION boundary_bulk_insert(sql text) RETURNS text LANGUAGE c AS '$libdir/backfill';

-- What a statement says: its rows, or its error.
CREATE FUNCTION told_by(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_rows text; v_state text; v_message text; v_detail text; v_hint text; v_table text; v_column text; v_constraint text; v_type text;
BEGIN
  IF statement LIKE 'SELECT boundary%' THEN
    EXECUTE statement INTO v_rows;
    RETURN coalesce(v_rows, 'not in bulk');
  END IF;
  EXECUTE statement;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  RETURN v_rows;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT,
    v_table = TABLE_NAME, v_column = COLUMN_NAME, v_constraint = CONSTRAINT_NAME, v_type = PG_DATATYPE_NAME;
  RETURN concat_ws(E'\n  ', v_state || ' ' || v_message, nullif(v_detail, ''), nullif(v_hint, ''), nullif('table ' || v_table, 'table '),
    nullif('column ' || v_column, 'column '), nullif('constraint ' || v_constraint, 'constraint '), nullif('type ' || v_type, 'type '));
END $$;

-- Rows of a table, as one number that every byte of every value decides.
CREATE FUNCTION image(of_table text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_image text; v_sizes text;
BEGIN
  SELECT string_agg(format('pg_column_size(%I)', attname), ', ') INTO v_sizes
  FROM pg_attribute WHERE attrelid = of_table::regclass AND attnum > 0 AND NOT attisdropped;
  EXECUTE format('SELECT md5(coalesce(string_agg(t::text || array[%s]::int[]::text, chr(10) ORDER BY t::text), %L)) || %L || count(*) FROM %s t',
                 v_sizes, 'none', ' rows ', of_table) INTO v_image;
  RETURN v_image;
END $$;

-- `tail` follows INSERT INTO t.  Says what became of it, and how the two ways differ, which they must not.
CREATE FUNCTION either_way(tail text) RETURNS TABLE (outcome text, differs text) LANGUAGE plpgsql AS $$
DECLARE
  plain text := told_by('INSERT INTO by_rows.t ' || tail);
  bulk text := told_by(format('SELECT boundary_bulk_insert(%L)', 'INSERT INTO in_bulk.t ' || tail));
BEGIN
  RETURN QUERY SELECT bulk, concat_ws(E'\n',
    CASE WHEN plain <> bulk THEN 'INSERT says: ' || plain END,
    CASE WHEN image('by_rows.t') <> image('in_bulk.t') THEN 'the rows' END);
END $$;

CREATE PROCEDURE make(definition text) LANGUAGE plpgsql AS $$
BEGIN
  DROP TABLE IF EXISTS by_rows.t, in_bulk.t;
  EXECUTE 'CREATE TABLE by_rows.t ' || definition;
  EXECUTE 'CREATE TABLE in_bulk.t ' || definition;
END $$;
CREATE PROCEDURE alter_both(what text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'ALTER TABLE by_rows.t ' || what;
  EXECUTE 'ALTER TABLE in_bulk.t ' || what;
END $$;

-- 1. Assignment: lengths, precision, domains, casts that only an assignment makes.
CREATE DOMAIN even AS int CONSTRAINT even_only CHECK (VALUE % 2 = 0);
CREATE DOMAIN short AS varchar(3) NOT NULL;
CALL make('(id bigint, name varchar(4), padded char(5), amount numeric(8,2), at timestamp(0), e even DEFAULT 2, s short DEFAULT ''dft'', bits varbit(4), price real)');
SELECT * FROM either_way($$SELECT i, 'n' || i % 10, 'x' || i, i / 7.0, timestamptz '2024-01-01 00:00:00.6Z' + i * interval '1 s', i * 2, 'ab', B'101', i / 3.0
                     FROM generate_series(1, 2500) i$$);
SELECT * FROM by_rows.t WHERE id IN (1, 2500);
SELECT * FROM either_way($$SELECT 1, 'fits    ', 'longer   ', 1, NULL, NULL, 'abc'$$);
SELECT * FROM either_way($$SELECT 1, 'too long'$$);
SELECT * FROM either_way($$SELECT 1, 'ok', 'too long'$$);
SELECT * FROM either_way($$SELECT 1, 'ok', 'ok', 1e7$$);
SELECT * FROM either_way($$SELECT i, 'ok', 'ok', 1, NULL, i FROM generate_series(2, 5000, 3) i$$);
SELECT * FROM either_way($$(id, s) SELECT 1, NULL$$);
SELECT * FROM either_way($$(id, s) SELECT 1, 'abcd'$$);
SELECT * FROM either_way($$(id, bits) SELECT 1, B'11111'$$);
SELECT * FROM either_way($$(id) SELECT 'one'$$);
SELECT * FROM either_way($$(id) SELECT now()$$);
SELECT * FROM either_way($$(id, nothing) SELECT 1, 2$$);

-- 2. Constraints, on the first row or far behind; an error leaves nothing.
CALL make('(id int NOT NULL, v int CONSTRAINT positive CHECK (v > 0), w int, CONSTRAINT "w is, more" CHECK (w > v), CHECK (tableoid > 0))');
SELECT * FROM either_way($$SELECT i, i, i + 1 FROM generate_series(1, 3000) i$$);
SELECT * FROM either_way($$SELECT nullif(i, 2999), i, i + 1 FROM generate_series(1, 3000) i$$);
SELECT * FROM either_way($$SELECT i, 2999 - i, 3000 FROM generate_series(1, 3000) i$$);
SELECT * FROM either_way($$SELECT 1, 2, 2$$);
SELECT * FROM either_way($$SELECT 1, NULL::int, NULL::int$$);
SELECT * FROM either_way($$SELECT 10 / (i - 2000), 1, 2 FROM generate_series(1, 3000) i$$);
SELECT count(*) FROM in_bulk.t;

-- 3. Generated, default and identity columns, and columns that are gone.
CALL make($$(gone int, id bigint GENERATED ALWAYS AS IDENTITY (START WITH 7), a int, gone_too text,
  twice int GENERATED ALWAYS AS (a * 2) STORED, label text GENERATED ALWAYS AS ('label ' || repeat('x', a)) STORED CHECK (label <> 'label xxx'),
  d text DEFAULT 'default', n int DEFAULT 5)$$);
CALL alter_both('DROP gone, DROP gone_too');
CALL alter_both($$ADD later even DEFAULT 4$$);
SELECT * FROM either_way($$(id, a) OVERRIDING SYSTEM VALUE SELECT -i, i + 3 FROM generate_series(1, 2000) i$$);
SELECT * FROM either_way($$(a, n) SELECT 1, NULL$$);
SELECT * FROM either_way($$(a) SELECT 3$$);
SELECT * FROM either_way($$(id, a) SELECT 1, 3$$);
SELECT * FROM either_way($$(id, a, twice) SELECT 1, 3, 6$$);
SELECT id, a, twice, label, d, n, later FROM in_bulk.t WHERE a < 6 ORDER BY id;

-- 4. Long values: pglz and lz4, in the row and beside it, never compressed, many to a batch, one to a batch.
CALL make('(id int, plain text, packed text COMPRESSION pglz, lz text, raw text, doc jsonb)');
CALL alter_both('ALTER raw SET STORAGE EXTERNAL, ALTER lz SET STORAGE MAIN');
CREATE TABLE long AS
  SELECT i AS id, 'plain' AS plain, repeat('packed ' || i, i * 40) AS packed, repeat('main ' || i, i * 50) AS lz,
         (SELECT string_agg(md5(i || '-' || j), '') FROM generate_series(1, i * 3) j) AS raw, jsonb_build_object('k', repeat('v', i * 100)) AS doc
  FROM generate_series(1, 200) i;
SELECT * FROM either_way('SELECT * FROM long');
SELECT * FROM either_way('SELECT id, plain, raw, raw, packed, doc FROM long WHERE id % 10 = 0');
SELECT * FROM either_way($$SELECT i, 'p', repeat('m', 1000000), NULL, (SELECT string_agg(md5(j::text), '') FROM generate_series(1, 32768) j), '1' FROM generate_series(1, 8) i$$);
SELECT * FROM either_way($$SELECT 1, (SELECT string_agg(md5(j::text), '') FROM generate_series(1, 500) j)$$);
SELECT reltoastrelid <> 0 AS toasted, (SELECT count(DISTINCT raw) FROM in_bulk.t) AS different FROM pg_class WHERE oid = 'in_bulk.t'::regclass;

-- 5. Every other kind of type.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN pairs AS pair CHECK ((VALUE).a > 0);
CALL make('(m mood, a int[], t text[][], p pair, ps pair[], dp pairs DEFAULT ROW(1, ''d''), r int4range, mr datemultirange, u uuid, i interval, n text, b bytea, x xml, c "char", o oid)');
SELECT * FROM either_way($$SELECT (ARRAY['sad', 'happy', NULL])[1 + i % 3]::mood, ARRAY[i, NULL, i + 1], ARRAY[['a', i::text], ['b', NULL]], ROW(i, repeat('y', i))::pair,
    ARRAY[ROW(i, 'z')::pair, NULL], ROW(i, 'q')::pair, int4range(i, i + 5, '[]'), datemultirange(daterange('2024-01-01', NULL)), md5(i::text)::uuid,
    i * interval '1 month 2 days', 'name ' || i, decode(md5(i::text), 'hex'), xmlelement(name e, i), 'c', i FROM generate_series(1, 3000) i$$);
SELECT * FROM either_way($$(a, dp) SELECT ARRAY[i], ROW(i, 'q')::pair FROM generate_series(5, 0, -1) i$$);
SELECT * FROM either_way($$(m) SELECT 'angry'$$);
SELECT * FROM either_way($$(m) SELECT 'angry'::text$$);

-- 6. As many columns as there can be; rows without any; rows as they lie, from a table with fewer attributes than it says.
DO $$
DECLARE
  v_columns text := (SELECT string_agg('c' || i || ' smallint', ', ' ORDER BY i) FROM generate_series(1, 1600) i);
BEGIN
  CALL make('(' || v_columns || ')');
END $$;
SELECT either_way.* FROM (SELECT string_agg(CASE WHEN i % 3 = 0 THEN 'NULL' ELSE 'i' END, ', ') AS list FROM generate_series(1, 1600) i) l,
  LATERAL either_way('SELECT ' || list || ' FROM generate_series(1, 40) i');
CALL make('()');
SELECT * FROM either_way('SELECT FROM generate_series(1, 3000)');
CREATE TABLE grown AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 1500) i;
ALTER TABLE grown ADD later int NOT NULL DEFAULT 42, ADD void text;
CALL make('(id int NOT NULL, name text, later int NOT NULL CHECK (later > 0), void text)');
SELECT * FROM either_way('SELECT * FROM grown');
SELECT * FROM either_way('SELECT id, name, later, void FROM grown');
UPDATE grown SET name = NULL WHERE id = 7;
SELECT * FROM either_way('TABLE grown');
SELECT * FROM either_way('SELECT * FROM grown ORDER BY name NULLS FIRST LIMIT 10');
CALL make('(id int NOT NULL, name text NOT NULL, later int, void text)');
SELECT * FROM either_way('TABLE grown');

-- 7. RETURNING marks rows by what is stored.
CALL make('(id int, at date, twice int GENERATED ALWAYS AS (id * 2) STORED)');
SELECT boundary_bulk_insert($$INSERT INTO in_bulk.t AS s (id, at) SELECT i, timestamp '2024-01-01 12:00' + i * interval '12 h' FROM generate_series(0, 2999) i
  RETURNING (at >= '2024-01-01' AND at < '2025-01-01' AND twice >= 0 AND tableoid = 'in_bulk.t'::regclass) IS NOT TRUE$$);
SELECT count(*) FILTER (WHERE at >= '2025-01-01') AS marked FROM in_bulk.t;

-- 8. What cannot go in bulk is not begun.
CREATE FUNCTION no_op() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION in_bulk(statement text) RETURNS text LANGUAGE sql AS 'SELECT coalesce(boundary_bulk_insert(statement), ''not in bulk'')';
CREATE TABLE t (id int, v int);
SELECT in_bulk('INSERT INTO t SELECT 1, 1');
SELECT in_bulk('INSERT INTO t VALUES (1, 1)');
SELECT in_bulk('INSERT INTO t SELECT 1, 1 RETURNING id');
SELECT in_bulk('INSERT INTO t SELECT 1, 1 RETURNING (SELECT true)');
SELECT in_bulk('INSERT INTO t SELECT 1, 1 ON CONFLICT DO NOTHING');
SELECT in_bulk('WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO t SELECT * FROM gone');
SELECT in_bulk('DELETE FROM t');
SELECT in_bulk('SELECT 1; SELECT 2');
CREATE TRIGGER z BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no_op();
SELECT in_bulk('INSERT INTO t SELECT 1, 1');
DROP TRIGGER z ON t;
CREATE RULE r AS ON INSERT TO t DO ALSO SELECT 1;
SELECT in_bulk('INSERT INTO t SELECT 1, 1');
DROP RULE r ON t;
CREATE INDEX ON t (id);
SELECT in_bulk('INSERT INTO t SELECT 1, 1');
CREATE VIEW v AS SELECT * FROM t;
SELECT in_bulk('INSERT INTO v SELECT 1, 1');
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
SELECT in_bulk('INSERT INTO parted SELECT 1');
SELECT count(*) FROM t;

-- 9. Privileges are those of the INSERT.
CREATE ROLE copy_fast_stranger;
GRANT USAGE ON SCHEMA copy_fast, in_bulk, by_rows TO copy_fast_stranger;
CREATE TABLE secret AS SELECT 1 AS id;
CALL make('(id int)');
GRANT INSERT ON by_rows.t, in_bulk.t TO copy_fast_stranger;
SET ROLE copy_fast_stranger;
SELECT told_by($$SELECT boundary_bulk_insert('INSERT INTO in_bulk.t SELECT 1')$$), told_by($$SELECT boundary_bulk_insert('INSERT INTO in_bulk.t SELECT id FROM secret')$$);
RESET ROLE;
REVOKE INSERT ON in_bulk.t FROM copy_fast_stranger;
SET ROLE copy_fast_stranger;
SELECT told_by($$SELECT boundary_bulk_insert('INSERT INTO in_bulk.t SELECT 1')$$);
RESET ROLE;

-- 10. The SELECT may run in parallel, while constraints are checked and long values go out of line; not where a
--     constraint needs what is forbidden then.
CREATE TABLE many AS SELECT i AS id, i % 100 AS g, md5(i::text) AS name FROM generate_series(1, 20000) i;
ANALYZE many;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
CALL make('(g int CHECK (g >= 0), rows bigint, names text, n int GENERATED ALWAYS AS (length(names)) STORED)');
SELECT * FROM either_way('SELECT g, count(*), string_agg(name, '','' ORDER BY id) FROM many GROUP BY g ORDER BY g');
SELECT * FROM either_way('SELECT g, count(*), min(name) FROM many GROUP BY g HAVING g < 10 ORDER BY g');
CALL make('(id int NOT NULL CHECK (id > 0), name text, long text, up text GENERATED ALWAYS AS (upper(name)) STORED)');
SET parallel_leader_participation = off;
SELECT * FROM either_way('SELECT id, name, repeat(name, 200 * (id % 2)) FROM many WHERE g < 20');
CREATE FUNCTION fresh(x int) RETURNS text PARALLEL SAFE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT name FROM copy_fast.grown WHERE id = x); END';
SELECT * FROM either_way('SELECT id, fresh(id), (SELECT fresh(m.id)) FROM many m WHERE id < 100');
CREATE FUNCTION unsafe(x int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN x / x = 1; EXCEPTION WHEN division_by_zero THEN RETURN true; END$$;
CALL make('(id int CHECK (unsafe(id)), name text)');
SELECT * FROM either_way('SELECT id - 1, name FROM many WHERE id <= 3000 ORDER BY id');

\set VERBOSITY terse
DROP SCHEMA copy_fast, by_rows, in_bulk CASCADE;
DROP ROLE copy_fast_stranger;
