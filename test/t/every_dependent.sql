-- One table with everything that a table can have, and everything that can be bound to one by its OID.  :"t" is the table, a
-- name of 63 bytes with quotes and letters beyond ASCII; :"long_" and what follows make such names for its objects.
\set ON_ERROR_STOP on
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE fast LOCATION '';
RESET allow_in_place_tablespaces;
CREATE ROLE shop_owner NOLOGIN;
CREATE ROLE shop_clerk;
CREATE ROLE shop_reader;
GRANT CREATE ON TABLESPACE fast TO shop_owner;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
GRANT USAGE ON SCHEMA shop TO shop_clerk, shop_reader;
-- Whatever the extension creates would be open to all.
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT ALL ON SEQUENCES TO PUBLIC;
SET ROLE shop_owner;
SET search_path = shop;

CREATE TYPE mood AS ENUM ('low', 'high');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE customer (id bigint PRIMARY KEY, region text NOT NULL, UNIQUE (id, region));
CREATE TABLE note (at timestamptz DEFAULT now(), what text, who text DEFAULT current_user);

CREATE TABLE :"t" (
  id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 5 CACHE 3),
  gone integer,
  line serial,
  "At" timestamptz NOT NULL DEFAULT '2024-01-01 00:00:00+00',
  customer bigint,
  region text COLLATE "C" NOT NULL DEFAULT 'eu',
  code text,
  amount numeric(12,2) NOT NULL DEFAULT 0,
  tier text DEFAULT 'none',
  gross numeric GENERATED ALWAYS AS (amount * 1.19) STORED,
  during int4range,
  tags text[],
  doc jsonb,
  body text COMPRESSION pglz,
  place point,
  m mood,
  n positive,
  boss bigint,
  CONSTRAINT :"pk" PRIMARY KEY (id),
  CONSTRAINT "code, once" UNIQUE (code) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT line_once UNIQUE NULLS NOT DISTINCT (line) INCLUDE (code) WITH (fillfactor = 70) USING INDEX TABLESPACE fast,
  CONSTRAINT id_and_region UNIQUE (id, region),
  CONSTRAINT :"check" CHECK (amount >= 0),
  CONSTRAINT own_only CHECK (length(region) < 10) NO INHERIT,
  CONSTRAINT apart EXCLUDE USING gist (during WITH &&) WHERE (tier = 'exclusive') DEFERRABLE,
  CONSTRAINT customer_known FOREIGN KEY (customer) REFERENCES customer ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT customer_there FOREIGN KEY (customer, region) REFERENCES customer (id, region) MATCH SIMPLE ON UPDATE CASCADE
    ON DELETE SET NULL (customer),
  CONSTRAINT boss_known FOREIGN KEY (boss) REFERENCES :"t" ON DELETE SET NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.3, toast.autovacuum_vacuum_cost_limit = 500, parallel_workers = 2,
        autovacuum_enabled = false) TABLESPACE fast;
ALTER TABLE :"t" DROP COLUMN gone;
ALTER TABLE :"t" ADD CONSTRAINT later CHECK (amount < 1000000) NOT VALID;
ALTER TABLE :"t" ALTER body SET STORAGE EXTERNAL, ALTER doc SET STORAGE MAIN;
ALTER TABLE :"t" ALTER tier SET STATISTICS 500, ALTER code SET (n_distinct = -0.5, n_distinct_inherited = 7);

