-- Tables that refer to each other, published together or one by one, and rolled back one by one: whatever is in service,
-- the foreign keys are between what is in service, and nothing else is in force.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA together;
SET search_path = together, public;

CREATE TABLE parent (id int PRIMARY KEY, favourite int, v int);
CREATE TABLE child (id int, part int, parent_id int NOT NULL CONSTRAINT child_parent REFERENCES parent ON DELETE CASCADE, elder int, v int,
  PRIMARY KEY (part, id),
  CONSTRAINT child_elder FOREIGN KEY (part, elder) REFERENCES child (part, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX child_id ON child (id);
ALTER TABLE parent ADD CONSTRAINT parent_favourite FOREIGN KEY (favourite) REFERENCES child (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT parent_favourite ON parent IS 'closes the circle';
BEGIN;
INSERT INTO parent SELECT i, i, i FROM generate_series(1, 30) i;
INSERT INTO child SELECT i, i % 3, i, CASE WHEN i > 3 THEN i - 3 END, i FROM generate_series(1, 30) i;
COMMIT;

-- What is in force.
CREATE VIEW foreign_keys AS
  SELECT conrelid::regclass::text AS "table", confrelid::regclass::text AS "to", conname, pg_get_constraintdef(oid) AS definition, convalidated,
         obj_description(oid, 'pg_constraint') AS comment
    FROM pg_constraint k WHERE contype = 'f' AND connamespace = 'together'::regnamespace
     AND EXISTS (SELECT FROM pg_trigger WHERE tgconstraint = k.oid AND tgenabled <> 'D');
CREATE TABLE before AS TABLE foreign_keys;
CREATE VIEW changed AS
  (SELECT 'gone', "table", "to", conname, replace(definition, ' NOT VALID', ''), comment FROM before
   EXCEPT ALL SELECT 'gone', "table", "to", conname, replace(definition, ' NOT VALID', ''), comment FROM foreign_keys)
  UNION ALL (SELECT 'new', "table", "to", conname, replace(definition, ' NOT VALID', ''), comment FROM foreign_keys
   EXCEPT ALL SELECT 'new', "table", "to", conname, replace(definition, ' NOT VALID', ''), comment FROM before);
-- Whatever is left of keys, once the steps after the swaps have been run.
CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM backfill.steps s WHERE phase = 'after' AND status NOT IN ('done', 'failed')
                            AND name IN (SELECT name FROM backfill.jobs WHERE state = 'published' OR state = 'ready' AND shadow IS NOT NULL)
                            AND EXISTS (SELECT FROM backfill.events e WHERE e.name = s.name AND event = 'published'));
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
CREATE VIEW left_over AS
  SELECT conrelid::regclass, conname FROM pg_constraint k WHERE contype = 'f' AND connamespace = 'together'::regnamespace
     AND (NOT convalidated OR conname NOT IN (SELECT conname FROM before));
-- Deletes and inserts through all the keys, taken back.
CREATE FUNCTION works() RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text := '';
BEGIN
  BEGIN
    INSERT INTO child VALUES (1000, 1, 1000, NULL, 0);
    result := result || 'child without parent; ';
  EXCEPTION WHEN foreign_key_violation THEN NULL;
  END;
  BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO parent VALUES (1000, 1000, 0);
    INSERT INTO child VALUES (1000, 1, 1000, 1001, 0), (1001, 1, 1000, NULL, 0);
    SET CONSTRAINTS ALL IMMEDIATE;
    DELETE FROM child WHERE id = 1000;
    result := result || (SELECT CASE WHEN favourite IS NULL THEN '' ELSE 'favourite not set null; ' END FROM parent WHERE id = 1000);
    DELETE FROM parent WHERE id = 1000;
    result := result || (SELECT CASE count(*) WHEN 0 THEN '' ELSE 'not cascaded; ' END FROM child WHERE id IN (1000, 1001));
    DELETE FROM child WHERE id = 4;
    result := result || (SELECT CASE count(*) WHEN 0 THEN '' ELSE 'not cascaded to the younger; ' END FROM child WHERE part = 1 AND id > 4);
    RAISE EXCEPTION SQLSTATE 'UNDO0';
  EXCEPTION WHEN SQLSTATE 'UNDO0' THEN NULL;
  END;
  RETURN coalesce(nullif(result, ''), 'yes');
END $$;
CREATE FUNCTION versions() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  RETURN (SELECT format('parent %s, child %s', p.v, c.v) FROM parent p, child c WHERE p.id = 7 AND c.id = 7);
END $$;

SELECT count(*) > 0 AS planned FROM backfill_plan('parents', 'parent', set => '{"v": "v + 100"}', chunk_by => 'blocks');
SELECT count(*) > 0 AS planned FROM backfill_plan('children', 'child', set => '{"v": "v + 100"}', chunk_by => 'blocks');
SELECT backfill_run('parents') IS NOT NULL AND backfill_run('children') IS NOT NULL AS started;
CALL backfill_wait('parents', '1 min');
CALL backfill_wait('children', '1 min');

\echo -- together, and back one by one at once
SELECT backfill_publish('parents', 'children') ~ '^published' AS published;
TABLE changed;
SELECT versions(), works();
SELECT backfill_rollback('children') ~ '^rolled back' AS rolled_back;
TABLE changed;
SELECT versions(), works();
SELECT backfill_rollback('parents') ~ '^rolled back' AS rolled_back;
TABLE changed;
SELECT versions(), works();
CALL settle();
TABLE left_over;

\echo -- the parent alone, then the child, and back in the other order
SELECT backfill_publish('parents') ~ '^published' AS published;
TABLE changed;
SELECT versions(), works();
SELECT backfill_publish('children') ~ '^published' AS published;
TABLE changed;
SELECT versions(), works();
SELECT backfill_rollback('parents') ~ '^rolled back' AS rolled_back;
TABLE changed;
SELECT versions(), works();
CALL settle();
TABLE left_over;
SELECT backfill_rollback('children') ~ '^rolled back' AS rolled_back;
TABLE changed;
SELECT versions(), works();

\echo -- the child alone, then the parent while the old child waits in the archive
SELECT backfill_publish('children') ~ '^published' AS published;
SELECT backfill_publish('parents') ~ '^published' AS published;
TABLE changed;
SELECT versions(), works();

\echo -- both ways in one transaction
BEGIN;
SELECT backfill_rollback('parents') ~ '^rolled back' AS rolled_back;
SELECT backfill_rollback('children') ~ '^rolled back' AS rolled_back;
SELECT backfill_publish('children', 'parents') ~ '^published' AS published;
COMMIT;
TABLE changed;
SELECT versions(), works();

\echo -- the old parent goes while the old child is kept, which has a key to it that waits to be dropped
SELECT backfill_finish('parents') ~ '^finished' AS finished;
TABLE changed;
SELECT versions(), works();
SELECT backfill_rollback('children') ~ '^rolled back' AS rolled_back;
TABLE changed;
SELECT versions(), works();
CALL settle();
TABLE left_over;
SELECT backfill_cancel('children') ~ '^cancelled' AS cancelled;
TABLE changed;
TABLE left_over;
SELECT versions(), works();
SELECT count(*) AS constraint_triggers FROM pg_trigger WHERE tgrelid IN ('parent'::regclass, 'child'::regclass) AND tgisinternal;

DROP SCHEMA together CASCADE;
