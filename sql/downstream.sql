-- What is computed from the table, declared and found, is brought up to date after a swap, in order; one that fails holds
-- back those that depend on it and nobody else.  What goes round is refused.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE ROLE downstream_owner NOLOGIN;
CREATE SCHEMA down AUTHORIZATION downstream_owner;
SET search_path = down, public;
CREATE MATERIALIZED VIEW somebodys AS SELECT 1 AS a;
GRANT CREATE ON SCHEMA public TO downstream_owner;
SET ROLE downstream_owner;

CREATE TABLE sales (id int PRIMARY KEY, day date NOT NULL, amount int NOT NULL);
INSERT INTO sales SELECT g, date '2024-01-01' + g % 30, g FROM generate_series(1, 300) AS g;
CREATE TABLE daily (day date PRIMARY KEY, total bigint);
CREATE TABLE monthly (total bigint, best bigint);
CREATE TABLE told (n int GENERATED ALWAYS AS IDENTITY, what text, who text DEFAULT current_user);
CREATE PROCEDURE refresh_daily() LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM daily;
  INSERT INTO daily SELECT day, sum(amount) FROM sales GROUP BY day;
  INSERT INTO told (what) VALUES ('daily');
END $$;
CREATE FUNCTION refresh_monthly() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE monthly;
  INSERT INTO monthly SELECT (SELECT sum(total) FROM daily), (SELECT max(best) FROM top_day);
  INSERT INTO told (what) VALUES ('monthly');
END $$;
-- Found: one reads the table, one what a declared refresh fills, through a view.
CREATE MATERIALIZED VIEW by_day AS SELECT day, count(*) AS n FROM sales GROUP BY day;
CREATE VIEW daily_seen AS SELECT * FROM daily;
CREATE MATERIALIZED VIEW top_day AS SELECT max(total) AS best FROM daily_seen;
CREATE UNIQUE INDEX ON by_day (day);
CREATE FUNCTION read_sales() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(amount) FROM sales; END;
ANALYZE;

CREATE FUNCTION plan(downstream text, name text DEFAULT 'restate_sales', more jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT line FROM backfill_plan(name, 'sales', set => '{"amount": "amount * 10"}', chunk_column => 'day', start => '2024-01-01',
    stop => '2024-02-01', chunk_by => 'month', options => jsonb_build_object('downstream', downstream::jsonb) || more) AS line $$;
-- Waits until nothing is left to do after a swap, and all have been told of it.
CREATE PROCEDURE settle(of_job text DEFAULT 'restate_sales') LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..1200 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM backfill.steps WHERE name = of_job AND phase = 'after' AND status IN ('pending', 'running'))
      AND (SELECT max(number) FILTER (WHERE event IN ('published', 'rolled back')) <
                  max(number) FILTER (WHERE event = 'downstream_notice' AND detail LIKE 'after %')
             FROM backfill.events WHERE name = of_job);
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
CREATE VIEW after AS
  SELECT position - min(position) OVER () AS n, downstream, kind, status, after, error FROM backfill.downstream
   WHERE name = 'restate_sales' AND position IS NOT NULL;

