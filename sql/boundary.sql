-- The boundary between ereport and C++ exceptions: nothing of an error is lost on its way through, destructors run,
-- swallowed errors leave nothing.  Needs a library built with TESTING=1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;

CREATE SCHEMA boundary;
SET search_path = boundary, public;
CREATE FUNCTION boundary_forward(sql text, depth int) RETURNS text LANGUAGE c AS '$libdir/backfill';
CREATE FUNCTION boundary_raise(kind text) RETURNS void LANGUAGE c AS '$libdir/backfill';
CREATE FUNCTION boundary_swallow(sql text, times bigint) RETURNS bigint LANGUAGE c AS '$libdir/backfill';
CREATE FUNCTION boundary_alive() RETURNS bigint LANGUAGE c AS '$libdir/backfill';

-- All that an error says, one line each.
CREATE FUNCTION told_by(statement text) RETURNS TABLE (field text, value text) LANGUAGE plpgsql AS $$
DECLARE
  v_state text; v_message text; v_detail text; v_hint text; v_context text;
  v_schema text; v_table text; v_column text; v_constraint text; v_type text;
BEGIN
  EXECUTE statement;
  RETURN QUERY VALUES ('no error', '');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
    v_hint = PG_EXCEPTION_HINT, v_context = PG_EXCEPTION_CONTEXT, v_schema = SCHEMA_NAME, v_table = TABLE_NAME,
    v_column = COLUMN_NAME, v_constraint = CONSTRAINT_NAME, v_type = PG_DATATYPE_NAME;
  RETURN QUERY VALUES ('sqlstate', v_state), ('message', v_message), ('detail', v_detail), ('hint', v_hint),
    ('schema', v_schema), ('table', v_table), ('column', v_column), ('constraint', v_constraint), ('type', v_type),
    ('context', v_context);
END $$;

CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int CONSTRAINT child_positive CHECK (id > 0), parent int CONSTRAINT child_parent REFERENCES parent);
CREATE DOMAIN small AS int CONSTRAINT small_enough CHECK (VALUE < 10);
CREATE FUNCTION complain() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a custom failure' USING ERRCODE = 'BF001', DETAIL = 'Some detail.', HINT = 'Some hint.',
    COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 't', TABLE = 'u', SCHEMA = 's';
END $$;

-- 1. An error that went through three frames of C++ says what it says without them; but for the context, which tells
--    the statement that C++ ran.
CREATE TABLE provoked (title text, statement text);
INSERT INTO provoked VALUES
  ('check', 'INSERT INTO child VALUES (0, NULL) RETURNING id'),
  ('foreign key', 'INSERT INTO child VALUES (1, 1) RETURNING id'),
  ('domain', 'SELECT 11::small'),
  ('custom', 'SELECT complain()'),
  ('division', 'SELECT 1 / 0'),
  ('syntax', 'SELEC 1'),
  ('column', 'SELECT nothing FROM child');
SELECT title, field, direct.value AS direct, through.value AS through
FROM provoked, told_by(statement) AS direct
JOIN LATERAL told_by(format('SELECT boundary_forward(%L, 3)', statement)) AS through USING (field)
WHERE field <> 'context' AND direct.value IS DISTINCT FROM through.value;
SELECT title, value AS sqlstate FROM provoked, told_by(format('SELECT boundary_forward(%L, 3)', statement))
WHERE field = 'sqlstate' ORDER BY title;
SELECT * FROM told_by($$SELECT boundary_forward('SELECT complain()', 3)$$);
SELECT boundary_alive();

-- 2. The cursor still points at the place.
\set VERBOSITY default
SELECT boundary_forward('SELECT 1 + nothing', 0);

-- 3. Exceptions of our own, of the standard library, and what nobody expects.
SELECT * FROM told_by($$SELECT boundary_raise('error')$$) WHERE value <> '';
SELECT * FROM told_by($$SELECT boundary_raise('bad_alloc')$$) WHERE value <> '' AND field <> 'context';
SELECT * FROM told_by($$SELECT boundary_raise('standard')$$) WHERE value <> '' AND field <> 'context';
SELECT * FROM told_by($$SELECT boundary_raise('unknown')$$) WHERE value <> '' AND field <> 'context';
SELECT boundary_alive();

-- 4. Up and down several times: C++, SQL, C++, PL/pgSQL, error.
SELECT * FROM told_by($$SELECT boundary_forward($q$SELECT boundary_forward('SELECT complain()', 2)$q$, 2)$$)
WHERE field IN ('sqlstate', 'message', 'detail', 'hint', 'constraint');
SELECT boundary_alive();

-- 5. What is cancelled is cancelled.
SET statement_timeout = '20ms';
SELECT boundary_forward('SELECT pg_sleep(600)', 3);
RESET statement_timeout;
SELECT boundary_alive();

-- 6. A swallowed error takes back what its subtransaction did, and nothing else.
CREATE TABLE written (n int);
CREATE FUNCTION write_and_fail() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO written VALUES (2);
  RETURN 1 / 0;
END $$;
BEGIN;
INSERT INTO written VALUES (1);
SELECT boundary_swallow('SELECT write_and_fail()', 3);
INSERT INTO written VALUES (3);
SELECT boundary_swallow('INSERT INTO written VALUES (4) RETURNING n', 2);
COMMIT;
SELECT n, count(*) FROM written GROUP BY n ORDER BY n;

-- 7. Fifty thousand swallowed errors leave no memory, no context and no lock behind.
SELECT boundary_swallow('SELECT 1 / 0', 1000) AS warmed_up;
CREATE TEMP TABLE before AS
  SELECT sum(total_bytes) AS bytes, count(*) AS contexts FROM pg_backend_memory_contexts;
SELECT boundary_swallow('SELECT 1 / 0', 50000) AS swallowed;
SELECT sum(total_bytes) - max(before.bytes) < 256 * 1024 AS flat, count(*) - max(contexts) < 20 AS few_contexts,
  count(*) FILTER (WHERE name = 'backfill error') <= 1 AS errors_freed
FROM pg_backend_memory_contexts, before;
SELECT boundary_alive();

DROP SCHEMA boundary CASCADE;
