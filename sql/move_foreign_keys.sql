-- Foreign keys of other tables follow the target through publishes and rollbacks: definition, name, comment, and force.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA keys;
SET search_path = keys, public;

CREATE TABLE orders (
  id int PRIMARY KEY,
  region int NOT NULL, number int NOT NULL, UNIQUE (region, number),
  code text NOT NULL,
  tier text);
CREATE UNIQUE INDEX orders_code ON orders (code);  -- a key may refer to an index that is no constraint
INSERT INTO orders SELECT i, i % 3, i, 'code ' || i FROM generate_series(1, 30) i;

CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE);
CREATE TABLE "Büro ""x""" (
  region int DEFAULT 0, number int DEFAULT 3, note text,
  CONSTRAINT "ein Schlüssel, dessen Name mit Umlauten äöüß bis 63 reicht" FOREIGN KEY (region, number)
    REFERENCES orders (region, number) MATCH FULL ON UPDATE CASCADE ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED);
COMMENT ON CONSTRAINT "ein Schlüssel, dessen Name mit Umlauten äöüß bis 63 reicht" ON "Büro ""x""" IS 'it''s a key';
CREATE TABLE notes (id int, region int, number int,
  FOREIGN KEY (region, number) REFERENCES orders (region, number) ON DELETE SET NULL (number));
CREATE TABLE codes (code text REFERENCES orders (code) ON UPDATE CASCADE DEFERRABLE);
CREATE TABLE old_items (order_id int);
INSERT INTO old_items VALUES (999);
ALTER TABLE old_items ADD CONSTRAINT "not valid" FOREIGN KEY (order_id) REFERENCES orders NOT VALID;
INSERT INTO items SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO "Büro ""x""" SELECT i % 3, i FROM generate_series(1, 20) i;
INSERT INTO notes SELECT i, i % 3, i FROM generate_series(1, 20) i;
INSERT INTO codes SELECT 'code ' || i FROM generate_series(1, 20) i;

CREATE VIEW foreign_keys AS
  SELECT conrelid::regclass::text AS "table", conname, pg_get_constraintdef(oid) AS definition, convalidated,
         obj_description(oid, 'pg_constraint') AS comment
    FROM pg_constraint WHERE contype = 'f' AND connamespace = 'keys'::regnamespace;
CREATE TABLE before AS TABLE foreign_keys;
CREATE VIEW changed AS
  (SELECT 'gone', * FROM before EXCEPT ALL SELECT 'gone', * FROM foreign_keys)
  UNION ALL (SELECT 'new', * FROM foreign_keys EXCEPT ALL SELECT 'new', * FROM before);
-- The steps after a swap have been run.
CREATE PROCEDURE settle(job text) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM backfill.steps s WHERE s.name = job AND phase = 'after' AND status NOT IN ('done', 'failed'));
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;

SELECT line FROM backfill_plan('tiers', 'orders', set => '{"tier": "''gold''"}', chunk_by => 'blocks') AS line
 WHERE line ~ 'rebuilt|relationships';
SELECT fate, kind, object, detail FROM backfill.dependents WHERE name = 'tiers' AND kind ~ 'foreign' ORDER BY object;
SELECT backfill_run('tiers') IS NOT NULL AS started;
CALL backfill_wait('tiers', '1 min');
SELECT "check", severity, outcome, actual, detail FROM backfill.checks WHERE name = 'tiers' AND latest AND "check" ~ 'relationships' ORDER BY "check";

-- Within the transaction the new keys are in force and nobody is asked for more than SHARE ROW EXCLUSIVE.
BEGIN;
SELECT backfill_publish('tiers') ~ '^published tiers' AS published;
SELECT DISTINCT relation::regclass, mode FROM pg_locks JOIN pg_class c ON c.oid = relation
 WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relname IN ('items', 'notes', 'codes', 'old_items');
SELECT "table", conname, definition FROM foreign_keys WHERE conname !~ '_retired_\d+$' ORDER BY 1, 2;
SELECT count(*) AS retired FROM pg_constraint WHERE backfill.is_retired_key(oid) AND connamespace = 'keys'::regnamespace;
COMMIT;
CALL settle('tiers');
SELECT kind, title, status FROM backfill.steps WHERE name = 'tiers' AND phase = 'after' ORDER BY kind, title COLLATE "C";
TABLE changed;
SELECT count(*) AS old_version_referred_to FROM pg_constraint WHERE confrelid = (SELECT archive::regclass FROM backfill.jobs WHERE name = 'tiers');

-- Every action goes on.
INSERT INTO items VALUES (100, 1000);
INSERT INTO orders VALUES (1000, 5, 1000, 'code 1000');
INSERT INTO items VALUES (100, 1000);
DELETE FROM orders WHERE id = 1000;
SELECT count(*) AS cascaded FROM items WHERE id = 100;
DELETE FROM notes WHERE id = 9;
UPDATE orders SET number = number + 100, code = 'new code ' || id WHERE id = 9;
SELECT * FROM "Büro ""x""" WHERE number > 100;
SELECT * FROM codes WHERE code ~ 'new';
DELETE FROM codes WHERE code = 'code 6';
DELETE FROM orders WHERE id = 6;
SELECT * FROM notes WHERE id = 6;
SELECT count(*) AS defaulted FROM "Büro ""x""" WHERE number = 3;
INSERT INTO "Büro ""x""" VALUES (1, NULL);
BEGIN;
INSERT INTO "Büro ""x""" VALUES (7, 7);
INSERT INTO orders VALUES (1007, 7, 7, 'code 1007');
COMMIT;
INSERT INTO old_items VALUES (998);

