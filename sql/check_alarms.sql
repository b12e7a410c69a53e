-- No false alarms: a right transform over 20 random tables, looked at by every kind of check with its default threshold, makes
-- none of them fail or warn.  And no silence: transforms that are wrong, each caught by the checks that should.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA alarms;
SET search_path = alarms, public;
CREATE TABLE product (id integer PRIMARY KEY);
INSERT INTO product SELECT generate_series(1, 20);

-- 40 days, the first 20 in scope; 50 to 90 rows a day; `net` is out of date.
CREATE FUNCTION make_table(name text, seed integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM setseed(seed / 100.0);
  EXECUTE format('CREATE TABLE %1$I (id integer PRIMARY KEY, day date NOT NULL, region text, amount numeric(12, 2), fee numeric, net numeric,
                                     weight float8, product integer, code integer, seen timestamptz)', name);
  EXECUTE format($sql$
    INSERT INTO %1$I
    SELECT row_number() OVER (), d, (ARRAY['north', 'north', 'north', 'south', 'south', 'east'])[1 + floor(random() * 6)::int],
           CASE WHEN random() < 0.98 THEN round((random() * random() * 1000)::numeric, 2) END, round((random() * 5)::numeric, 2), 0,
           sqrt(-2 * ln(random() + 1e-9)) * cos(6.2831853 * random()), 1 + floor(random() * 20)::int, 0, now()
    FROM generate_series(date '2024-01-01', '2024-02-09', '1 day') AS d, generate_series(1, 50 + floor(random() * 40)::int)$sql$, name);
  EXECUTE format('UPDATE %1$I SET code = (id * 7919) %% 1000003, fee = CASE WHEN amount IS NULL THEN NULL ELSE fee END', name);
  EXECUTE format('CREATE INDEX ON %1$I (day)', name);
  EXECUTE format('ANALYZE %1$I', name);
  EXECUTE format('CREATE TABLE %I AS SELECT id, day, coalesce(amount - fee, 0) AS net FROM %I', name || ' source', name);
END $$;

CREATE FUNCTION start(job text, name text, transform jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %I WHERE day < ''2024-01-21''', name) INTO n;
  PERFORM backfill_plan(jsonb_build_object('name', job, 'transform', transform,
    'scope', jsonb_build_object('table', format('alarms.%I', name), 'column', 'day', 'start', '2024-01-01', 'stop', '2024-01-21'),
    'strategy', '{"chunk_by": "5 days", "parallelism": 2}'::jsonb,
    'checks', replace(replace(replace($json$[
      {"check": "unique", "column": "code"}, {"check": "not_null", "column": "net"},
      {"check": "accepted_values", "column": "region", "values": ["north", "south", "east"]},
      {"check": "accepted_range", "column": "amount", "min": 0, "max": 1000},
      {"check": "relationships", "column": "product", "to_table": "alarms.product"},
      {"check": "expression", "sql": "net <= amount OR amount IS NULL"},
      {"check": "failed_rows", "query": "SELECT FROM <t> JOIN <s> AS s USING (id) WHERE <t>.net IS DISTINCT FROM s.net AND <t>.day < '2024-01-21'"},
      {"check": "row_count", "min": <n>, "max": <n>},
      {"check": "metric_delta", "metric": "sum", "column": "amount", "name": "sum"}, {"check": "metric_delta", "metric": "sum", "column": "amount", "by": "day", "name": "sum by day"},
      {"check": "metric_delta", "metric": "percentile", "p": 0.9, "column": "amount", "by": "region", "name": "percentile by region"},
      {"check": "metric_delta", "metric": "null_percent", "column": "amount", "by": "chunk", "name": "nulls by chunk"},
      {"check": "metric_delta", "metric": "sum", "column": "net", "by": "chunk", "source_query": "SELECT sum(net) FROM <s> WHERE day >= :chunk_start AND day < :chunk_stop", "name": "net of source"},
      {"check": "metric_delta", "sql": "count(*)", "against": "previous_chunk", "tolerance": "50%", "name": "jumps"},
      {"check": "spot_check", "sql": "count(*), sum(net)", "source_query": "SELECT count(*), sum(net) FROM <s> WHERE day >= :chunk_start AND day < :chunk_stop"},
      {"check": "distribution", "columns": ["amount", "region", "weight"], "name": "psi"}, {"check": "distribution", "columns": ["amount", "region", "weight"], "against": "recent", "name": "psi recent"},
      {"check": "distribution", "columns": ["amount", "weight"], "method": "ks", "against": "recent", "name": "ks recent"},
      {"check": "distribution", "columns": ["amount", "region"], "method": "chi_square", "against": "recent", "name": "chi recent"},
      {"check": "freshness", "column": "seen", "max_age": "1 day", "scope": "run"}, {"check": "no_gaps", "column": "day"}, {"check": "exact", "scope": "both"},
      {"check": "row_count_delta"}]$json$, '<n>', n::text), '<t>', name), '<s>', '\"' || name || ' source\"')::jsonb)::text);
  PERFORM backfill_run(job);
END $$;

CREATE FUNCTION found(job text) RETURNS text LANGUAGE sql AS $$
  SELECT COALESCE(string_agg("check" || ' ' || outcome || CASE WHEN outcome = 'error' THEN ': ' || detail ELSE '' END, ', ' ORDER BY "check" COLLATE "C"), 'nothing')
    FROM backfill.checks WHERE name = job AND latest AND chunk IS NULL AND outcome <> 'pass' $$;

-- Four at a time; what was found is kept, for a ready job keeps its coordinator.
CREATE TABLE verdict (id integer GENERATED ALWAYS AS IDENTITY, job text, ready boolean, checks bigint, kinds text[], found text);
CREATE FUNCTION conclude() RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO verdict (job, ready, checks, kinds, found)
  SELECT j.name, j.state = 'ready', count(*), array_agg(DISTINCT s.params->>'check'), found(j.name)
    FROM backfill.jobs AS j JOIN backfill.step AS s ON s.job_id = j.id AND s.kind = 'check'
   WHERE j.target LIKE 'alarms.%' AND j.state <> 'cancelled' GROUP BY j.id, j.name, j.state ORDER BY j.id;
  SELECT count(backfill_cancel(name)) FROM backfill.jobs WHERE target LIKE 'alarms.%' AND state = 'ready' $$;
SELECT count(make_table('t' || i, i)) AS tables FROM generate_series(1, 20) AS i;
\set right '{"set": {"net": "coalesce(amount - fee, 0)", "amount": "amount", "weight": "weight"}}'
CREATE FUNCTION start_four(first integer, transform jsonb) RETURNS void LANGUAGE sql AS
  $$ SELECT count(start('right ' || i, 't' || i, transform)) FROM generate_series(first, first + 3) AS i $$;
SELECT start_four(1, :'right');
CALL backfill_wait('right 1', '5 min');
CALL backfill_wait('right 2', '5 min');
CALL backfill_wait('right 3', '5 min');
CALL backfill_wait('right 4', '5 min');
SELECT conclude();
SELECT start_four(5, :'right');
CALL backfill_wait('right 5', '5 min');
CALL backfill_wait('right 6', '5 min');
CALL backfill_wait('right 7', '5 min');
CALL backfill_wait('right 8', '5 min');
SELECT conclude();
SELECT start_four(9, :'right');
CALL backfill_wait('right 9', '5 min');
CALL backfill_wait('right 10', '5 min');
CALL backfill_wait('right 11', '5 min');
CALL backfill_wait('right 12', '5 min');
SELECT conclude();
SELECT start_four(13, :'right');
CALL backfill_wait('right 13', '5 min');
CALL backfill_wait('right 14', '5 min');
CALL backfill_wait('right 15', '5 min');
CALL backfill_wait('right 16', '5 min');
SELECT conclude();
SELECT start_four(17, :'right');
CALL backfill_wait('right 17', '5 min');
CALL backfill_wait('right 18', '5 min');
CALL backfill_wait('right 19', '5 min');
CALL backfill_wait('right 20', '5 min');
SELECT conclude();
SELECT count(*) AS jobs, bool_and(ready) AS ready, sum(checks) AS checks FROM verdict;
SELECT count(DISTINCT kind) AS kinds FROM verdict, unnest(kinds) AS kind;
SELECT job, found FROM verdict WHERE found <> 'nothing' ORDER BY id;
TRUNCATE verdict;

-- Wrong ones.
SELECT start('doubled', 't1', '{"set": {"amount": "amount * 2", "net": "coalesce(amount - fee, 0)"}}');
SELECT start('emptied', 't2', '{"set": {"net": "CASE WHEN id % 10 > 0 THEN coalesce(amount - fee, 0) END"}}');
SELECT start('unknown regions', 't3', '{"set": {"region": "CASE WHEN id % 3 = 0 THEN ''west'' ELSE region END", "net": "coalesce(amount - fee, 0)"}}');
SELECT start('lost products', 't4', '{"set": {"product": "product + 20 * (id % 50 / 49)", "net": "coalesce(amount - fee, 0)"}}');
CALL backfill_wait('doubled', '5 min');
CALL backfill_wait('emptied', '5 min');
CALL backfill_wait('unknown regions', '5 min');
CALL backfill_wait('lost products', '5 min');
SELECT conclude();
SELECT start('codes twice', 't5', '{"set": {"code": "id / 2", "net": "coalesce(amount - fee, 0)"}}');
SELECT start('stale', 't6', '{"set": {"seen": "CASE WHEN day < ''2024-03-01'' THEN timestamptz ''2024-03-01'' END", "net": "coalesce(amount - fee, 0)"}}');
SELECT start('a day lost', 't7', '{"query": "SELECT id, day, region, amount, fee, coalesce(amount - fee, 0) AS net, weight, product, code, seen FROM alarms.t7 WHERE day <> ''2024-01-05''"}');
SELECT start('nulls', 't8', '{"set": {"amount": "CASE WHEN id % 20 > 0 THEN amount END", "net": "coalesce(amount - fee, 0)"}}');
CALL backfill_wait('codes twice', '5 min');
CALL backfill_wait('stale', '5 min');
CALL backfill_wait('a day lost', '5 min');
CALL backfill_wait('nulls', '5 min');
SELECT conclude();
SELECT job, caught FROM verdict, regexp_split_to_table(found, ', ') AS caught ORDER BY id, caught COLLATE "C";

SET client_min_messages = error;
DROP SCHEMA alarms CASCADE;
