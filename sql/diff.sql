-- backfill_diff: its numbers against known data, before publish and after, of a chunk, with keys pending, after DDL.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA diffed;
SET search_path = diffed, public;
SET timezone = 'UTC';

CREATE TABLE "Fluß" (
  id integer, day date NOT NULL, "Pegel, cm" integer, total bigint, price numeric(12, 2), ratio double precision,
  seen timestamptz, due date, note text, doc json, same text DEFAULT 'x', PRIMARY KEY (day, id));
INSERT INTO "Fluß"
SELECT i, date '2024-01-01' + (i - 1) / 100, i, 9007199254740993 + i, i / 4.0, CASE WHEN i <= 2 THEN 'NaN' ELSE i / 8.0 END,
       '2024-01-01', CASE WHEN i = 7 THEN 'infinity' ELSE date '2024-01-01' END, CASE WHEN i % 2 = 0 THEN 'even' END, '{"a": 1}'
FROM generate_series(1, 300) AS i;
ANALYZE "Fluß";

-- Ids divisible by 50 are gone, ten are new; of the others those divisible by 10 change.
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: diffed
scope: {table: '"Fluß"', column: day, start: 2024-01-01, stop: 2024-01-04}
transform:
  query: |
    SELECT id, day, CASE WHEN id % 10 = 0 THEN "Pegel, cm" - id ELSE "Pegel, cm" END AS "Pegel, cm",
           CASE WHEN id % 10 = 0 THEN total + 1 ELSE total END AS total,
           CASE WHEN id % 10 = 0 THEN price + 0.25 ELSE price END AS price, ratio * 2 AS ratio,
           CASE WHEN id % 10 = 0 THEN seen + interval '36 hours' ELSE seen END AS seen,
           CASE WHEN id % 100 = 7 THEN due + 31 ELSE due END AS due,
           CASE WHEN id % 10 = 0 THEN NULL WHEN id % 10 = 1 THEN 'odd' ELSE note END AS note,
           CASE WHEN id = 3 THEN '{"a":1}'::json ELSE doc END AS doc, same
    FROM "Fluß" WHERE day >= :chunk_start AND day < :chunk_stop AND id % 50 <> 0
    UNION ALL
    SELECT 1000 + i, '2024-01-02', 0, 0, 0, 0, NULL, NULL, NULL, NULL, 'new' FROM generate_series(1, 10) AS i
    WHERE date '2024-01-02' >= :chunk_start AND date '2024-01-02' < :chunk_stop
strategy: {chunk_by: day, parallelism: 1}
$spec$);

-- Nothing to compare yet.
SELECT backfill_diff('diffed');
SELECT backfill_diff('diffed', 1);
SELECT backfill_run('diffed') IS NOT NULL AS started;
CALL backfill_wait('diffed', '2 min');

SELECT backfill_diff('diffed');

-- The same, worked out by hand.
SELECT shadow AS new FROM backfill.jobs WHERE name = 'diffed' \gset
SELECT count(*) AS pairs, count(*) FILTER (WHERE n.total <> o.total) AS total,
       avg(abs(n."Pegel, cm" - o."Pegel, cm")) FILTER (WHERE n.total <> o.total) AS mean,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY abs(n."Pegel, cm" - o."Pegel, cm")::float8) FILTER (WHERE n.total <> o.total) AS percentiles,
       max(abs(n."Pegel, cm" - o."Pegel, cm")) AS max,
       count(*) FILTER (WHERE o.note IS NOT NULL AND n.note IS NULL) AS note_emptied,
       count(*) FILTER (WHERE o.note IS NULL AND n.note IS NOT NULL) AS note_filled,
       avg(abs(n.ratio - o.ratio)) FILTER (WHERE o.ratio <> 'NaN') AS ratio_mean
FROM :new AS n JOIN "Fluß" AS o USING (day, id);

-- The figures are kept, without any row.
SELECT published, added, removed, changed, unchanged, pending_keys, audit FROM backfill.differences WHERE name = 'diffed';
SELECT c ->> 'name' AS name, c - 'name' AS figures FROM backfill.differences, jsonb_array_elements(columns) AS c WHERE name = 'diffed';

