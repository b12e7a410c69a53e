-- Functions whose body is kept as a tree follow the table: replaced in place, nothing of them lost, both ways.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE function_owner;
CREATE ROLE function_caller;
CREATE SCHEMA "Fün ctions";
GRANT ALL ON SCHEMA "Fün ctions" TO function_owner;
GRANT USAGE ON SCHEMA "Fün ctions" TO function_caller;
SET search_path = "Fün ctions", public;

SET ROLE function_owner;
CREATE TABLE "t 1" (id int PRIMARY KEY, note text, amount numeric);
CREATE TABLE other (id int PRIMARY KEY, note text);
INSERT INTO "t 1" SELECT i, 'old', i FROM generate_series(1, 10) i;

CREATE FUNCTION count_of(wanted text DEFAULT 'new', OUT found bigint, OUT "the Sum" numeric) LANGUAGE sql STABLE PARALLEL SAFE
  SECURITY DEFINER COST 7 SET search_path = pg_catalog SET "work_mem" = '5MB'
  BEGIN ATOMIC SELECT count(*), sum(amount) FROM "t 1" WHERE note = wanted; END;
CREATE FUNCTION "a function with a name as long as any name of a function may be"(VARIADIC ids int[]) RETURNS SETOF "t 1".note%TYPE LANGUAGE sql
  STRICT ROWS 5 BEGIN ATOMIC SELECT note FROM "t 1" WHERE id = ANY (ids) ORDER BY id; END;
CREATE FUNCTION wide() RETURNS TABLE (id int, "Note" text) LANGUAGE sql RETURN (SELECT ROW(t.id, t.note) FROM "t 1" AS t LIMIT 0);
CREATE PROCEDURE put(id int, INOUT note text) LANGUAGE sql
  BEGIN ATOMIC
    INSERT INTO "t 1" AS t VALUES (put.id, put.note, 0) ON CONFLICT (id) DO UPDATE SET note = excluded.note;
    INSERT INTO other VALUES (put.id, put.note);
    SELECT max(note) FROM "t 1" t WHERE t.id = put.id;
  END;
-- The table as a constant; its row type in the body only.
CREATE FUNCTION name_of(which regclass DEFAULT '"t 1"') RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN which::text; END';
CREATE FUNCTION blank() RETURNS boolean LANGUAGE sql RETURN NULL::"t 1" IS NULL;
CREATE VIEW through AS SELECT count_of.found FROM count_of();
GRANT EXECUTE ON FUNCTION count_of TO function_caller WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION count_of FROM PUBLIC;
COMMENT ON FUNCTION count_of IS 'how many';
COMMENT ON PROCEDURE put IS 'one more';
ALTER FUNCTION count_of DEPENDS ON EXTENSION plpgsql;
ALTER PROCEDURE put DEPENDS ON EXTENSION plpgsql;
RESET ROLE;
ALTER FUNCTION blank LEAKPROOF;

CREATE VIEW public.functions AS
  SELECT p.oid, p.proname, pg_get_functiondef(p.oid) AS definition, p.proowner::regrole AS owner, p.proacl::text AS acl,
         obj_description(p.oid, 'pg_proc') AS comment, p.proleakproof,
         (SELECT string_agg(DISTINCT d.deptype::text || ' ' || concat(d.refclassid::regclass, ' ') ||
                            CASE d.refclassid WHEN 'pg_class'::regclass THEN d.refobjid::regclass::text
                                              WHEN 'pg_extension'::regclass THEN (SELECT extname FROM pg_extension WHERE oid = d.refobjid) END, ', ')
            FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid) AS needs
    FROM pg_proc p WHERE p.pronamespace = '"Fün ctions"'::regnamespace;
CREATE TABLE public.functions_before AS SELECT * FROM functions;
CREATE VIEW public.functions_changed AS
  (SELECT 'gone' AS what, b.* FROM functions_before b EXCEPT ALL SELECT 'gone', f.* FROM functions f)
  UNION ALL (SELECT 'new', f.* FROM functions f EXCEPT ALL SELECT 'new', b.* FROM functions_before b);
GRANT SELECT ON functions_before, functions_changed TO function_owner;
SELECT proname, needs FROM functions ORDER BY proname COLLATE "C";
SELECT definition FROM functions WHERE proname IN ('count_of', 'put') ORDER BY proname;

SET ROLE function_owner;
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: functions, scope: {table: '"t 1"'}, transform: {set: {note: "'new'"}}, strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'functions' ORDER BY kind, object COLLATE "C";
PREPARE counted AS SELECT * FROM count_of();
EXECUTE counted;
SELECT count(*) FROM backfill_run('functions');
SET client_min_messages = error;
CALL backfill_wait('functions', '60 s');
CALL put(1, 'put before');
SELECT left(backfill_publish('functions'), 19);
SELECT * FROM functions_changed;
EXECUTE counted;
SELECT * FROM count_of('old');
SELECT * FROM through;
SELECT * FROM "a function with a name as long as any name of a function may be"(1, 2, 3);
SELECT name_of(), blank();
CALL put(11, 'put after publish');
SELECT * FROM "t 1" WHERE note <> 'new' ORDER BY id;

SELECT left(backfill_rollback('functions'), 21);
SELECT * FROM functions_changed;
EXECUTE counted;
SELECT * FROM count_of('old');
SELECT name_of(), blank();
CALL put(12, 'put after rollback');
SELECT * FROM "t 1" WHERE note <> 'old' ORDER BY id;

SELECT left(backfill_publish('functions'), 19);
SELECT * FROM functions_changed;
EXECUTE counted;
SELECT left(backfill_finish('functions'), 18);
SELECT * FROM functions_changed;
EXECUTE counted;
CALL put(13, 'put after the end');

RESET ROLE;
RESET search_path;
DROP SCHEMA "Fün ctions" CASCADE;
DROP TABLE functions_before;
DROP ROLE function_owner, function_caller;
