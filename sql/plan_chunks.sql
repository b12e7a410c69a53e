-- Chunks: calendar units in a named zone, intervals, widths, blocks; what is excluded; what is split.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION backfill;
CREATE SCHEMA chunked;
SET search_path = chunked, public;

CREATE TABLE t (id int PRIMARY KEY, at timestamptz, ts timestamp, d date, n bigint, s smallint, v int);
CREATE INDEX ON t (at);
CREATE INDEX ON t (ts);
CREATE INDEX ON t (d);
CREATE INDEX ON t (n);
CREATE INDEX ON t (s);

-- The range chunks of a plan, which is taken back.
CREATE FUNCTION chunks(chunk_column text, start text, stop text, chunk_by text, zone text DEFAULT 'UTC', more jsonb DEFAULT '{}')
RETURNS TABLE (chunk int, lo text, hi text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_plan('x', 't', set => '{"v": "v + 1"}', chunk_column => chunk_column, start => start, stop => stop,
    chunk_by => chunk_by, options => jsonb_build_object('strategy', more - 'exclude',
      'scope', jsonb_build_object('time_zone', zone, 'exclude', coalesce(more -> 'exclude', '[]'))));
  RETURN QUERY SELECT s.chunk, s.lo, s.hi FROM backfill.step s WHERE s.kind = 'range' ORDER BY s.id;
  DELETE FROM backfill.job;
END $$;

\echo -- days of 23 and 25 hours are one chunk each
SELECT *, hi::timestamptz - lo::timestamptz FROM chunks('at', '2023-03-25', '2023-03-28', 'day', 'Europe/Berlin');
SELECT *, hi::timestamptz - lo::timestamptz FROM chunks('at', '2023-10-28', '2023-10-31', 'day', 'Europe/Berlin');
\echo -- hours are hours
SELECT count(*), bool_and(hi::timestamptz - lo::timestamptz = '1 hour') FROM chunks('at', '2023-03-26', '2023-03-27', 'hour', 'Europe/Berlin');
SELECT count(*), bool_and(hi::timestamptz - lo::timestamptz = '1 hour') FROM chunks('at', '2023-10-29', '2023-10-30', 'hour', 'Europe/Berlin');
\echo -- a day that has no midnight begins at one
SELECT * FROM chunks('at', '2018-11-03', '2018-11-06', 'day', 'America/Sao_Paulo');
SELECT * FROM chunks('at', '2018-02-17', '2018-02-19', 'day', 'America/Sao_Paulo');
\echo -- a day that has two begins at the first
SELECT *, hi::timestamptz - lo::timestamptz FROM chunks('at', '2023-11-04', '2023-11-07', 'day', 'America/Havana');
\echo -- hours begin where the zone has them
SELECT * FROM chunks('at', '2023-01-01 00:10', '2023-01-01 02:10', 'hour', 'Asia/Kolkata');
\echo -- weeks begin on Monday
SELECT *, to_char(lo::date, 'Dy') FROM chunks('d', '2023-01-01', '2023-01-20', 'week');
\echo -- months, quarters, years; the first begins at start, the last ends at stop
SELECT * FROM chunks('ts', '2023-01-15', '2023-04-02', 'month', 'Europe/Berlin');
SELECT * FROM chunks('d', '2023-01-15', '2023-08-02', 'quarter');
SELECT * FROM chunks('at', '2021-06-15', '2023-08-02', 'year');
\echo -- intervals count from start, by the clock or on the calendar
SELECT * FROM chunks('at', '2023-03-25 12:00', '2023-03-27 12:00', '24 hours', 'Europe/Berlin');
SELECT * FROM chunks('at', '2023-03-25 12:00', '2023-03-27 12:00', '1 day', 'Europe/Berlin');
SELECT * FROM chunks('d', '2023-01-31', '2023-05-01', '1 month');
\echo -- ten thousand in one statement
SELECT count(*) FROM chunks('at', '2000-01-01', '2001-02-20 16:00', 'hour');
SELECT * FROM chunks('d', '2023-01-01', '2023-01-25', '10 days');
\echo -- widths
SELECT * FROM chunks('n', '1', '25', '10');
SELECT * FROM chunks('s', '-5', '5', '4');
SELECT count(*), min(lo::bigint), max(hi::bigint) FROM chunks('n', '-9223372036854775808', '9223372036854775807', '1000000000000000000');
\echo -- far away
SELECT * FROM chunks('ts', '0002-12-01 BC', '0001-02-01', 'year');
\echo -- what is excluded: a bare date is that day, a time its unit, a key itself; what touches is merged
SELECT * FROM chunks('at', '2023-01-01', '2023-03-01', 'month', 'Europe/Berlin', '{"exclude": ["2023-01-10", "2023-01-11", "2023-02-28"]}');
SELECT * FROM chunks('at', '2023-01-01', '2023-01-04', 'day', 'Europe/Berlin', '{"exclude": ["2023-01-02 13:00"]}');
SELECT * FROM chunks('d', '2023-01-01', '2023-01-10', 'week', 'UTC', '{"exclude": ["2023-01-02"]}');
SELECT * FROM chunks('n', '1', '25', '10', 'UTC', '{"exclude": [5, 6, 1]}');
\echo -- the newest first
SELECT * FROM chunks('d', '2023-01-01', '2023-03-10', 'month', 'UTC', '{"order": "newest_first"}');

INSERT INTO t SELECT i, '2023-01-01'::timestamptz + i * interval '1 minute', NULL, '2023-01-01'::date + i / 1440, i, NULL, i
  FROM generate_series(0, 20159) i;
ANALYZE t;
\echo -- larger than chunk_size: equal parts
SELECT * FROM chunks('at', '2023-01-01', '2023-01-15', 'week', 'UTC', '{"chunk_size": 4000}');
SELECT * FROM chunks('d', '2023-01-02', '2023-01-09', 'week', 'UTC', '{"chunk_size": 5000}');
SELECT count(*), min(hi::int - lo::int), max(hi::int - lo::int) FROM chunks('n', '0', '20160', '100000', 'UTC', '{"chunk_size": 3000}');
\echo -- chosen by length and rows
SELECT count(*), min(hi::timestamptz - lo::timestamptz) FROM chunks('at', '2023-01-01', '2023-01-15', NULL);
SELECT count(*), min(hi::timestamp - lo::timestamp) FROM chunks('ts', '2010-01-01', '2023-01-15', NULL);
SELECT count(*), min(hi::bigint - lo::bigint) FROM chunks('n', '0', '20160', NULL);
\echo -- rows out of scope, by blocks; the last is open
SELECT count(*) > 0 FROM backfill_plan('x', 't', set => '{"v": "v + 1"}', chunk_column => 'at', start => '2023-01-01', stop => '2023-01-08', chunk_by => 'week');
SELECT chunk, kind, lo, hi, params, rows_estimated FROM backfill.step WHERE kind IN ('range', 'blocks') ORDER BY id;
DELETE FROM backfill.job;
\echo -- where an index finds the few rows out of scope they are one chunk
CREATE TABLE long AS SELECT i AS id, i AS n, 0 AS v FROM generate_series(1, 250000) AS i;
ALTER TABLE long ADD PRIMARY KEY (id);
CREATE INDEX ON long (n);
SET default_statistics_target = 1000;  -- every row is looked at
ANALYZE long;
RESET default_statistics_target;
CREATE FUNCTION rest(stop int) RETURNS TABLE (chunks bigint, thousands numeric) LANGUAGE sql AS $$
  SELECT count(*) FROM backfill_plan('x', 'long', set => '{"v": "n"}', chunk_column => 'n', start => '1', stop => $1::text);
  WITH gone AS (DELETE FROM backfill.job WHERE name = 'x' RETURNING id)
  SELECT count(*), round(sum(rows_estimated) / 1000.0) FROM backfill.step WHERE job_id = (SELECT id FROM gone) AND kind = 'blocks' $$;
SELECT * FROM rest(250001);
SELECT * FROM rest(240001);
SELECT * FROM rest(200001);
DROP FUNCTION rest;
DROP TABLE long;
\echo -- without an index the table is read once, by blocks
DROP INDEX t_at_idx;
SELECT line FROM backfill_plan('x', 't', set => '{"v": "v + 1"}', chunk_column => 'at', start => '2023-01-01', stop => '2023-01-08', chunk_by => 'day',
  options => '{"scope": {"exclude": ["2023-01-02"]}}') line WHERE line ~ '^(Chunks|Warning)|!';
SELECT chunk, kind, lo, hi, params FROM backfill.step WHERE kind IN ('range', 'blocks') ORDER BY id;
SELECT start, stop, exclude FROM backfill.job;
DELETE FROM backfill.job;
\echo -- but a query, or a value made from its chunk, needs ranges
SELECT count(*) > 0 FROM backfill_plan('x', 't', query => 'SELECT * FROM t', chunk_column => 'at', start => '2023-01-01', stop => '2023-01-08', chunk_by => 'day');
SELECT kind, count(*) FROM backfill.step WHERE kind IN ('range', 'blocks') GROUP BY kind ORDER BY kind;
DELETE FROM backfill.job;
SELECT count(*) > 0 FROM backfill_plan('x', 't', set => '{"v": ":chunk"}', chunk_column => 'at', start => '2023-01-01', stop => '2023-01-08', chunk_by => 'day');
SELECT kind, count(*) FROM backfill.step WHERE kind IN ('range', 'blocks') GROUP BY kind ORDER BY kind;
DELETE FROM backfill.job;
\echo -- the whole table
SELECT count(*) > 0 FROM backfill_plan('x', 't', set => '{"v": "v + 1"}', chunk_by => 'blocks');
SELECT chunk, kind, lo, hi, params, rows_estimated FROM backfill.step WHERE kind IN ('range', 'blocks') ORDER BY id;
DELETE FROM backfill.job;

DROP SCHEMA chunked CASCADE;
DROP EXTENSION backfill;
DROP SCHEMA IF EXISTS backfill CASCADE;