-- One chunk, and how many samples; what is told of a chunk is not kept.
SELECT backfill_diff('diffed', 2, 1);
SELECT line FROM backfill_diff('diffed', chunk => 3, samples => 0) AS line WHERE line !~ '^  [^acru]';
SELECT added FROM backfill.differences WHERE name = 'diffed';
SELECT backfill_diff('diffed', 4);
SELECT backfill_diff('diffed', samples => -1);
SELECT backfill_diff('diffed', samples => 101);

-- A read-only transaction may ask, too; nothing is kept then.
BEGIN READ ONLY;
SELECT count(*) > 5 AS told FROM backfill_diff('diffed');
ROLLBACK;

-- Keys that wait in the log are left out, and counted.
BEGIN;
UPDATE "Fluß" SET price = price + 1 WHERE id IN (10, 20, 21);
DELETE FROM "Fluß" WHERE id = 22;
SELECT line FROM backfill_diff('diffed', samples => 0) AS line WHERE line ~ 'Rows|added|removed|changed|keys';
ROLLBACK;

-- DDL on the table: another column changes nothing that is compared, but publishing is refused, so it is an error; clear.
BEGIN;
ALTER TABLE "Fluß" ADD COLUMN more integer;
SELECT backfill_diff('diffed');
ROLLBACK;
BEGIN;
ALTER TABLE "Fluß" DROP COLUMN same;
SELECT backfill_diff('diffed');
ROLLBACK;
BEGIN;
ALTER TABLE "Fluß" ALTER COLUMN price TYPE text;
SELECT backfill_diff('diffed');
ROLLBACK;

-- Published: archive and live, with the same figures.  What the table is altered to afterwards is left out.
SELECT backfill_publish('diffed') IS NOT NULL AS published;
SELECT line FROM backfill_diff('diffed', samples => 1) AS line;
ALTER TABLE "Fluß" ADD COLUMN more integer DEFAULT 1, DROP COLUMN doc;
SELECT line FROM backfill_diff('diffed', samples => 0) AS line WHERE line ~ 'Rows|added|removed|changed  |unchanged|compared';
SELECT published, added, removed, changed, unchanged FROM backfill.differences WHERE name = 'diffed';

-- For members of the owner role; who may see the job sees the figures.
CREATE ROLE diff_stranger;
GRANT USAGE ON SCHEMA diffed TO diff_stranger;
SET ROLE diff_stranger;
SELECT backfill_diff('diffed');
SELECT count(*) FROM backfill.differences;
RESET ROLE;
GRANT pg_monitor TO diff_stranger;
SET ROLE diff_stranger;
SELECT backfill_diff('diffed');
SELECT count(*) FROM backfill.differences WHERE name = 'diffed';
RESET ROLE;

SELECT backfill_finish('diffed') IS NOT NULL AS finished;
SELECT backfill_diff('diffed');

-- A column that is new, more columns than one statement takes, and a chunk that is compared before the others are done.
DO $$
BEGIN
  EXECUTE (SELECT 'CREATE TABLE wide (id integer PRIMARY KEY' || string_agg(format(', c%s integer', i), '' ORDER BY i) || ')' FROM generate_series(1, 240) AS i);
END $$;
INSERT INTO wide SELECT i FROM generate_series(1, 40) AS i;
UPDATE wide SET c20 = id, c240 = id;
SELECT count(*) > 0 AS planned FROM backfill_plan('diff_wide', 'wide',
  set => '{"c20": "c20 * 2", "c240": "c240 + 5", "added": "CASE WHEN id % 2 = 0 THEN 1 / (id - 30) + 1 END", "c1": "1"}',
  chunk_column => 'id', start => '1', stop => '41', chunk_by => '20',
  options => '{"transform": {"add_columns": {"added": "integer"}}, "strategy": {"parallelism": 1}}');
SELECT backfill_run('diff_wide') IS NOT NULL AS started;
\set VERBOSITY terse
CALL backfill_wait('diff_wide', '2 min');
\set VERBOSITY default
SELECT backfill_diff('diff_wide');
SELECT backfill_diff('diff_wide', 2);
SELECT backfill_diff('diff_wide', 1, 1);
SELECT backfill_diff('diff_wide', 3);
SELECT backfill_cancel('diff_wide') IS NOT NULL AS cancelled;

SET client_min_messages = error;
DROP SCHEMA diffed CASCADE;
DROP ROLE diff_stranger;
