-- Row security: flags and policies are on the version in service as they were; who may see some rows sees no others, in no
-- version and at no moment.  The work itself sees all rows.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE "pölicy ""owner""";
CREATE ROLE policy_reader;
CREATE ROLE policy_writer;
CREATE SCHEMA "Pölicy ""it""";
GRANT ALL ON SCHEMA "Pölicy ""it""" TO PUBLIC;
SET search_path = "Pölicy ""it""", public;

CREATE TABLE members (member name, tenant text);
INSERT INTO members VALUES ('policy_reader', 'c1'), ('policy_writer', 'c1'), ('policy_writer', 'c2');
GRANT SELECT ON members TO PUBLIC;
SET ROLE "pölicy ""owner""";
CREATE TABLE t (id int PRIMARY KEY, tenant text, boss int, "Bétrag ""x""" int);
INSERT INTO t SELECT i, 'c' || i % 3, i / 10, i FROM generate_series(1, 300) i;
GRANT SELECT ON t TO policy_reader;
GRANT ALL ON t TO policy_writer;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Pölicy with a name as long as any name of a policy is allowed" ON t FOR SELECT TO policy_reader, policy_writer
  USING (EXISTS (SELECT FROM members WHERE member = current_user AND members.tenant = t.tenant));
CREATE POLICY inserts ON t FOR INSERT TO policy_writer WITH CHECK (tenant = 'c1');
CREATE POLICY updates ON t FOR UPDATE TO policy_writer USING (tenant <> 'c0') WITH CHECK ("Bétrag ""x""" < 1000000);
CREATE POLICY deletes ON t FOR DELETE TO policy_writer USING (id > 3);
CREATE POLICY "no ""secrets""" ON t AS RESTRICTIVE FOR ALL TO PUBLIC USING (id <> 4) WITH CHECK (true);
-- One that reads the table itself, for a role that nobody uses here.
CREATE POLICY itself ON t FOR ALL TO pg_monitor USING (EXISTS (SELECT FROM t AS u WHERE u.boss = t.id));
COMMENT ON POLICY inserts ON t IS 'it''s a policy';
RESET ROLE;

