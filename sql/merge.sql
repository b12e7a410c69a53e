-- Strategy merge: the rows that differ are written to the table in service, and taken back without what writers wrote since.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA merging;
SET search_path = merging, public;
CREATE TABLE carrier (name text PRIMARY KEY, zone text NOT NULL);
INSERT INTO carrier VALUES ('dove', 'north'), ('crow', 'south');
CREATE TABLE parcel (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date NOT NULL, carrier text REFERENCES carrier, code text UNIQUE,
  serial int GENERATED ALWAYS AS IDENTITY, zone text, loud text GENERATED ALWAYS AS (upper(zone)) STORED, note text);
INSERT INTO parcel (day, carrier, code, zone)
  SELECT date '2024-05-01' + g / 100, (ARRAY['dove', 'crow'])[1 + g % 2], 'c' || g,
         CASE WHEN g % 10 = 0 THEN 'z?' WHEN g % 2 = 0 THEN 'north' ELSE 'south' END FROM generate_series(0, 999) AS g;
CREATE INDEX ON parcel (day);
CREATE TABLE fired (what text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO merging.fired VALUES (TG_OP); RETURN new; END';
CREATE TRIGGER tell BEFORE UPDATE ON parcel FOR EACH ROW EXECUTE FUNCTION fire();
CREATE VIEW northern AS SELECT id, day FROM parcel WHERE zone = 'north';
CREATE MATERIALIZED VIEW by_zone AS SELECT day, zone, count(*) FROM parcel GROUP BY 1, 2;
ANALYZE parcel;

CREATE FUNCTION try(set_to text, options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT backfill_plan('trial', 'merging.parcel', set => set_to::jsonb, chunk_column => 'day', start => '2024-05-03', stop => '2024-05-05',
    options => '{"strategy": {"type": "merge"}}'::jsonb || options) $$;

-- What it cannot do, it refuses, and nothing is planned.
SELECT count(*) FROM try('{"tier": "1"}', '{"transform": {"add_columns": {"tier": "int"}}}');
SELECT count(*) FROM try('{"code": "code"}');
SELECT count(*) FROM try('{"carrier": "carrier"}');
SELECT count(*) FROM try('{"serial": "serial"}');
SELECT count(*) FROM try('{"zone": "zone"}', '{"strategy": {"type": "merge", "chunk_by": "blocks"}}');
SELECT count(*) FROM try('{"zone": "zone"}', '{"strategy": {"type": "partition"}}');
SELECT count(*) FROM try('{"zone": "zone"}', '{"checks": [{"check": "schema_match"}]}');
SELECT count(*) FROM try('{"zone": "zone"}', '{"checks": [{"check": "not_null", "column": "zone", "scope": "table"}]}');
SELECT count(*) FROM backfill_plan('trial', 'parcel', set => '{"zone": "zone"}', options => '{"strategy": {"type": "merge"}}');
ALTER TABLE parcel ENABLE ALWAYS TRIGGER tell;
SELECT count(*) FROM try('{"zone": "zone"}');
ALTER TABLE parcel ENABLE TRIGGER tell;
CREATE UNIQUE INDEX loud ON parcel (loud, id);
SELECT count(*) FROM try('{"zone": "zone"}');
DROP INDEX loud;
SELECT count(*) FROM backfill.jobs WHERE name = 'trial';

-- Of a small table auto takes the swap.
BEGIN;
SELECT line FROM try('{"zone": "zone"}', '{"strategy": {"type": "auto"}}') AS line WHERE line ~ '^Strategy|^ +(swap|merge|partition) ';
ROLLBACK;

SELECT regexp_replace(regexp_replace(line, '_archive_[0-9]+', '_archive_n'), '\d+ kB', 'n kB') AS line FROM backfill_plan($$
  name: zones
  scope: {table: parcel, column: day, start: 2024-05-03, stop: 2024-05-05, time_zone: UTC}
  transform: {join: JOIN carrier AS c ON c.name = parcel.carrier, set: {zone: c.zone}}
  strategy: {type: merge}
  publish: {give_up_after: 60s, max_lock: 5s}$$) AS line
 WHERE line !~ 'planned by|rows, |≈ [0-9.]+ [kM]B|^Time|^ +publish$';
SELECT backfill_run('zones') IS NOT NULL AS started;
CALL backfill_wait('zones', '2 min');
SELECT kind, status FROM backfill.steps WHERE name = 'zones' AND kind <> 'check' ORDER BY step;
SELECT "check", outcome, actual FROM backfill.checks WHERE name = 'zones' AND latest AND scope <> 'pre' ORDER BY "check" COLLATE "C";
SELECT id AS job, shadow_name AS shadow, archive_name AS archive FROM backfill.job WHERE name = 'zones' \gset
SELECT count(*) AS built FROM :"shadow";
SELECT line FROM backfill_diff('zones', samples => 0) AS line;

-- Published: 20 of 200 rows were written, and what is computed from them; no trigger of the table's fired.
CREATE TABLE before AS SELECT *, xmin::text AS version FROM parcel;
SELECT substring(backfill_publish('zones') FROM '[0-9,]+ rows? written');
CALL backfill_wait('zones', '2 min');
SELECT p.day, count(*), min(b.zone) AS was, max(p.zone) AS is, max(p.loud) AS loud, min(p.loud) AS loud_too
  FROM parcel p JOIN before b USING (id) WHERE p.xmin::text <> b.version GROUP BY 1 ORDER BY 1;
SELECT count(*) AS fired FROM fired;
SELECT count(*) FROM northern WHERE day = '2024-05-03';
SELECT zone, count FROM by_zone WHERE day = '2024-05-03' ORDER BY 1;
SELECT count(*) AS kept, min(zone) AS zone FROM :"archive";
SELECT state, shadow IS NOT NULL AS shadow, archive IS NOT NULL AS archive, pending_keys FROM backfill.jobs WHERE id = :job;
SELECT line FROM backfill_diff('zones', samples => 0) AS line WHERE line ~ 'changed|zone';
\set VERBOSITY sqlstate
UPDATE :"archive" SET zone = 'stray';
\set VERBOSITY default

-- What writers do since then stays: values of theirs, rows of theirs, rows that are gone, keys that moved.
UPDATE parcel SET zone = 'mine' WHERE id = 201;
UPDATE parcel SET note = 'seen' WHERE id = 211;
DELETE FROM parcel WHERE id = 221;
INSERT INTO parcel (day, carrier, zone) VALUES ('2024-05-03', 'dove', 'fresh');
UPDATE parcel SET day = '2024-06-01' WHERE id = 231;
DELETE FROM parcel WHERE id = 241;
INSERT INTO parcel (id, day, carrier, zone) OVERRIDING SYSTEM VALUE VALUES (241, '2024-05-03', 'crow', 'again');
TRUNCATE fired;
SELECT backfill_rollback('zones', '{zone}');
SELECT substring(backfill_rollback('zones') FROM '[0-9,]+ rows? restored, [0-9]+ left');
SELECT id, day, zone, loud, note FROM parcel WHERE id IN (201, 211, 221, 231, 241, 251) OR zone IN ('fresh', 'again') ORDER BY id;
SELECT count(*) AS different FROM parcel p JOIN before b USING (id)
 WHERE ROW(p.day, p.carrier, p.code, p.zone, p.loud, p.note)::record *<> ROW(b.day, b.carrier, b.code, b.zone, b.loud, b.note)::record;
SELECT count(*) AS fired FROM fired;
SELECT state, archive, shadow IS NOT NULL AS shadow FROM backfill.jobs WHERE id = :job;

-- Again, with what was written meanwhile; once more after a TRUNCATE, when there is nothing to restore.
SELECT substring(backfill_publish('zones') FROM '[0-9,]+ rows? written');
SELECT id, day, zone, note FROM parcel WHERE id IN (201, 211, 231, 241, 251) OR note = 'seen' ORDER BY id;
BEGIN;
TRUNCATE parcel;
INSERT INTO parcel (id, day, carrier, zone) OVERRIDING SYSTEM VALUE VALUES (201, '2024-05-03', 'dove', 'anew');
COMMIT;
SELECT substring(backfill_rollback('zones') FROM '[0-9,]+ rows? restored, [0-9]+ left');
SELECT id, zone FROM parcel;
DO $$
BEGIN
  FOR i IN 1..1200 LOOP
    EXIT WHEN EXISTS (SELECT FROM backfill.events WHERE name = 'zones' AND event = 'truncated');
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
CALL backfill_wait('zones', '2 min');
SELECT substring(backfill_publish('zones') FROM '[0-9,]+ rows? written');
SELECT id, zone FROM parcel;

-- A column written has changed, or a trigger would fire: no way back until that is undone.
ALTER TABLE parcel RENAME zone TO region;
SELECT backfill_rollback('zones');
ALTER TABLE parcel RENAME region TO zone;
ALTER TABLE parcel ENABLE ALWAYS TRIGGER tell;
SELECT backfill_rollback('zones');
SELECT problem IS NOT NULL AS problem FROM backfill.way_back WHERE id = :job;
ALTER TABLE parcel ENABLE TRIGGER tell;
SELECT substring(backfill_finish('zones') FROM '^finished zones');
SELECT relname FROM pg_class WHERE relname ~ '_(backfill|archive)_[0-9]+$' OR relname IN ('log_' || :job, 'reverse_' || :job);
SELECT tgname FROM pg_trigger WHERE tgrelid = 'parcel'::regclass AND NOT tgisinternal;

-- A query: what it changes is written, but rows do not come or go; and not more than max_lock allows.
TRUNCATE parcel, before;
INSERT INTO parcel (day, code, zone) SELECT date '2024-05-01' + g / 6000, 'd' || g, 'z?' FROM generate_series(0, 17999) AS g;
ALTER TABLE parcel DROP CONSTRAINT parcel_carrier_fkey, DROP CONSTRAINT parcel_code_key, ALTER serial DROP IDENTITY;
ANALYZE parcel;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  name: query
  scope: {table: parcel, column: day, start: 2024-05-02, stop: 2024-05-04}
  transform: {query: "SELECT id, day, carrier, code, serial, 'new' AS zone, note FROM merging.parcel WHERE code <> 'd6250'"}
  strategy: {type: merge}
  publish: {max_lock: 400ms, give_up_after: 60s}$$);
SELECT backfill_run('query') IS NOT NULL AS started;
CALL backfill_wait('query', '2 min');
SELECT backfill_publish('query');
UPDATE parcel SET code = 'd' WHERE code = 'd6250';
SELECT backfill_publish('query');
SELECT count(*) FROM parcel WHERE zone = 'new';
SELECT relname FROM pg_class WHERE relname ~ '_archive_[0-9]+$';
SELECT substring(backfill_cancel('query') FROM '^cancelled query');
SELECT relname FROM pg_class WHERE relname ~ '_(backfill|archive)_[0-9]+$';
SELECT tgname FROM pg_trigger WHERE tgrelid = 'parcel'::regclass AND NOT tgisinternal;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  name: query
  scope: {table: parcel, column: day, start: 2024-05-02, stop: 2024-05-04}
  transform: {query: "SELECT id, day, carrier, code, serial, 'new' AS zone, note FROM merging.parcel"}
  strategy: {type: merge}
  publish: {give_up_after: 60s, max_lock: 30s}$$);
SELECT backfill_run('query') IS NOT NULL AS started;
CALL backfill_wait('query', '2 min');
SELECT backfill_publish('query', 'zones');
SELECT substring(backfill_publish('query') FROM '[0-9,]+ rows? written');
SELECT zone, count(*) FROM parcel GROUP BY 1 ORDER BY 1;
ALTER TABLE parcel ADD COLUMN late int DEFAULT 1;
SELECT substring(backfill_rollback('query') FROM '[0-9,]+ rows? restored, [0-9]+ left');
SELECT zone, count(*) FROM parcel GROUP BY 1 ORDER BY 1;
SELECT substring(backfill_cancel('query') FROM '^cancelled query');
DROP SCHEMA merging CASCADE;
