-- schema_match: what somebody did to the new version behind our back is found: an index of another operator class,
-- collation or order, and a foreign key that live has not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA shaped;
SET search_path = shaped, public;
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE shaped (id integer PRIMARY KEY, parent integer REFERENCES parent, other integer, name text, title text, at date);
CREATE INDEX by_name ON shaped (name text_pattern_ops);
CREATE INDEX by_title ON shaped (title COLLATE "C", id DESC);
CREATE UNIQUE INDEX by_at ON shaped (at) NULLS NOT DISTINCT;
INSERT INTO parent VALUES (1);
INSERT INTO shaped SELECT i, 1, 1, 'n' || i, 't' || i, date '2024-01-01' + i FROM generate_series(1, 10) AS i;
SELECT count(*) > 0 AS planned FROM backfill_plan('shaped', 'shaped', set => '{"name": "name"}', chunk_by => 'blocks');
SELECT backfill_run('shaped') IS NOT NULL AS started;
CALL backfill_wait('shaped', '2 min');
SELECT outcome, actual, detail FROM backfill.checks WHERE name = 'shaped' AND "check" = 'schema_match' AND latest;

SELECT regexp_replace(shadow, '^shaped\.', '') AS shadow FROM backfill.jobs WHERE name = 'shaped' \gset
SELECT max(indexname) FILTER (WHERE indexname LIKE 'by_name%') AS by_name, max(indexname) FILTER (WHERE indexname LIKE 'by_title%') AS by_title,
       max(indexname) FILTER (WHERE indexname LIKE 'by_at%') AS by_at FROM pg_indexes WHERE tablename = :'shadow' \gset
DROP INDEX :by_name, :by_title, :by_at;
CREATE INDEX ON :shadow (name);
CREATE INDEX ON :shadow (title, id);
CREATE UNIQUE INDEX ON :shadow (at);
ALTER TABLE :shadow ADD FOREIGN KEY (other) REFERENCES parent;
SELECT backfill_audit('shaped') IS NOT NULL AS begun;
CALL backfill_wait('shaped', '2 min');
SELECT outcome, actual, regexp_split_to_table(detail, '; ') AS detail FROM backfill.checks WHERE name = 'shaped' AND "check" = 'schema_match' AND latest;
SELECT backfill_cancel('shaped') IS NOT NULL AS cancelled;
SET client_min_messages = error;
DROP SCHEMA shaped CASCADE;