-- Errors of the spec.
CREATE FUNCTION refused(downstream text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text; detail text; hint text;
BEGIN
  PERFORM down.plan(downstream);
  RETURN 'planned';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', sqlstate || ': ' || message, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset format unaligned
\pset tuples_only on
SELECT refused('[{"refresh": "CALL refresh_daily()"}]');
SELECT refused('[{"name": "a"}, {"name": "a"}]');
SELECT refused('[{"name": "a", "refesh": "x"}]');
SELECT refused('[{"name": "a", "refresh": "CALL refresh_daily(); CALL refresh_daily()"}]');
SELECT refused('[{"name": "a", "refresh": "DROP TABLE sales"}]');
SELECT refused('[{"name": "a", "refresh": "SELECT 1 INTO x"}]');
SELECT refused('[{"name": "a", "refresh": "CALL refresh_dayly()"}]');
SELECT refused('[{"name": "a", "refresh": "INSERT INTO nowhere VALUES (1)"}]');
SELECT refused('[{"name": "a", "refresh": "REFRESH MATERIALIZED VIEW nowhere"}]');
SELECT split_part(refused('[{"name": "a", "refresh": "REFRESH MATERIALIZED VIEW somebodys"}]'), E'\n', 1);
SELECT refused('[{"name": "a", "refresh": "CALL refresh_daily("}]');
SELECT refused('[{"name": "daily"}, {"name": "b", "depends_on": ["dayly"]}]');
SELECT refused('[{"name": "b", "depends_on": ["Nothing of the kind"]}]');
SELECT refused('[{"name": "a", "depends_on": "a"}]');
SELECT refused('[{"name": "a", "depends_on": "b"}, {"name": "b", "depends_on": "c"}, {"name": "c", "depends_on": "a"}, {"name": "d", "depends_on": "a"}]');
-- Round through a materialized view that reads what the declared refresh fills.
SELECT refused('[{"name": "daily", "refresh": "CALL refresh_daily()", "depends_on": "top_day"}]');
SELECT refused('[{"name": "daily", "cron_job": "nightly"}]');
SELECT count(*) FROM backfill.jobs WHERE name = 'restate_sales';

-- The plan tells the order.
CREATE TEMP TABLE lines AS SELECT line, row_number() OVER () AS n FROM plan($$[
  {"name": "monthly", "refresh": "SELECT refresh_monthly()", "depends_on": ["daily", "down.top_day"]},
  {"name": "daily", "refresh": "CALL refresh_daily()"},
  {"name": "by_day", "depends_on": "sales"},
  {"name": "board", "depends_on": "monthly"},
  {"name": "letter", "refresh": "INSERT INTO told (what) VALUES ('letter')", "depends_on": "board"}]$$) AS line;
SELECT line FROM lines WHERE n >= (SELECT n FROM lines WHERE line ~ '^Downstream') AND n < (SELECT n FROM lines WHERE line ~ '^Pre-checks') ORDER BY n;
\pset tuples_only off
TABLE after;
SELECT downstream, kind FROM backfill.downstream WHERE name = 'restate_sales' AND position IS NULL;
SELECT kind, title, status FROM backfill.steps WHERE name = 'restate_sales' AND kind IN ('downstream', 'refresh') ORDER BY step;

SELECT backfill_run('restate_sales') IS NOT NULL AS started;
CALL backfill_wait('restate_sales', '1 min');
SELECT event, detail FROM backfill.events WHERE name = 'restate_sales' AND event LIKE 'downstream%' ORDER BY number;
SELECT count(*) FROM told;

-- After publish, as the owner.
SELECT substring(backfill_publish('restate_sales') FROM '; (\d+ materialized [^;]*)');
CALL settle();
TABLE after;
SELECT what, who FROM told ORDER BY n;
SELECT * FROM monthly;

-- After a rollback, once more.
TRUNCATE told;
SELECT backfill_rollback('restate_sales') ~ '^rolled back' AS back;
CALL settle();
SELECT what FROM told ORDER BY n;
SELECT * FROM monthly;

-- One that fails holds back what depends on it, and only that.
CREATE TABLE in_the_way (reason text);
CREATE OR REPLACE PROCEDURE refresh_daily() LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM in_the_way) THEN
    RAISE EXCEPTION 'the warehouse is closed';
  END IF;
  DELETE FROM daily;
  INSERT INTO daily SELECT day, sum(amount) FROM sales GROUP BY day;
END $$;
INSERT INTO in_the_way VALUES ('holiday');
TRUNCATE told;
SELECT backfill_publish('restate_sales') ~ '^published' AS published;
CALL settle();
TABLE after;
SELECT downstream, next_command FROM backfill.downstream WHERE name = 'restate_sales' AND status = 'failed' ORDER BY position;
SELECT n FROM by_day WHERE day = '2024-01-02';
SELECT event, split_part(detail, ':', 1) AS detail FROM backfill.events WHERE name = 'restate_sales' AND event = 'downstream_notice' ORDER BY number;
-- Put right, it goes on where it was.
DELETE FROM in_the_way;
SELECT backfill_run('restate_sales');
CALL settle();
SELECT n, downstream, status, error FROM after;
SELECT * FROM monthly;
SELECT what FROM told ORDER BY n;

SELECT backfill_finish('restate_sales') ~ '^finished' AS finished;

-- What a refresh may not do is suspected by the plan, and said when it does it; that the table has a column more since the
-- publish has nothing to do with it.
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE PROCEDURE temporary() LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE scratch (a int); END $$;
SELECT * FROM plan('[{"name": "commits", "refresh": "CALL commits()"}, {"name": "temporary", "refresh": "CALL temporary()"},
  {"name": "by_day", "refresh": "REFRESH MATERIALIZED VIEW CONCURRENTLY by_day"},
  {"name": "Überblick über 63 Bytes: ein Name, der so lang ist, wie er will, und mehr", "refresh": "CALL refresh_daily()"}]', 'restate_again',
  '{"transform": {"set": {"amount": "amount", "amount_before": "amount"}, "add_columns": {"amount_before": "int"}}}') AS line WHERE line ~ '(seems|only)';
SELECT backfill_run('restate_again') IS NOT NULL AS started;
CALL backfill_wait('restate_again', '1 min');
SELECT backfill_publish('restate_again') ~ '^published' AS published;
CALL settle('restate_again');
SELECT title, status, sqlstate, error, error_detail, error_hint FROM backfill.steps WHERE name = 'restate_again' AND kind = 'downstream' ORDER BY step;
SET client_min_messages = warning;
SELECT backfill_finish('restate_again') ~ '^finished' AS finished;

RESET ROLE;
SET client_min_messages = error;
DROP TABLE lines;
DROP SCHEMA down CASCADE;
REVOKE CREATE ON SCHEMA public FROM downstream_owner;
DROP ROLE downstream_owner;
