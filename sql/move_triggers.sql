-- Triggers of the table are on the version in service, whichever that is, as they were; on the others there are none.
-- They fire once for what users write, and never for what backfill writes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA "Trïg ""it""";
SET search_path = "Trïg ""it""", public;

CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE fired (n int GENERATED ALWAYS AS IDENTITY, what text);
CREATE TABLE t (id int PRIMARY KEY, code text, amount int, "Bétrag ""x""" int, CONSTRAINT positive CHECK (amount > 0));
INSERT INTO t SELECT i, 'c' || i % 3, i, i FROM generate_series(1, 300) i;

CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "Trïg ""it""".fired (what) VALUES (concat_ws(' ', tg_when, tg_op, tg_level, tg_name, array_to_string(tg_argv, '|')));
  RETURN CASE WHEN tg_op = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION fire_for_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "Trïg ""it""".fired (what) SELECT concat_ws(' ', tg_op, tg_name, count(*), max(amount)) FROM seen;
  RETURN NULL;
END $$;

CREATE TRIGGER plain BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fire('an ''argument', '', E'back\\slash', 'Ünï');
CREATE TRIGGER "Trïgger with a name as long as any name of a trigger may be, 6" AFTER UPDATE OF amount, "Bétrag ""x""" ON t
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.* AND NEW."Bétrag ""x""" > 5) EXECUTE FUNCTION fire();
CREATE TRIGGER "sees ""old""" AFTER DELETE ON t REFERENCING OLD TABLE AS seen FOR EACH STATEMENT EXECUTE FUNCTION fire_for_all();
CREATE TRIGGER sees_new AFTER INSERT ON t REFERENCING NEW TABLE AS seen FOR EACH STATEMENT EXECUTE FUNCTION fire_for_all();
CREATE TRIGGER emptied BEFORE TRUNCATE ON t EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER "at the end" AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.amount > 1000) EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER at_once AFTER UPDATE ON t FROM other NOT DEFERRABLE FOR EACH ROW EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER itself AFTER DELETE ON t FROM t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION fire();
-- Two that have exchanged the names of their constraints, and one whose constraint's name is another trigger's.
CREATE CONSTRAINT TRIGGER a AFTER UPDATE ON t DEFERRABLE FOR EACH ROW WHEN (NEW.amount < 0) EXECUTE FUNCTION fire();
ALTER TRIGGER a ON t RENAME TO c;
CREATE CONSTRAINT TRIGGER b AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.amount < 0) EXECUTE FUNCTION fire();
ALTER TRIGGER b ON t RENAME TO a;
ALTER TRIGGER c ON t RENAME TO b;
CREATE CONSTRAINT TRIGGER d AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.amount < 0) EXECUTE FUNCTION fire();
ALTER TRIGGER d ON t RENAME TO positive;
CREATE TRIGGER d BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.amount < 0) EXECUTE FUNCTION fire();
-- In every state.
CREATE TRIGGER off BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE t DISABLE TRIGGER off;
CREATE TRIGGER on_replicas BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE t ENABLE REPLICA TRIGGER on_replicas;
CREATE TRIGGER always BEFORE DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION fire();
ALTER TABLE t ENABLE ALWAYS TRIGGER always;
ALTER TRIGGER plain ON t DEPENDS ON EXTENSION plpgsql;
COMMENT ON TRIGGER plain ON t IS 'it''s a trigger';
COMMENT ON CONSTRAINT "at the end" ON t IS 'the constraint of a trigger';
COMMENT ON TRIGGER a ON t IS 'trigger a';
COMMENT ON CONSTRAINT a ON t IS 'constraint a';

