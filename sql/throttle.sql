-- What a spec says to hold a job back, how the plan tells it, and how it is altered.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';
DROP EXTENSION IF EXISTS backfill CASCADE;
CREATE EXTENSION backfill;
CREATE TABLE throttled (id int PRIMARY KEY, day date NOT NULL, label text);
INSERT INTO throttled SELECT i, date '2024-01-01' + i / 1000, 'old' FROM generate_series(0, 9999) AS i;
ANALYZE throttled;

-- The sections of a plan with these labels.
CREATE FUNCTION sections(spec text, VARIADIC labels text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
  told boolean := false;
BEGIN
  FOR line IN SELECT backfill_plan(spec) LOOP
    told := CASE WHEN line ~ '^            ' THEN told ELSE split_part(line, ' ', 1) = ANY (labels) END;
    IF told THEN
      RETURN NEXT line;
    END IF;
  END LOOP;
END $$;

\echo
\echo -- the plan tells limits, and reckons with them
SELECT sections($${name: slow, scope: {table: throttled, column: day, start: 2024-01-01, stop: 2024-01-11}, transform: {set: {label: "'new'"}},
  throttle: {rows_per_second: 100, wal_per_second: 10MB, replica_lag: 5s, active_sessions: 10, slot_retained: 2GB,
             free_disk: 100%, oldest_snapshot: 1h, windows: ["22:00-06:00", "Sat,Sun 00:00-24:00"]}}$$, 'Time', 'Throttle', 'Warning', 'Warnings');

\echo
\echo -- so does the report
SELECT line FROM regexp_split_to_table(backfill_report('slow'), E'\n') AS line WHERE line ~ 'Throttle';

\echo
\echo -- alter: laid over what there is, null takes out, what is given and does not differ is no change
SELECT backfill_alter('slow', throttle => '{"rows_per_second": 5000, "replica_lag": null, "free_disk": "10%"}');
SELECT backfill_alter('slow', windows => '{20:00-07:00}', parallelism => 3, retention => '2 days');
SELECT backfill_alter('slow', windows => '{20:00-07:00}', parallelism => 3, retention => '2 days');
SELECT backfill_alter('slow', windows => '{}', throttle => '{"oldest_snapshot": null}');
SELECT backfill_alter('slow');
SELECT event, detail FROM backfill.events WHERE name = 'slow' ORDER BY number;
SELECT spec -> 'throttle', spec -> 'strategy', spec -> 'retention', parallelism, retention FROM backfill.job WHERE name = 'slow';
SELECT line FROM regexp_split_to_table(backfill_report('slow'), E'\n') AS line WHERE line ~ 'Throttle';

\echo
\echo -- refused, and nothing is changed
\set VERBOSITY default
SELECT backfill_alter('slow', throttle => '{"rows_per_secnd": 5000}');
SELECT backfill_alter('slow', throttle => '{"rows_per_second": 0}');
SELECT backfill_alter('slow', throttle => '[]');
SELECT backfill_alter('slow', throttle => '{"set": {"label": "1"}}');
SELECT backfill_alter('slow', windows => '{22:00-22:00}');
SELECT backfill_alter('slow', windows => '{NULL}');
SELECT backfill_alter('slow', parallelism => 2, retention => '-1 day');
SELECT spec -> 'throttle', spec -> 'strategy', parallelism, retention FROM backfill.job WHERE name = 'slow';

\echo
\echo -- an altered job is the job that was planned
SELECT backfill_alter('slow', throttle => '{"rows_per_second": null, "active_sessions": null, "slot_retained": null, "free_disk": null}');
SELECT backfill_run('slow') IS NOT NULL AS started;
CALL backfill_wait('slow', '1 min');
SELECT backfill_publish('slow') IS NOT NULL AS published;
SELECT backfill_finish('slow') IS NOT NULL AS finished;

\echo
\echo -- windows by the clock of a zone: open, closed, over midnight, by days
CREATE FUNCTION opens(days text, opens interval, closes interval, at timestamptz) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN o = at THEN 'open' ELSE o::text END
    FROM backfill.window_opens(ARRAY[days], ARRAY[opens], ARRAY[closes], 'Europe/Berlin', at) AS o $$;
SELECT opens('1234567', '22:00', '30:00', '2024-06-10 21:59:59'), opens('1234567', '22:00', '30:00', '2024-06-10 22:00'),
       opens('1234567', '22:00', '30:00', '2024-06-11 05:59:59'), opens('1234567', '22:00', '30:00', '2024-06-11 06:00');
-- 10 June 2024 is a Monday
SELECT opens('5', '22:00', '30:00', '2024-06-15 05:00'), opens('5', '22:00', '30:00', '2024-06-15 06:00'),
       opens('67', '00:00', '24:00', '2024-06-16 23:59'), opens('67', '00:00', '24:00', '2024-06-17 00:00');
\echo -- the night that has an hour less, the one that has an hour more
SELECT opens('1234567', '01:00', '04:00', at) FROM unnest(ARRAY['2024-03-31 00:59+01', '2024-03-31 01:00+01', '2024-03-31 03:59+02', '2024-03-31 04:00+02']::timestamptz[]) AS at;
SELECT opens('1234567', '02:00', '03:00', at) FROM unnest(ARRAY['2024-03-31 01:30+01', '2024-03-31 03:30+02', '2024-10-27 01:59+02', '2024-10-27 02:30+02', '2024-10-27 02:30+01', '2024-10-27 03:00+01']::timestamptz[]) AS at;
\echo -- several: the first that opens
SELECT backfill.window_opens('{12345,67}', '{22:00,10:00}', '{30:00,12:00}', 'Europe/Berlin', '2024-06-15 07:00');

DROP TABLE throttled;
DROP FUNCTION sections, opens;