CREATE INDEX :"long_index" ON :"t" ("At" DESC NULLS LAST, tier) INCLUDE (amount) WITH (fillfactor = 60, deduplicate_items = off);
CREATE INDEX partial ON :"t" (amount) WHERE tier = 'gold';
CREATE INDEX expression ON :"t" (lower(code), (amount + 1)) TABLESPACE fast;
ALTER INDEX expression ALTER COLUMN 2 SET STATISTICS 300;
CREATE INDEX pattern ON :"t" (code text_pattern_ops, region COLLATE "POSIX");
CREATE INDEX hashed ON :"t" USING hash (code);
CREATE INDEX inverted ON :"t" USING gin (tags, doc jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX near ON :"t" USING gist (place);
CREATE INDEX spaced ON :"t" USING spgist (place);
CREATE INDEX blocks ON :"t" USING brin ("At" timestamptz_minmax_multi_ops (values_per_range = 16)) WITH (pages_per_range = 8);
CREATE UNIQUE INDEX "one ""gold"" each" ON :"t" (customer) WHERE tier = 'single';
ALTER TABLE :"t" REPLICA IDENTITY USING INDEX id_and_region;
ALTER TABLE :"t" CLUSTER ON :"long_index";
CREATE STATISTICS :"long_statistics" (ndistinct, mcv) ON tier, region FROM :"t";
CREATE STATISTICS of_expression ON (amount * 2), tier FROM :"t";
ALTER STATISTICS :"long_statistics" SET STATISTICS 40;

-- Privileges, also through a second grantor and on columns.
GRANT SELECT, INSERT, UPDATE, DELETE ON :"t" TO shop_clerk WITH GRANT OPTION;
GRANT SELECT (id, amount), UPDATE (amount) ON :"t" TO shop_reader;
GRANT REFERENCES (code) ON :"t" TO PUBLIC;
SET ROLE shop_clerk;
GRANT SELECT ON shop.:"t" TO shop_reader;
SET ROLE shop_owner;
SELECT format('GRANT USAGE ON SEQUENCE %s TO shop_clerk WITH GRANT OPTION', pg_get_serial_sequence(format('shop.%I', :'t'), 'line'))
\gexec
SELECT format('GRANT SELECT ON SEQUENCE %s TO shop_reader', pg_get_serial_sequence(format('shop.%I', :'t'), 'id'))
\gexec
SELECT format('COMMENT ON SEQUENCE %s IS %L', pg_get_serial_sequence(format('shop.%I', :'t'), 'id'), 'identity')
\gexec

-- Triggers.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO shop.note (what) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, TG_LEVEL, TG_ARGV[0]));
  RETURN NEW;
END $$;
CREATE FUNCTION tell_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO shop.note (what) SELECT TG_NAME || ' ' || count(*) FROM fresh;
  RETURN NULL;
END $$;
CREATE TRIGGER :"long_trigger" BEFORE INSERT OR UPDATE OF amount, tier ON :"t" FOR EACH ROW
  WHEN (NEW.amount > 100 AND NEW.tier IS DISTINCT FROM 'o''k') EXECUTE FUNCTION tell('it''s');
CREATE TRIGGER many AFTER INSERT ON :"t" REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION tell_rows();
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON :"t" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.tier IS DISTINCT FROM NEW.tier OR NEW IS NULL) EXECUTE FUNCTION tell();
CREATE TRIGGER emptied AFTER TRUNCATE ON :"t" EXECUTE FUNCTION tell();
CREATE TRIGGER off BEFORE DELETE ON :"t" FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER always AFTER DELETE ON :"t" FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER replica AFTER DELETE ON :"t" FOR EACH STATEMENT EXECUTE FUNCTION tell();
ALTER TABLE :"t" DISABLE TRIGGER off, ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica;

-- Rules.
CREATE RULE :"long_rule" AS ON INSERT TO :"t" WHERE NEW.amount = 13 DO ALSO INSERT INTO note (what) VALUES ('thirteen');
CREATE RULE off AS ON DELETE TO :"t" DO ALSO INSERT INTO note (what) VALUES (OLD.code);
ALTER TABLE :"t" DISABLE RULE off;

-- Row security.
CREATE POLICY :"long_policy" ON :"t" FOR SELECT TO shop_reader, shop_clerk USING (amount < 1000 OR tier = 'gold');
CREATE POLICY writers ON :"t" TO shop_clerk USING (true) WITH CHECK (EXISTS (SELECT FROM customer c WHERE c.id = customer));
CREATE POLICY narrow ON :"t" AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (region <> 'xx');
ALTER TABLE :"t" ENABLE ROW LEVEL SECURITY;

