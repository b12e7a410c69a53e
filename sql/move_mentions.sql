-- Policies of other tables, and rules of other tables and of views, follow the table they mention.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE mention_owner;
CREATE ROLE mention_reader;
CREATE SCHEMA mention;
GRANT ALL ON SCHEMA mention TO mention_owner;
GRANT USAGE ON SCHEMA mention TO mention_reader;
SET search_path = mention, public;

SET ROLE mention_owner;
CREATE TABLE grants (who name, item int, level text, PRIMARY KEY (who, item));
CREATE TABLE "other Items" (id int PRIMARY KEY, name text);
CREATE TABLE third (id int PRIMARY KEY);
CREATE TABLE audit (what text);
INSERT INTO grants SELECT 'mention_reader', i, 'old' FROM generate_series(1, 5) i;
INSERT INTO "other Items" SELECT i, 'item ' || i FROM generate_series(1, 10) i;
INSERT INTO third SELECT generate_series(1, 10);
GRANT SELECT, INSERT, UPDATE ON "other Items" TO mention_reader;
GRANT SELECT ON grants, third TO mention_reader;

ALTER TABLE "other Items" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "may Read" ON "other Items" FOR SELECT TO mention_reader, mention_owner
  USING (id IN (SELECT item FROM grants g JOIN third ON third.id = item WHERE g.who = CURRENT_USER)
         AND NOT EXISTS (SELECT FROM grants AS "other Items_1" WHERE item = "other Items".id AND level = 'hidden'));
CREATE POLICY "may write, with a name as long as any name of a policy could be" ON "other Items" AS RESTRICTIVE FOR INSERT
  WITH CHECK (EXISTS (SELECT FROM grants WHERE item = id AND level = 'new'));
CREATE POLICY anybody ON "other Items" FOR INSERT TO PUBLIC WITH CHECK (true);
COMMENT ON POLICY "may Read" ON "other Items" IS 'who may read';

CREATE VIEW names AS SELECT id, name FROM "other Items";
ALTER VIEW names SET (security_barrier);
CREATE RULE "to the Grants" AS ON INSERT TO names DO INSTEAD INSERT INTO grants VALUES ('rule', new.id, new.name) RETURNING item, level;
CREATE RULE also AS ON UPDATE TO "other Items" WHERE old.name IS DISTINCT FROM new.name AND new.id IN (SELECT item FROM grants)
  DO ALSO (INSERT INTO audit SELECT 'also ' || level FROM grants WHERE item = new.id; UPDATE grants SET level = 'touched' WHERE item = new.id AND level = 'old');
CREATE RULE never AS ON DELETE TO "other Items" DO ALSO INSERT INTO audit SELECT level FROM grants;
ALTER TABLE "other Items" DISABLE RULE never;
ALTER TABLE "other Items" ENABLE ALWAYS RULE also;
COMMENT ON RULE also ON "other Items" IS 'the rule';
RESET ROLE;

CREATE VIEW public.mentions AS
  SELECT 'policy' AS kind, p.oid, polname AS name, polcmd::text AS how, polpermissive::text AS state, pg_get_expr(polqual, polrelid) AS one,
         pg_get_expr(polwithcheck, polrelid) AS two, obj_description(p.oid, 'pg_policy') AS comment, polroles::regrole[]::text AS roles
    FROM pg_policy p JOIN pg_class c ON c.oid = polrelid WHERE relnamespace = 'mention'::regnamespace
  UNION ALL
  SELECT 'rule', r.oid, rulename, ev_type::text, ev_enabled::text, pg_get_ruledef(r.oid), NULL, obj_description(r.oid, 'pg_rewrite'), NULL
    FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE relnamespace = 'mention'::regnamespace AND rulename <> '_RETURN';
CREATE TABLE public.mentions_before AS SELECT * FROM mentions;
CREATE VIEW public.mentions_changed AS
  (SELECT 'gone' AS what, b.* FROM mentions_before b EXCEPT ALL SELECT 'gone', m.* FROM mentions m)
  UNION ALL (SELECT 'new', m.* FROM mentions m EXCEPT ALL SELECT 'new', b.* FROM mentions_before b);
SELECT kind, name, how, state, comment FROM mentions ORDER BY kind, name COLLATE "C";

SET ROLE mention_owner;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: mentions, scope: {table: grants}, transform: {set: {level: "'new'"}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'mentions' ORDER BY kind, object COLLATE "C";
SELECT count(*) FROM backfill_run('mentions');
SET client_min_messages = error;
CALL backfill_wait('mentions', '60 s');
SET ROLE mention_reader;
PREPARE readable AS SELECT count(*), max(id) FROM "other Items";
EXECUTE readable;
INSERT INTO "other Items" VALUES (3, 'not new');
RESET ROLE;
SELECT left(backfill_publish('mentions'), 18);
SELECT * FROM mentions_changed;

SET ROLE mention_owner;
INSERT INTO grants VALUES ('mention_reader', 6, 'new'), ('mention_reader', 7, 'hidden');
INSERT INTO grants VALUES ('mention_reader', 12, 'new');
INSERT INTO names VALUES (20, 'by the rule') RETURNING *;
UPDATE "other Items" SET name = 'changed' WHERE id = 3;
DELETE FROM "other Items" WHERE id = 10;
SELECT * FROM audit;
SET ROLE mention_reader;
EXECUTE readable;
INSERT INTO "other Items" VALUES (12, 'new');
RESET ROLE;
SELECT id FROM backfill.jobs WHERE name = 'mentions' \gset
SELECT count(*) AS left_on_the_archive FROM pg_depend WHERE refobjid = format('mention.grants_archive_%s', :id)::regclass
  AND classid IN ('pg_policy'::regclass, 'pg_rewrite'::regclass);

SELECT left(backfill_rollback('mentions'), 20);
SELECT * FROM mentions_changed;
SET ROLE mention_owner;
INSERT INTO names VALUES (21, 'by the rule') RETURNING *;
UPDATE "other Items" SET name = 'changed again' WHERE id IN (1, 3);
SELECT * FROM audit;
SELECT item, level FROM grants WHERE level <> 'old' OR item = 1 ORDER BY 1;
SET ROLE mention_reader;
EXECUTE readable;
RESET ROLE;
SELECT left(backfill_publish('mentions'), 18);
SELECT * FROM mentions_changed;
SELECT left(backfill_finish('mentions'), 17);
SELECT * FROM mentions_changed;
SET ROLE mention_reader;
EXECUTE readable;

RESET ROLE;
RESET search_path;
DROP SCHEMA mention CASCADE;
DROP TABLE mentions_before;
DROP ROLE mention_owner, mention_reader;