-- Triggers of a table as anybody can see them.
CREATE FUNCTION triggers_of(regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled, k.conname, k.condeferrable, k.condeferred, obj_description(t.oid, 'pg_trigger'),
                   obj_description(k.oid, 'pg_constraint'),
                   (SELECT string_agg(d.deptype::text || ' ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), ', ' ORDER BY d.deptype, d.refclassid)
                      FROM pg_depend d WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refobjid <> t.tgrelid))
    FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
   WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgname NOT LIKE 'backfill\_%' $$;
CREATE TABLE before AS SELECT line FROM triggers_of('t') AS line;
CREATE VIEW changed AS
  SELECT 'gone' AS what, line FROM (SELECT line FROM before EXCEPT ALL SELECT line FROM triggers_of('t') AS line) AS x
  UNION ALL SELECT 'new', line FROM (SELECT line FROM triggers_of('t') AS line EXCEPT ALL SELECT line FROM before) AS x;
SELECT count(*) FROM before;
-- What is on the versions out of service: nothing.
CREATE VIEW elsewhere AS
  SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
   WHERE c.relname ~ '^t_(archive|backfill)_' AND NOT t.tgisinternal AND t.tgname NOT LIKE 'backfill\_guard\_%'
UNION ALL
  SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
   WHERE c.relname ~ '^t_(archive|backfill)_' AND k.contype = 't';

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

-- What users do, and what is fired.
CREATE PROCEDURE use(n int) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t VALUES (1000 + n, 'new', 1, 1), (2000 + n, 'new', 2, 2);
  UPDATE t SET amount = 1001 + n WHERE id = 7;
  UPDATE t SET "Bétrag ""x""" = "Bétrag ""x""" WHERE id = 8;
  DELETE FROM t WHERE id = 1000 + n;
  INSERT INTO fired (what) VALUES ('the end of the transaction');
END $$;
CREATE FUNCTION fired_so_far() RETURNS SETOF text LANGUAGE sql AS $$
  WITH gone AS (DELETE FROM fired RETURNING *) SELECT what FROM gone ORDER BY n $$;
CALL use(0);
SELECT * FROM fired_so_far() AS line;
CALL use(1);
CREATE TEMP TABLE expected AS SELECT row_number() OVER (), line FROM fired_so_far() AS line;
CREATE FUNCTION differs() RETURNS TABLE (what text, line text) LANGUAGE sql AS $$
  WITH now AS (SELECT row_number() OVER (), line FROM fired_so_far() AS line)
  SELECT 'missing', (x).line FROM (SELECT * FROM expected EXCEPT SELECT * FROM now) AS x
  UNION ALL SELECT 'too much', (x).line FROM (SELECT * FROM now EXCEPT SELECT * FROM expected) AS x $$;
CALL use(2);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();

SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: trig, scope: {table: t}, transform: {add_columns: {tier: text}, set: {code: "'x' || id", tier: "'gold'"}},
   strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, object, detail FROM backfill.dependents WHERE name = 'trig' AND kind = 'trigger' ORDER BY object COLLATE "C";
SELECT count(*) FROM backfill_run('trig');
SET client_min_messages = error;
CALL backfill_wait('trig', '60 s');
SELECT * FROM fired_so_far() AS line;
SELECT * FROM elsewhere;
CALL use(3);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();
-- One that comes meanwhile moves too, one that goes is gone.
CREATE TRIGGER late BEFORE UPDATE ON t FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION fire();
DROP TRIGGER emptied ON t;
TRUNCATE before;
INSERT INTO before SELECT line FROM triggers_of('t') AS line;
SELECT count(*) FROM before;

-- Not while triggers wait for the end of the transaction, which would find them gone.
BEGIN;
UPDATE t SET amount = 2000 WHERE id = 11;
SELECT told($$SELECT backfill_publish('trig')$$);
ROLLBACK;
BEGIN;
UPDATE t SET amount = 2000 WHERE id = 11;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT left(backfill_publish('trig'), 14);
ROLLBACK;
SELECT count(*) FROM fired_so_far();
SELECT left(backfill_publish('trig'), 14);
SELECT * FROM changed;
SELECT * FROM elsewhere;
SELECT * FROM fired_so_far() AS line;
CALL use(4);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();
BEGIN;
SET CONSTRAINTS "at the end" IMMEDIATE;
UPDATE t SET amount = 5000 WHERE id = 9;
DELETE FROM fired;
COMMIT;
SELECT * FROM fired_so_far() AS line;
SELECT count(*), count(*) FILTER (WHERE tier = 'gold') AS gold FROM t;

BEGIN;
UPDATE t SET amount = 2000 WHERE id = 11;
SELECT told($$SELECT backfill_rollback('trig')$$);
ROLLBACK;

-- A trigger on what only the new version has stands in the way back, by name.
CREATE TRIGGER "of the new ""column""" BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.tier = 'x') EXECUTE FUNCTION fire();
SELECT told($$SELECT backfill_rollback('trig')$$);
DROP TRIGGER "of the new ""column""" ON t;
-- One that somebody hung on the archive goes.
DO $$BEGIN
  EXECUTE (SELECT format('CREATE TRIGGER stray BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION fire()', archive) FROM backfill.jobs WHERE name = 'trig');
END$$;
SELECT left(backfill_rollback('trig'), 16);
SELECT * FROM changed;
SELECT * FROM elsewhere;
SELECT * FROM fired_so_far() AS line;
CALL use(5);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();
SELECT id, code, amount FROM t WHERE id IN (7, 9, 1003, 2003, 2004, 2005) ORDER BY id;

SELECT left(backfill_publish('trig'), 14), left(backfill_rollback('trig'), 16), left(backfill_publish('trig'), 14);
SELECT * FROM changed;
SELECT * FROM elsewhere;
SELECT * FROM fired_so_far() AS line;
CALL use(6);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();
SELECT left(backfill_finish('trig'), 13);
SELECT * FROM changed;
CALL use(7);
SELECT regexp_replace(line, '100\d', '100N') AS line, what FROM differs();

-- The trigger of another table that names this one stays where it is, so it is refused.
CREATE CONSTRAINT TRIGGER "names t" AFTER INSERT ON other FROM t FOR EACH ROW EXECUTE FUNCTION fire();
SELECT told($$SELECT backfill_plan('{name: named, scope: {table: t}, transform: {set: {code: id}}, strategy: {chunk_by: blocks}}')$$);

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA "Trïg ""it""" CASCADE;