-- Tables that refer to it.
CREATE TABLE item (id bigint PRIMARY KEY, order_id bigint CONSTRAINT :"long_reference" REFERENCES :"t" ON DELETE CASCADE);
CREATE TABLE shipment (id bigint PRIMARY KEY, order_id bigint, region text, code text,
  CONSTRAINT composite FOREIGN KEY (order_id, region) REFERENCES :"t" (id, region) MATCH FULL ON UPDATE CASCADE
    DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT by_line FOREIGN KEY (id) REFERENCES :"t" (line) NOT VALID);
GRANT SELECT ON item, shipment TO shop_reader;
CREATE POLICY by_order ON item TO shop_reader USING (order_id IN (SELECT o.id FROM :"t" o WHERE o.amount > 10));
CREATE RULE upstream AS ON UPDATE TO shipment WHERE NEW.code IS NOT NULL
  DO ALSO UPDATE :"t" SET code = NEW.code WHERE id = NEW.order_id;
ALTER TABLE shipment DISABLE RULE upstream;

-- Functions with a parsed body.
CREATE FUNCTION sales(since timestamptz DEFAULT '2024-01-01') RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
  SET search_path = shop COST 77
  BEGIN ATOMIC
    SELECT sum(amount) FROM :"t" WHERE "At" >= since;
  END;
CREATE PROCEDURE close_month(month date) LANGUAGE sql
  BEGIN ATOMIC
    UPDATE :"t" SET tier = 'closed' WHERE "At" < month;
    INSERT INTO note (what) VALUES ('closed');
  END;
GRANT EXECUTE ON FUNCTION sales TO shop_reader;
REVOKE EXECUTE ON FUNCTION sales FROM PUBLIC;

-- Views.
CREATE VIEW :"long_view" AS SELECT id, code AS "the ""code""", amount, tier, customer FROM :"t" WHERE amount >= 0
  WITH CASCADED CHECK OPTION;
ALTER VIEW :"long_view" ALTER COLUMN amount SET DEFAULT 42;
CREATE VIEW behind WITH (security_barrier) AS SELECT id, amount FROM :"t" WHERE tier <> 'secret';
CREATE VIEW as_caller WITH (security_invoker = true, security_barrier = false) AS SELECT o.* FROM :"t" o JOIN customer USING (region);
CREATE VIEW twice AS SELECT a.id, b.id AS other, row_to_json(a) AS whole FROM :"t" a JOIN :"t" b ON a.id = b.boss;
CREATE VIEW above AS SELECT id, amount, sum(amount) OVER (PARTITION BY customer) AS sum FROM :"long_view";
CREATE VIEW handled AS SELECT id, amount FROM :"t";
CREATE TRIGGER instead INSTEAD OF UPDATE ON handled FOR EACH ROW EXECUTE FUNCTION tell();
CREATE VIEW ruled AS SELECT id FROM customer;
CREATE RULE elsewhere AS ON INSERT TO ruled DO INSTEAD UPDATE :"t" SET boss = NULL WHERE id = NEW.id;
CREATE RECURSIVE VIEW chain (id, depth) AS
  SELECT id, 0 FROM :"t" WHERE boss IS NULL UNION ALL SELECT o.id, depth + 1 FROM :"t" o JOIN chain c ON o.boss = c.id;
GRANT SELECT, UPDATE (amount) ON :"long_view" TO shop_reader;

-- Materialized views.
CREATE MATERIALIZED VIEW :"long_matview" (day, "Sum") WITH (fillfactor = 90) TABLESPACE fast AS
  SELECT date_trunc('day', "At"), sum(amount) FROM :"t" GROUP BY 1;
