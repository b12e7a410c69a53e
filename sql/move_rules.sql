-- Rules of the table are on the version in service, whichever that is, as they were; on the others there are none, so that
-- what backfill writes goes where it should.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA "Rüle ""it""";
SET search_path = "Rüle ""it""", public;

CREATE TABLE t (id int PRIMARY KEY, code text, amount int, "Bétrag ""x""" int);
INSERT INTO t SELECT i, 'c' || i % 3, i, i FROM generate_series(1, 300) i;
CREATE TABLE audit (n int GENERATED ALWAYS AS IDENTITY, what text);
CREATE TABLE elsewhere (LIKE t);

-- Also, instead, with a condition; of several actions; that read and write the table itself.
CREATE RULE "Rüle with a name as long as any name of a rule is allowed to b" AS ON UPDATE TO t WHERE NEW.amount <> OLD.amount
  DO ALSO INSERT INTO audit (what) VALUES (format('%s from %s to %s', OLD.id, OLD.amount, NEW."Bétrag ""x"""));
CREATE RULE diverted AS ON INSERT TO t WHERE NEW.code = 'else'
  DO INSTEAD INSERT INTO elsewhere VALUES (NEW.*);
CREATE RULE "keeps ""old""" AS ON DELETE TO t WHERE OLD.amount > 290 DO INSTEAD
  (UPDATE t SET code = 'deleted' WHERE t.id = OLD.id; INSERT INTO audit (what) SELECT 'kept ' || count(*) FROM t WHERE t.id = OLD.id);
CREATE RULE off AS ON DELETE TO t DO INSTEAD NOTHING;
ALTER TABLE t DISABLE RULE off;
CREATE RULE on_replicas AS ON UPDATE TO t DO INSTEAD NOTHING;
ALTER TABLE t ENABLE REPLICA RULE on_replicas;
CREATE RULE always AS ON INSERT TO t WHERE NEW.amount < 0 DO INSTEAD NOTHING;
ALTER TABLE t ENABLE ALWAYS RULE always;
COMMENT ON RULE off ON t IS 'it''s a rule';

CREATE FUNCTION rules_of(regclass) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled, obj_description(r.oid, 'pg_rewrite')) FROM pg_rewrite r WHERE r.ev_class = $1 $$;
CREATE TABLE before AS SELECT line FROM rules_of('t') AS line;
CREATE VIEW changed AS
  SELECT 'gone' AS what, line FROM (SELECT line FROM before EXCEPT ALL SELECT line FROM rules_of('t') AS line) AS x
  UNION ALL SELECT 'new', line FROM (SELECT line FROM rules_of('t') AS line EXCEPT ALL SELECT line FROM before) AS x;
SELECT count(*) FROM before;
CREATE VIEW on_others AS
  SELECT r.rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relname ~ '^t_(archive|backfill)_';
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

-- What users do, and what becomes of it.
CREATE PROCEDURE use(n int) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t VALUES (1000 + n, 'new', 1, 1), (2000 + n, 'else', 2, 2), (3000 + n, 'less', -1, 2);
  UPDATE t SET amount = amount + 1 WHERE id = 7;
  DELETE FROM t WHERE id IN (200 + n, 299);
END $$;
CREATE FUNCTION outcome() RETURNS SETOF text LANGUAGE sql AS $$
  WITH said AS (DELETE FROM audit RETURNING *) SELECT 'audit ' || what FROM said ORDER BY n $$;
CREATE FUNCTION rows_of(n int) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT concat_ws(' ', id - n, code, amount > 1) FROM t WHERE id IN (1000 + n, 2000 + n, 3000 + n, 200 + n)
  UNION ALL SELECT concat_ws(' ', 'elsewhere', id - n, code, amount) FROM elsewhere WHERE id = 2000 + n
  UNION ALL SELECT concat_ws(' ', id, code) FROM t WHERE id = 299 $$;
CALL use(0);
SELECT outcome();
SELECT rows_of(0);

SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: rule, scope: {table: t}, transform: {add_columns: {tier: text}, set: {"Bétrag \"x\"": "amount + 1000", tier: "'gold'"}},
   strategy: {chunk_by: blocks}, publish: {give_up_after: 20s}}$$);
SELECT fate, object, detail FROM backfill.dependents WHERE name = 'rule' AND kind = 'rule' ORDER BY object COLLATE "C";
SELECT count(*) FROM backfill_run('rule');
SET client_min_messages = error;
CALL backfill_wait('rule', '60 s');
CALL use(1);
SELECT outcome();
SELECT rows_of(1);
SELECT * FROM on_others;

SELECT left(backfill_publish('rule'), 14);
SELECT * FROM changed;
SELECT * FROM on_others;
CALL use(2);
SELECT outcome();
SELECT rows_of(2);
SELECT count(*), count(*) FILTER (WHERE tier = 'gold') AS gold FROM t;

-- A rule on what only the new version has stands in the way back, by name.
CREATE RULE "of the new ""column""" AS ON UPDATE TO t WHERE NEW.tier <> OLD.tier DO ALSO INSERT INTO audit (what) VALUES (NEW.tier);
SELECT told($$SELECT backfill_rollback('rule')$$);
DROP RULE "of the new ""column""" ON t;
SELECT left(backfill_rollback('rule'), 16);
SELECT * FROM changed;
SELECT * FROM on_others;
CALL use(3);
SELECT outcome();
SELECT rows_of(3);
SELECT id, code, amount, "Bétrag ""x""" FROM t WHERE id IN (7, 1001, 1002, 1003, 201, 202, 203, 299) ORDER BY id;

-- One that comes, one that is changed.
CREATE RULE late AS ON DELETE TO t WHERE OLD.code = 'late' DO INSTEAD NOTHING;
ALTER TABLE t ENABLE ALWAYS RULE off;
TRUNCATE before;
INSERT INTO before SELECT line FROM rules_of('t') AS line;
SELECT left(backfill_publish('rule'), 14);
SELECT * FROM changed;
SELECT * FROM on_others;
ALTER TABLE t DISABLE RULE off;
CALL use(4);
SELECT outcome();
SELECT rows_of(4);
SELECT left(backfill_rollback('rule'), 16), left(backfill_publish('rule'), 14), left(backfill_finish('rule'), 13);
CALL use(5);
SELECT outcome();
SELECT rows_of(5);

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA "Rüle ""it""" CASCADE;
