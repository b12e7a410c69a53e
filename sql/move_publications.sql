-- Publications that name the table keep it, with row filter and columns, both ways; those that would take in the new
-- version unasked are refused, or allowed by the spec.
SET client_min_messages = error;  -- wal_level need not be logical for this
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA "Püb";
CREATE TABLE "Püb".other (id int PRIMARY KEY);
SET search_path = "Püb", public;
CREATE TABLE "T able" (gone int, id int PRIMARY KEY, region text NOT NULL, "Änd more" text, note text, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE "T able" DROP COLUMN gone;
ALTER TABLE "T able" ADD CONSTRAINT "two" UNIQUE (id, region);
ALTER TABLE "T able" REPLICA IDENTITY USING INDEX "two";
INSERT INTO "T able" SELECT i, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, 'm' || i, 'old' FROM generate_series(1, 20) i;
CREATE PUBLICATION "the Whole" FOR TABLE "T able", other;
CREATE PUBLICATION "some Rows, with a name as long as any name of a publication may" FOR TABLE "T able" WHERE ((region = 'north' AND id > 3) OR id IS NULL), TABLES IN SCHEMA public;
CREATE PUBLICATION columns FOR TABLE other, "T able" (region, id, "Änd more") WHERE (region <> 'west') WITH (publish = 'insert, update');
COMMENT ON PUBLICATION columns IS 'the columns';

CREATE VIEW public.members AS
  SELECT p.pubname, p.oid, p.pubinsert, p.pubdelete, t.schemaname, t.tablename, array_remove(t.attnames, 'twice') AS attnames, t.rowfilter, obj_description(p.oid, 'pg_publication') AS comment
    FROM pg_publication p LEFT JOIN pg_publication_tables t USING (pubname);
CREATE TABLE members_before AS SELECT * FROM members;
CREATE VIEW members_changed AS
  (SELECT 'gone' AS what, b.* FROM members_before b EXCEPT ALL SELECT 'gone', m.* FROM members m)
  UNION ALL (SELECT 'new', m.* FROM members m EXCEPT ALL SELECT 'new', b.* FROM members_before b);
SELECT pubname, attnames, rowfilter FROM members WHERE tablename = 'T able' ORDER BY pubname COLLATE "C";

SELECT substring(string_agg(btrim(line), ' ') FROM '! .*(?= Nothing has been)') AS warnings FROM backfill_plan($$
  {name: members, scope: {table: '"T able"'}, transform: {set: {note: "'new'", region: "region"}, add_columns: {more: text}},
   strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$) AS line;
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'members' AND kind LIKE 'pub%' ORDER BY object COLLATE "C";
SELECT count(*) FROM backfill_run('members');
CALL backfill_wait('members', '60 s');
SELECT * FROM members_changed;
SELECT left(backfill_publish('members'), 17);
SELECT what, pubname, attnames FROM members_changed ORDER BY what, pubname COLLATE "C";
SELECT pubname, tablename FROM members WHERE tablename ~ 'archive|backfill';
-- With their replica identity updates and deletes go on.
UPDATE "T able" SET note = 'updated' WHERE id = 1;
DELETE FROM "T able" WHERE id = 2;
SELECT left(backfill_rollback('members'), 19);
SELECT * FROM members_changed;
UPDATE "T able" SET note = 'updated' WHERE id = 3;
DELETE FROM "T able" WHERE id = 4;
SELECT left(backfill_publish('members'), 17);
-- What the old version could not publish stands in the way back.
ALTER PUBLICATION columns SET TABLE other, "T able" (region, id, more);
SELECT backfill_rollback('members');
ALTER PUBLICATION columns SET TABLE other, "T able" (region, id, "Änd more") WHERE (region <> 'west');
SELECT left(backfill_rollback('members'), 19);
SELECT * FROM members_changed;
SELECT left(backfill_publish('members'), 17);
SELECT left(backfill_finish('members'), 16);
DROP PUBLICATION columns, "the Whole", "some Rows, with a name as long as any name of a publication may";

-- A publication of the schema, or of all tables, would publish the new version too.
CREATE FUNCTION told(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
  EXECUTE statement;
  RETURN NEXT 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN QUERY SELECT unnest(ARRAY[SQLSTATE || ' ' || message, detail, hint]);
END $$;
CREATE TABLE plain (id int PRIMARY KEY, note text);
INSERT INTO plain SELECT i, 'old' FROM generate_series(1, 3000) i;
CREATE TABLE bare (id int NOT NULL UNIQUE, note text);
\set plan '{name: wide, scope: {table: plain}, transform: {set: {note: "''new'' || id"}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}'
\set allowed '{name: wide, scope: {table: plain}, transform: {set: {note: "''new'' || id"}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s, published_shadow: allow}}'
CREATE PUBLICATION "Of it" FOR TABLES IN SCHEMA "Püb";
SELECT told(format('SELECT backfill_plan(%L)', :'plan'));
DROP PUBLICATION "Of it";
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT told(format('SELECT backfill_plan(%L)', :'plan'));
SELECT told(format('SELECT backfill_plan(%L)', replace(replace(:'allowed', 'table: plain', 'table: bare'), 'by: blocks', 'by: blocks, key: [id]')));
CREATE PUBLICATION "Of it" FOR TABLES IN SCHEMA "Püb";
SELECT count(*) > 0 AS planned FROM backfill_plan(:'allowed');
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'wide' AND kind LIKE 'pub%' ORDER BY object COLLATE "C";
SELECT count(*) FROM backfill_run('wide');
CALL backfill_wait('wide', '60 s');
SELECT id FROM backfill.jobs WHERE name = 'wide' \gset
CREATE FUNCTION identity_of(text) RETURNS "char" LANGUAGE sql RETURN (SELECT relreplident FROM pg_class WHERE oid = $1::regclass);
SELECT identity_of(format('plain_backfill_%s', :id)) AS shadow, identity_of(format('backfill.log_%s', :id)) AS log;
UPDATE plain SET note = 'written' WHERE id = 1;
DELETE FROM plain WHERE id = 2;
INSERT INTO plain VALUES (4000, 'written');
SELECT backfill_retry('wide', 1);
CALL backfill_wait('wide', '60 s');
SELECT left(backfill_publish('wide'), 14);
SELECT identity_of('plain'), identity_of(format('plain_archive_%s', :id)), identity_of(format('backfill.reverse_%s', :id));
UPDATE plain SET note = 'written' WHERE id = 3;
DELETE FROM plain WHERE id = 4;
INSERT INTO plain VALUES (4001, 'written');
SELECT left(backfill_rollback('wide'), 16);
SELECT count(*), count(*) FILTER (WHERE note = 'old') AS old, count(*) FILTER (WHERE note = 'written') AS written FROM plain;
UPDATE plain SET note = 'written' WHERE id = 5;
SELECT left(backfill_publish('wide'), 14);
SELECT count(*), count(*) FILTER (WHERE note LIKE 'new%') AS new FROM plain;
SELECT left(backfill_finish('wide'), 13);

RESET search_path;
DROP PUBLICATION everything, "Of it";
DROP SCHEMA "Püb" CASCADE;
DROP VIEW members;