CREATE UNIQUE INDEX by_day ON :"long_matview" (day);
CREATE INDEX by_sum ON :"long_matview" ("Sum" DESC) WHERE "Sum" > 0;
ALTER MATERIALIZED VIEW :"long_matview" ALTER COLUMN "Sum" SET STATISTICS 77;
ALTER MATERIALIZED VIEW :"long_matview" CLUSTER ON by_day;
CREATE STATISTICS of_matview (dependencies) ON day, "Sum" FROM :"long_matview";
CREATE MATERIALIZED VIEW upon AS SELECT max("Sum") AS top FROM :"long_matview";
CREATE MATERIALIZED VIEW through AS SELECT count(*) AS n FROM :"long_view";
CREATE MATERIALIZED VIEW empty AS SELECT tier FROM :"t" WITH NO DATA;
CREATE VIEW over_matview AS SELECT day FROM :"long_matview" WHERE "Sum" > 10;
GRANT SELECT ON :"long_matview" TO shop_reader;
GRANT SELECT ("Sum") ON :"long_matview" TO shop_clerk;

COMMENT ON TABLE :"t" IS 'orders — "all"';
COMMENT ON COLUMN :"t"."At" IS 'when';
COMMENT ON CONSTRAINT :"pk" ON :"t" IS 'the key';
COMMENT ON CONSTRAINT "code, once" ON :"t" IS 'once';
COMMENT ON CONSTRAINT :"check" ON :"t" IS 'no debts';
COMMENT ON CONSTRAINT later ON :"t" IS 'not checked';
COMMENT ON CONSTRAINT customer_known ON :"t" IS 'a customer';
COMMENT ON CONSTRAINT boss_known ON :"t" IS 'a boss';
COMMENT ON CONSTRAINT :"long_reference" ON item IS 'an order';
COMMENT ON INDEX :"pk" IS 'index of the key';
COMMENT ON INDEX partial IS 'some';
COMMENT ON STATISTICS :"long_statistics" IS 'of two';
COMMENT ON TRIGGER :"long_trigger" ON :"t" IS 'tells';
COMMENT ON TRIGGER at_commit ON :"t" IS 'tells late';
COMMENT ON RULE :"long_rule" ON :"t" IS 'unlucky';
COMMENT ON POLICY :"long_policy" ON :"t" IS 'for readers';
COMMENT ON POLICY by_order ON item IS 'by order';
COMMENT ON FUNCTION sales IS 'sum';
COMMENT ON VIEW :"long_view" IS 'a view';
COMMENT ON COLUMN :"long_view".amount IS 'amount of a view';
COMMENT ON MATERIALIZED VIEW :"long_matview" IS 'by day';
COMMENT ON COLUMN :"long_matview"."Sum" IS 'sum of a day';
COMMENT ON INDEX by_day IS 'of the day';

RESET ROLE;
CREATE PUBLICATION some_rows FOR TABLE shop.:"t" WHERE (amount > 5), shop.item WITH (publish = 'insert');
CREATE PUBLICATION some_columns FOR TABLE shop.:"t" (id, region, amount);
COMMENT ON PUBLICATION some_rows IS 'some of it';

INSERT INTO customer SELECT i, 'eu' FROM generate_series(1, 20) i;
INSERT INTO :"t" ("At", customer, code, amount, boss, tags, doc, body, place, m, n)
  SELECT timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour', 1 + i % 19, 'c' || i, i % 90,
         CASE WHEN i > 10 THEN 1000 + 5 * (i % 10) END, ARRAY['a', 'b' || i], jsonb_build_object('i', i), repeat('body', i),
         point(i, i), 'low', i
    FROM generate_series(1, 500) i;
INSERT INTO item SELECT i, 1000 + 5 * (i % 100) FROM generate_series(1, 300) i;
INSERT INTO shipment SELECT i, 1000 + 5 * i, 'eu' FROM generate_series(1, 100) i;
REFRESH MATERIALIZED VIEW :"long_matview";
REFRESH MATERIALIZED VIEW upon;
REFRESH MATERIALIZED VIEW through;
TRUNCATE note;
ANALYZE;
