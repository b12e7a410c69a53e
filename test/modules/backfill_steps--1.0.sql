-- The steps of a job one at a time (src/testing.cpp), for isolation tests.
\echo Use "CREATE EXTENSION backfill_steps" to load this file. \quit

CREATE FUNCTION shadow(job text) RETURNS void LANGUAGE c AS '$libdir/backfill', 'steps_shadow';
CREATE FUNCTION capture(job text) RETURNS void LANGUAGE c AS '$libdir/backfill', 'steps_capture';
CREATE FUNCTION capture_intact(job text) RETURNS boolean LANGUAGE c AS '$libdir/backfill', 'steps_capture_intact';
CREATE FUNCTION copy(job text, chunk int) RETURNS bigint LANGUAGE c AS '$libdir/backfill', 'steps_copy';
CREATE FUNCTION replace(job text, chunk int) RETURNS bigint LANGUAGE c AS '$libdir/backfill', 'steps_replace';
CREATE FUNCTION purge(job text) RETURNS text LANGUAGE c AS '$libdir/backfill', 'steps_purge';
CREATE FUNCTION build(job text) RETURNS void LANGUAGE c AS '$libdir/backfill', 'steps_build';
CREATE FUNCTION drain(job text, at_most bigint DEFAULT 1000) RETURNS text LANGUAGE c AS '$libdir/backfill', 'steps_drain';
CREATE FUNCTION turn(job text) RETURNS boolean LANGUAGE c AS '$libdir/backfill', 'steps_turn';
CREATE FUNCTION drain_reverse(job text, at_most bigint DEFAULT 1000) RETURNS text
  LANGUAGE c AS '$libdir/backfill', 'steps_drain_reverse';
CREATE FUNCTION pending(job text) RETURNS bigint LANGUAGE c AS '$libdir/backfill', 'steps_pending';
CREATE FUNCTION compare(job text) RETURNS SETOF text LANGUAGE c AS '$libdir/backfill', 'steps_compare';

-- A table with the key id and the chunk column part, and a job on it that is about to run: `doubled` is to be 2 * v for
-- rows with part in [0, 20), in two chunks, 1: [0, 10) and 2: [10, 20); the rest is chunk 3, verbatim.
CREATE PROCEDURE begin_job() LANGUAGE plpgsql AS $$
DECLARE
  v_job int;
BEGIN
  CREATE TABLE public.parts (id int PRIMARY KEY, part int, v int, doubled int);
  CREATE INDEX ON public.parts (part);
  INSERT INTO backfill.job (name, state, strategy, spec, planned_by, target_schema, target_name, live, home, owner,
      owner_name, shadow_name, archive_name, search_path, chunk_column, chunk_type, start, stop, time_zone,
      key_columns, fingerprint, parallelism, retention, started_at, running_since)
    SELECT 'parts', 'running', 'swap',
        '{"name": "parts", "scope": {"table": "parts", "column": "part", "start": 0, "stop": 20},
          "transform": {"set": {"doubled": "v * 2"}}}',
        current_user, 'public', 'parts', 'public.parts'::regclass,
        (SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d WHERE datname = current_database()),
        current_user::regrole, current_user, 'parts_shadow', 'parts_archive', 'pg_catalog, public', 'part', 'int'::regtype,
        '0', '20', 'UTC', '{id}', '', 1, '1 day', now(), now()
    RETURNING id INTO v_job;
  INSERT INTO backfill.step (job_id, id, stage, phase, kind, title, chunk, lo, hi) VALUES
    (v_job, 1, 4, 'copy', 'range', 'chunk 1', 1, '0', '10'),
    (v_job, 2, 4, 'copy', 'range', 'chunk 2', 2, '10', '20'),
    (v_job, 3, 4, 'copy', 'blocks', 'chunk 3', 3, '0', NULL);
END $$;

-- Straight through, with nobody in between, to where the shadow is complete and has its indexes.
CREATE PROCEDURE build_all() LANGUAGE plpgsql AS $$
BEGIN
  PERFORM backfill_test.shadow('parts');
  PERFORM backfill_test.capture('parts');
  PERFORM backfill_test.copy('parts', chunk) FROM generate_series(1, 3) chunk;
  PERFORM backfill_test.purge('parts');
  PERFORM backfill_test.build('parts');
END $$;

-- The shadow takes the table's name, as publish would have it; `control` stays what the table was, for writers to write
-- the same to both.
CREATE PROCEDURE publish() LANGUAGE plpgsql AS $$
BEGIN
  CREATE TABLE public.control (LIKE public.parts INCLUDING ALL);
  INSERT INTO public.control SELECT * FROM public.parts;
  ALTER TABLE public.parts RENAME TO parts_archive;
  ALTER TABLE public.parts_shadow RENAME TO parts;
  UPDATE backfill.job SET state = 'published', published_at = now(), archive_until = 'infinity', running_since = NULL,
    live = shadow, archive = live, shadow = NULL WHERE id = (SELECT max(id) FROM backfill.job);
  PERFORM backfill_test.turn('parts');
END $$;

-- Nothing but `equal`, where the archive is what the table would be without the backfill.
CREATE FUNCTION compare_archive() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT 'lost ' || r FROM (SELECT c::text FROM public.control c EXCEPT ALL
                                         SELECT a::text FROM public.parts_archive a) AS t(r) ORDER BY 1;
  RETURN QUERY SELECT 'extra ' || r FROM (SELECT a::text FROM public.parts_archive a EXCEPT ALL
                                          SELECT c::text FROM public.control c) AS t(r) ORDER BY 1;
  IF (SELECT count(*) FROM (TABLE public.control EXCEPT ALL TABLE public.parts_archive) t) = 0
     AND (SELECT count(*) FROM (TABLE public.parts_archive EXCEPT ALL TABLE public.control) t) = 0 THEN
    RETURN NEXT 'equal';
  END IF;
END $$;

-- The capture log, whatever its number.
CREATE FUNCTION log() RETURNS TABLE (k1 int, op "char") LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT k1, op FROM backfill.log_%s', (SELECT max(id) FROM backfill.job));
END $$;

CREATE PROCEDURE end_job() LANGUAGE plpgsql AS $$
DECLARE
  v_job int := max(id) FROM backfill.job;
BEGIN
  SET LOCAL client_min_messages = warning;
  DROP TABLE IF EXISTS public.parts, public.parts_shadow, public.parts_archive, public.control;
  EXECUTE format('DROP TABLE IF EXISTS backfill.log_%s, backfill.reverse_%s', v_job, v_job);
  DELETE FROM backfill.job;
END $$;