-- And backwards, again and again, whether or not anything was dropped in between.
SELECT backfill_rollback('tiers') ~ '^rolled back' AS rolled_back;
SELECT backfill_publish('tiers') ~ '^published' AS published;
SELECT backfill_rollback('tiers') ~ '^rolled back' AS rolled_back;
INSERT INTO items VALUES (101, 1000);
DELETE FROM orders WHERE id = 9;
DELETE FROM codes WHERE code ~ 'new';
DELETE FROM orders WHERE id = 9;
SELECT count(*) AS cascaded FROM items WHERE order_id = 9;
CALL settle('tiers');
TABLE changed;
BEGIN;
SELECT backfill_publish('tiers') ~ '^published' AS published;
SELECT backfill_rollback('tiers') ~ '^rolled back' AS rolled_back;
SELECT backfill_publish('tiers') ~ '^published' AS published;
COMMIT;
CALL settle('tiers');
TABLE changed;
SELECT count(*) AS referring FROM pg_constraint WHERE confrelid = (SELECT archive::regclass FROM backfill.jobs WHERE name = 'tiers');
SELECT backfill_finish('tiers') ~ '^finished' AS finished;
TABLE changed;

-- Rows that break a key show in its validation only; it stays in force.
SELECT count(*) > 0 AS planned FROM backfill_plan('again', 'orders', set => '{"tier": "''silver''"}', chunk_by => 'blocks');
SELECT backfill_run('again') IS NOT NULL AS started;
CALL backfill_wait('again', '1 min');
SET session_replication_role = replica;
INSERT INTO items VALUES (102, 1002);
RESET session_replication_role;
SELECT backfill_publish('again') ~ '^published' AS published;
CALL settle('again');
SELECT title, status, error, error_detail, error_hint FROM backfill.step WHERE status = 'failed' AND title ~ 'keys.items';
SELECT event, detail FROM backfill.events WHERE name = 'again' AND event = 'step failed';
TABLE changed;
INSERT INTO items VALUES (103, 1003);
DELETE FROM items WHERE id = 102;
-- After the way back it is validated again.
SELECT backfill_rollback('again') ~ '^rolled back' AS rolled_back;
CALL settle('again');
TABLE changed;
SELECT backfill_cancel('again') ~ '^cancelled' AS cancelled;

-- A transform that drops referenced rows fails its audit.
SELECT count(*) > 0 AS planned FROM backfill_plan('loses', 'orders', set => '{"tier": "o.tier"}', options =>
  '{"transform": {"join": "JOIN keys.orders o ON o.id = orders.id AND o.id NOT IN (3, 4, 30)"}}', chunk_by => 'blocks', checks => '[{"check": "row_count_delta", "severity": "warn"}]');
SELECT backfill_run('loses') IS NOT NULL AS started;
CALL backfill_wait('loses', '1 min');
SELECT "check", severity, outcome, expected, actual, detail FROM backfill.checks WHERE name = 'loses' AND latest AND "check" ~ 'relationships' ORDER BY "check";
SELECT backfill_publish('loses');
SELECT backfill_cancel('loses') ~ '^cancelled' AS cancelled;
TABLE changed;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'items'::regclass;

-- Refused by name: a partitioned table's, and one whose triggers somebody has disabled.
CREATE TABLE parts (order_id int REFERENCES orders) PARTITION BY LIST (order_id);
CREATE TABLE part PARTITION OF parts DEFAULT;
SELECT * FROM backfill_plan('refused', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks');
DROP TABLE parts;
ALTER TABLE items DISABLE TRIGGER ALL;
SELECT * FROM backfill_plan('refused', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks');
ALTER TABLE items ENABLE TRIGGER ALL;

-- What the owner may not read, only the validation will prove.
CREATE ROLE keys_owner;
GRANT CREATE, USAGE ON SCHEMA keys TO keys_owner;
ALTER TABLE orders OWNER TO keys_owner;
GRANT SELECT ON notes TO keys_owner;
SELECT count(*) > 0 AS planned FROM backfill_plan('blind', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks');
SELECT title FROM backfill.steps WHERE name = 'blind' AND title ~ 'relationships';
SELECT object, detail FROM backfill.dependents WHERE name = 'blind' AND kind ~ 'foreign' ORDER BY object;
SELECT backfill_run('blind') IS NOT NULL AS started;
CALL backfill_wait('blind', '1 min');
SELECT backfill_publish('blind') ~ '^published' AS published;
CALL settle('blind');
TABLE changed;
SELECT backfill_finish('blind') ~ '^finished' AS finished;

-- The check may be asked for where there is no key.
CREATE TABLE loose (tier text);
GRANT SELECT ON loose TO keys_owner;
SELECT * FROM backfill_plan('asked', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks',
  checks => '[{"check": "relationships", "column": "tier", "from_table": "keys.loose", "from_columns": ["a", "b"]}]');
SELECT * FROM backfill_plan('asked', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks',
  options => '{"pre_checks": [{"check": "relationships", "column": "tier", "from_table": "keys.loose"}]}');
SELECT line FROM backfill_plan('asked', 'orders', set => '{"tier": "''x''"}', chunk_by => 'blocks',
  checks => '[{"check": "relationships", "column": "tier", "from_table": "keys.loose"}]') AS line WHERE line ~ 'loose';
SELECT backfill_cancel('asked') ~ '^cancelled' AS cancelled;

DROP SCHEMA keys CASCADE;
DROP ROLE keys_owner;