CREATE FUNCTION security_of(regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT concat_ws(' ', 'flags', relrowsecurity, relforcerowsecurity) FROM pg_class WHERE oid = $1
  UNION ALL
  SELECT concat_ws(' ', polname, polpermissive, polcmd, polroles::regrole[], 'USING', pg_get_expr(polqual, polrelid), 'CHECK',
                   pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy'),
                   (SELECT string_agg(DISTINCT d.refobjid::regclass::text, ',') FROM pg_depend d
                     WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass))
    FROM pg_policy p WHERE polrelid = $1 $$;
CREATE TABLE before AS SELECT line FROM security_of('t') AS line;
CREATE VIEW changed AS
  SELECT 'gone' AS what, line FROM (SELECT line FROM before EXCEPT ALL SELECT line FROM security_of('t') AS line) AS x
  UNION ALL SELECT 'new', line FROM (SELECT line FROM security_of('t') AS line EXCEPT ALL SELECT line FROM before) AS x;
SELECT count(*) FROM before;
-- What a statement is refused with.
CREATE FUNCTION told(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN QUERY SELECT regexp_replace(line, '_\d+', '_ID') FROM unnest(ARRAY[SQLSTATE, SQLERRM, detail, hint]) AS line;
END $$;
-- What a role sees of a version: its rows, or that it may not look.
CREATE FUNCTION seen(relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  EXECUTE 'SELECT concat_ws('' '', count(*), string_agg(DISTINCT tenant, '',''), bool_or(id = 4)) FROM ' || relation INTO line;
  RETURN line;
EXCEPTION WHEN insufficient_privilege THEN RETURN 'nothing: ' || regexp_replace(SQLERRM, '_\d+', '_ID');
END $$;
-- What a role can do, undone.
CREATE FUNCTION can(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RAISE SQLSTATE 'UNDO1';
  EXCEPTION WHEN SQLSTATE 'UNDO1' THEN RETURN n || ' rows';
    WHEN OTHERS THEN RETURN SQLERRM;
  END;
END $$;
CREATE VIEW abilities AS
  SELECT current_user AS who, seen('t') AS sees, can($$INSERT INTO t VALUES (9001, 'c1')$$) AS inserts,
         can($$INSERT INTO t VALUES (9002, 'c2')$$) AS inserts_other, can('UPDATE t SET boss = 1') AS updates,
         can('UPDATE t SET "Bétrag ""x""" = 1000001') AS updates_much, can('DELETE FROM t') AS deletes;
ALTER VIEW abilities SET (security_invoker);
GRANT SELECT ON abilities TO PUBLIC;

\x on
SET ROLE policy_reader;
SELECT * FROM abilities;
PREPARE mine AS SELECT count(*), max("Bétrag ""x""") FROM t;
EXECUTE mine;
SET ROLE policy_writer;
SELECT * FROM abilities;
\x off

SET ROLE "pölicy ""owner""";
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: policy, scope: {table: t}, transform: {add_columns: {tier: text}, set: {"Bétrag \"x\"": "\"Bétrag \"\"x\"\"\" + 1000", tier: "'gold'"}},
   strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'policy' ORDER BY kind, object COLLATE "C";
SELECT 't_archive_' || id AS archive, 't_backfill_' || id AS shadow FROM backfill.jobs WHERE name = 'policy' \gset
SELECT count(*) FROM backfill_run('policy');
SET client_min_messages = error;
CALL backfill_wait('policy', '60 s');
SELECT "check", outcome FROM backfill.checks WHERE name = 'policy' AND latest ORDER BY 1;
SELECT count(*) > 0 AS compared FROM backfill_diff('policy');
-- Written meanwhile, and drained.
UPDATE t SET tenant = 'c1' WHERE id IN (3, 4);
SET ROLE policy_reader;
SELECT seen('t'), seen(:'shadow');
SET ROLE "pölicy ""owner""";

SELECT left(backfill_publish('policy'), 16);
RESET ROLE;
SELECT * FROM changed;
\x on
SET ROLE policy_reader;
SELECT * FROM abilities;
EXECUTE mine;
SELECT seen(:'archive');
SET ROLE policy_writer;
SELECT * FROM abilities;
SELECT seen(:'archive');
\x off
INSERT INTO t VALUES (500, 'c1');
UPDATE t SET boss = 77 WHERE id = 7;
DELETE FROM t WHERE id = 10;
SET ROLE "pölicy ""owner""";

-- A policy on what only the new version has stands in the way back, by name.
CREATE POLICY "of the new ""column""" ON t USING (tier = 'x');
SELECT told($$SELECT backfill_rollback('policy')$$);
DROP POLICY "of the new ""column""" ON t;
-- Others that came, went or changed since are taken back with it.
ALTER POLICY deletes ON t USING (id > 5);
DROP POLICY inserts ON t;
RESET ROLE;
TRUNCATE before;
INSERT INTO before SELECT line FROM security_of('t') AS line;
SET ROLE "pölicy ""owner""";
SELECT left(backfill_rollback('policy'), 18);
RESET ROLE;
SELECT * FROM changed;
SELECT id, tenant, boss, "Bétrag ""x""" FROM t WHERE id IN (3, 4, 7, 10, 500) ORDER BY id;
SET ROLE policy_reader;
SELECT seen('t'), seen(:'shadow');
EXECUTE mine;
SET ROLE policy_writer;
SELECT seen('t'), seen(:'shadow');

-- Without row security for once: its policies sleep, and move.
SET ROLE "pölicy ""owner""";
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
RESET ROLE;
TRUNCATE before;
INSERT INTO before SELECT line FROM security_of('t') AS line;
SELECT left(backfill_publish('policy'), 16);
SELECT * FROM changed;
SET ROLE policy_reader;
SELECT seen('t'), seen(:'archive');
SET ROLE "pölicy ""owner""";
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
SELECT left(backfill_rollback('policy'), 18), left(backfill_publish('policy'), 16);
SET ROLE policy_reader;
SELECT seen('t'), seen(:'archive');
SET ROLE "pölicy ""owner""";
SELECT left(backfill_finish('policy'), 15);
SET ROLE policy_reader;
SELECT seen('t');
SET ROLE "pölicy ""owner""";

-- Forced on an owner who cannot bypass it: refused, since rows would be hidden from the work.
ALTER TABLE t FORCE ROW LEVEL SECURITY;
SELECT told($$SELECT backfill_plan('{name: forced, scope: {table: t}, transform: {set: {boss: 5}}, strategy: {chunk_by: blocks}}')$$);
-- On one who can, it moves.
RESET ROLE;
ALTER ROLE "pölicy ""owner""" BYPASSRLS;
SET ROLE "pölicy ""owner""";
SELECT count(*) > 0 AS planned FROM backfill_plan('{name: forced, scope: {table: t}, transform: {set: {boss: 5}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}');
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'forced' AND kind = 'row security';
SELECT count(*) FROM backfill_run('forced');
CALL backfill_wait('forced', '60 s');
RESET ROLE;
TRUNCATE before;
INSERT INTO before SELECT line FROM security_of('t') AS line;
SELECT left(backfill_publish('forced'), 16), left(backfill_rollback('forced'), 18), left(backfill_publish('forced'), 16);
SELECT * FROM changed;
-- Bypass taken away meanwhile: what was to be carried is not lost, but the work says that it cannot see it.
BEGIN;
UPDATE t SET tenant = 'c2' WHERE id = 7;
ALTER ROLE "pölicy ""owner""" NOBYPASSRLS;
COMMIT;
SELECT told($$SELECT backfill_rollback('forced')$$);
ALTER TABLE t NO FORCE ROW LEVEL SECURITY;
SELECT told($$SELECT backfill_rollback('forced')$$);
SELECT format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', archive) AS statement FROM backfill.jobs WHERE name = 'forced' \gset
:statement;
SELECT left(backfill_rollback('forced'), 18);
SELECT id, tenant, boss FROM t WHERE id = 7;
SELECT left(backfill_cancel('forced'), 16);

-- A source that is hidden from the owner is told when planning.
RESET ROLE;
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
SET ROLE "pölicy ""owner""";
SELECT told($$SELECT backfill_plan('{name: joined, scope: {table: t}, transform: {join: "JOIN members USING (tenant)", set: {boss: 5}}, strategy: {chunk_by: blocks}}')$$);

-- Two tables published at once: a policy of the one reads the other, in service and in the archive.
RESET ROLE;
CREATE TABLE a (id int PRIMARY KEY, tenant int, v int);
CREATE TABLE b (LIKE a INCLUDING ALL);
INSERT INTO a SELECT i, i % 5, 0 FROM generate_series(1, 100) i;
INSERT INTO b SELECT i, i % 5, 0 FROM generate_series(1, 100) i;
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON a, b TO policy_reader;
CREATE POLICY of_b ON a USING (EXISTS (SELECT FROM b WHERE b.tenant = a.tenant AND b.id < 3));
CREATE FUNCTION reads() RETURNS TABLE (policy text, reads text) LANGUAGE sql AS $$
  SELECT regexp_replace(pg_describe_object(classid, objid, 0), '_\d+', '_ID') AS policy, string_agg(DISTINCT regexp_replace(refobjid::regclass::text, '_\d+', '_ID'), ' ')
    FROM pg_depend WHERE classid = 'pg_policy'::regclass AND refclassid = 'pg_class'::regclass AND refobjid::regclass::text ~ '^[ab](_|$)' GROUP BY 1 ORDER BY 1 $$;
SELECT count(*) > 0 AS planned FROM backfill_plan('{name: a, scope: {table: a}, transform: {set: {v: 1}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}');
SELECT count(*) > 0 AS planned FROM backfill_plan('{name: b, scope: {table: b}, transform: {set: {v: 1}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}');
SELECT count(*) FROM (SELECT backfill_run('a'), backfill_run('b')) AS x;
CALL backfill_wait('a', '60 s');
CALL backfill_wait('b', '60 s');
SELECT left(backfill_publish('a', 'b'), 14);
SELECT * FROM reads();
SELECT archive FROM backfill.jobs WHERE name = 'a' \gset
SET ROLE policy_reader;
SELECT count(*), max(v) FROM a;
SELECT count(*), max(v) FROM :archive;
RESET ROLE;
SELECT left(backfill_rollback('b'), 13), left(backfill_publish('b'), 11), left(backfill_finish('b'), 10), left(backfill_rollback('a'), 13);
SELECT * FROM reads();
SELECT left(backfill_publish('a'), 11), left(backfill_finish('a'), 10);
SELECT * FROM reads();
SET ROLE policy_reader;
SELECT count(*), max(v) FROM a;

RESET ROLE;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA "Pölicy ""it""" CASCADE;
DROP ROLE "pölicy ""owner""", policy_reader, policy_writer;
