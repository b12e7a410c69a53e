-- distribution, freshness, no_gaps: right numbers, passing, warning, failing, unable to run, refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA spread;
SET search_path = spread, public;

-- Values 1 to 100, ten times, over 20 days; one hour of the second half of day 7 and day 9 and 10 are missing.
CREATE TABLE readings (id integer PRIMARY KEY, day date NOT NULL, v integer, kind text, f float8);
INSERT INTO readings SELECT i, date '2024-02-01' + (i - 1) / 50, 1 + (i - 1) % 100, (ARRAY['a', 'b', 'c', 'd'])[1 + i % 4], (i % 50) / 50.0
FROM generate_series(1, 1000) AS i WHERE (i - 1) / 50 NOT IN (8, 9);
CREATE INDEX ON readings (day);
ANALYZE readings;
CREATE TABLE fresh_ones (id integer PRIMARY KEY, at timestamptz, n integer);
INSERT INTO fresh_ones SELECT i, now() - i * interval '1 min', 1 FROM generate_series(10, 20) AS i;

CREATE FUNCTION refusal(checks jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  PERFORM backfill_plan('refused', 'readings', set => '{"v": "v"}', chunk_column => 'day', start => '2024-02-01', stop => '2024-02-11', checks => checks);
  RAISE EXCEPTION 'nothing was refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
  RETURN NEXT v_state || ' ' || v_message;
  IF v_detail <> '' THEN RETURN NEXT '  detail: ' || v_detail; END IF;
  IF v_hint <> '' THEN RETURN NEXT '  hint: ' || v_hint; END IF;
END $$;
SELECT refusal('[{"check": "distribution", "column": "v", "method": "kl"}]');
SELECT refusal('[{"check": "distribution", "column": "kind", "method": "ks"}]');
SELECT refusal('[{"check": "distribution", "column": "v", "bins": 1}]');
SELECT refusal('[{"check": "distribution", "column": "v", "error_if": "> 5%"}]');
SELECT refusal('[{"check": "freshness", "column": "v", "max_age": "1 day"}]');
SELECT refusal('[{"check": "freshness", "column": "day", "max_age": "soon"}]');
SELECT refusal('[{"check": "no_gaps", "column": "kind"}]');
SELECT refusal('[{"check": "no_gaps", "column": "day", "interval": "daily"}]');

-- Of the first ten days' 400 rows the half with v <= 50 becomes 1 to 25. Worked out apart: PSI 1.0018 over bins 1-9, 10-19 ... 90-100,
-- chi-square 106.271, the largest distance of the cumulated shares 0.25 (at 25). Kinds: 50, 100, 100, 100 and 50 of "e".
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: spread
scope: {table: readings, column: day, start: 2024-02-01, stop: 2024-02-11}
transform:
  set: {v: "CASE WHEN v <= 50 THEN (v + 1) / 2 ELSE v END", kind: "CASE WHEN id % 8 = 0 THEN 'e' ELSE kind END", f: f, half: v / 2}
  add_columns: {half: integer}
strategy: {chunk_by: 5 days}
checks:
 - {check: distribution, column: f, name: same}
 - {check: distribution, column: v, name: psi}
 - {check: distribution, column: v, bins: 2, name: psi of two bins}
 - {check: distribution, column: v, error_if: "> 0.2", name: psi fails}
 - {check: distribution, column: v, method: chi_square, name: chi}
 - {check: distribution, column: v, method: ks, name: ks}
 - {check: distribution, column: kind, name: values}
 - {check: distribution, column: kind, bins: 2, method: chi_square, name: top two}
 - {check: distribution, column: v, against: recent, name: recent}
 - {check: distribution, column: f, against: recent, name: recent same}
 - {check: distribution, column: half, against: recent, name: no reference}
 - {check: distribution, name: those set}
 - {check: distribution, columns: [v, f], name: both}
 - {check: distribution, column: f, where: "1 / (id - 5) >= 0", name: division}
 - {check: freshness, column: day, max_age: 1 day, name: old}
 - {check: freshness, column: day, max_age: 520 weeks, severity: warn, name: not that old}
 - {check: freshness, column: day, max_age: 1 day, where: id < 0, name: none}
 - {check: no_gaps, column: day, name: days}
 - {check: no_gaps, column: day, interval: 5 days, name: five days}
 - {check: no_gaps, column: day, interval: 1 week, scope: table, name: weeks}
 - {check: no_gaps, column: id, interval: 25, scope: table, name: ids, severity: warn}
 - {check: no_gaps, column: id, interval: 100, name: hundreds}
 - {check: no_gaps, column: id, scope: table, error_if: '> 60%', name: few}
$spec$);
SELECT backfill_run('spread') IS NOT NULL AS started;
CALL backfill_wait('spread', '2 min');
SELECT c."check", outcome, severity, expected, regexp_replace(actual, '^\d+d( \d+h)? old', 'days old') AS actual, detail FROM backfill.checks AS c JOIN backfill.steps AS s ON s.id = c.id AND s.title LIKE c."check" || ':%' AND s.kind = 'check'
WHERE c.name = 'spread' AND c."check" !~ '^(row_count|shrink|exact|schema|unique)' ORDER BY s.step;
SELECT backfill_cancel('spread') IS NOT NULL AS cancelled;

-- A day of 23 hours has 23 stretches, one that is excluded none.
CREATE TABLE hours (id integer PRIMARY KEY, at timestamptz NOT NULL, n integer);
INSERT INTO hours SELECT row_number() OVER (), h, 1 FROM generate_series(timestamptz '2024-03-30 00:00 Europe/Berlin', '2024-04-01 23:00 Europe/Berlin', '1 h') AS h WHERE (h AT TIME ZONE 'Europe/Berlin')::date <> '2024-03-30';
SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: hours
scope: {table: hours, column: at, start: 2024-03-30, stop: 2024-04-02, time_zone: Europe/Berlin, exclude: [2024-03-30]}
transform: {set: {n: n}}
strategy: {chunk_by: day}
checks: [{check: no_gaps, column: at, interval: 1 h}]
$spec$);
SELECT backfill_run('hours') IS NOT NULL AS started;
CALL backfill_wait('hours', '2 min');
SELECT outcome, actual, detail FROM backfill.checks WHERE name = 'hours' AND "check" = 'no_gaps(at)';
SELECT backfill_cancel('hours') IS NOT NULL AS cancelled;
SELECT count(*) > 0 AS planned FROM backfill_plan('fresh', 'fresh_ones', set => '{"n": "2"}', chunk_by => 'blocks', checks => '[{"check": "freshness", "column": "at", "max_age": "1 h"}]');
SELECT backfill_run('fresh') IS NOT NULL AS started;
CALL backfill_wait('fresh', '2 min');
SELECT outcome, actual ~ '^1\d+m( \d+s)? old$' AS some_minutes FROM backfill.checks WHERE name = 'fresh' AND "check" = 'freshness(at)';
SELECT backfill_cancel('fresh') IS NOT NULL AS cancelled;

DROP SCHEMA spread CASCADE;
