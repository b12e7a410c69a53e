-- metric_delta and spot_check: right numbers against live, a source, the chunk before; passing, warning, failing, unable
-- to run; and refused when planned.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA deltas;
SET search_path = deltas, public;

-- Ten days of ten sales of 1 to 10; day 5 has two nulls.  The transform adds 10 % to day 3.
CREATE TABLE sales (id integer PRIMARY KEY, day date NOT NULL, region text, amount numeric, at timestamptz);
INSERT INTO sales SELECT i, date '2024-05-01' + (i - 1) / 10, (ARRAY['north', 'south'])[1 + i % 2],
                         CASE WHEN i NOT IN (41, 42) THEN 1 + (i - 1) % 10 END, timestamptz '2024-05-01 00:00+00' + i * interval '1 h'
FROM generate_series(1, 100) AS i;
CREATE INDEX ON sales (day);
ANALYZE sales;
CREATE TABLE source (day date, amount numeric);
INSERT INTO source SELECT day, sum(amount) FROM sales GROUP BY 1;

CREATE FUNCTION refusal(checks jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  PERFORM backfill_plan('refused', 'sales', set => '{"amount": "amount"}', chunk_column => 'day', start => '2024-05-01', stop => '2024-05-11', checks => checks);
  RAISE EXCEPTION 'nothing was refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
  RETURN NEXT v_state || ' ' || v_message;
  IF v_detail <> '' AND v_message !~ 'unknown' THEN RETURN NEXT '  detail: ' || v_detail; END IF;
  IF v_hint <> '' THEN RETURN NEXT '  hint: ' || v_hint; END IF;
END $$;
SELECT refusal('[{"check": "metric_delta"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "median", "column": "amount"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "region"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "percentile", "column": "amount"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "sql": "1"}]');
SELECT refusal('[{"check": "metric_delta", "sql": "amount"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "tolerance": "-1%"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "tolerance": "1%", "error_if": "> 2%"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "against": "recent"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "against": "source"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "scope": "chunk"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "source_query": "SELECT 1, 2"}]');
SELECT refusal('[{"check": "spot_check", "metric": "sum", "column": "amount", "source_query": "SELECT sum(amount) FROM nosuch"}]');
SELECT refusal('[{"check": "spot_check", "sql": "sum(amount)", "chunks": 0, "source_query": "SELECT 1"}]');
SELECT refusal('[{"check": "metric_delta", "metric": "sum", "column": "amount", "store_failures": true}]');
SELECT refusal('[{"check": "spot_check", "sql": "sum(amount)", "source_query": "SELECT 1", "sample": "5%"}]');

SELECT count(*) > 0 AS planned FROM backfill_plan($spec$
name: deltas
scope: {table: sales, column: day, start: 2024-05-01, stop: 2024-05-11, time_zone: Europe/Berlin}
transform: {set: {amount: "CASE WHEN day = '2024-05-03' THEN amount * 1.1 ELSE amount END", tax: "amount / 5"}, add_columns: {tax: numeric}}
strategy: {chunk_by: day}
checks:
 # 547 before, 552.5 after
 - {check: metric_delta, metric: sum, column: amount, name: sum default}
 - {check: metric_delta, metric: sum, column: amount, tolerance: 2%, name: sum 2%}
 - {check: metric_delta, metric: sum, column: amount, warn_if: "> 1%", error_if: "> 5%", name: sum warns}
 - {check: metric_delta, metric: sum, column: amount, tolerance: 5.4, name: sum absolute}
 - {check: metric_delta, metric: avg, column: amount, name: avg}
 - {check: metric_delta, metric: stddev, column: amount, tolerance: 10%, name: stddev}
 - {check: metric_delta, metric: min, column: amount, name: min}
 - {check: metric_delta, metric: max, column: amount, name: max}
 - {check: metric_delta, metric: max, column: at, name: max of times}
 - {check: metric_delta, metric: count_distinct, column: amount, name: distinct, tolerance: 100%}
 - {check: metric_delta, metric: null_percent, column: amount, name: nulls}
 - {check: metric_delta, metric: percentile, p: 0.5, column: amount, name: median}
 - {check: metric_delta, sql: "sum(amount) / count(DISTINCT region)", name: own sql}
 - {check: metric_delta, metric: sum, column: amount, by: day, name: by day}
 - {check: metric_delta, metric: sum, column: amount, by: month, name: by month, tolerance: 2%}
 - {check: metric_delta, metric: sum, column: amount, by: chunk, name: by chunk}
 - {check: metric_delta, metric: sum, column: amount, by: region, name: by region, severity: warn}
 - {check: metric_delta, metric: sum, column: amount, by: "id % 3", name: by expression, tolerance: 3%}
 - {check: metric_delta, metric: sum, column: amount, against: previous_chunk, tolerance: 20%, name: jumps}
 - {check: metric_delta, metric: sum, column: tax, source_query: "SELECT sum(amount) / 5 FROM source", name: tax of source}
 - {check: metric_delta, metric: sum, column: amount, by: day, source_query: "SELECT day, amount FROM source", name: days of source}
 - {check: metric_delta, metric: sum, column: amount, by: chunk, source_query: "SELECT sum(amount) FROM source WHERE day >= :chunk_start AND day < :chunk_stop", name: chunks of source}
 - {check: metric_delta, sql: "1 / (count(*) - count(*))", name: division}
 - {check: metric_delta, metric: sum, column: amount, where: "region = 'west'", name: nothing there}
 - {check: metric_delta, metric: sum, column: amount, sample: 50%, tolerance: 5%, name: sampled}
 - {check: spot_check, chunks: 10, metric: sum, column: amount, source_query: "SELECT sum(amount) FROM source WHERE day >= :chunk_start AND day < :chunk_stop", name: all chunks}
 - {check: spot_check, chunks: 10, sql: "count(*), sum(amount)", tolerance: 10%, source_query: "SELECT 10, sum(amount) FROM source WHERE day >= :chunk_start AND day < :chunk_stop", name: two figures}
 - {check: spot_check, sql: "count(*), sum(amount)", seed: a, source_query: "SELECT 9, sum(amount) FROM source WHERE day >= :chunk_start AND day < :chunk_stop", name: three chunks, severity: warn}
 - {check: spot_check, sql: "count(*)", source_query: "SELECT 1, 2", name: too many}
$spec$);
SELECT backfill_run('deltas') IS NOT NULL AS started;
CALL backfill_wait('deltas', '2 min');
SELECT c."check", c.chunk, outcome, expected, actual, detail FROM backfill.checks AS c JOIN backfill.steps AS s ON s.id = c.id AND s.title LIKE c."check" || ':%' AND s.kind = 'check'
WHERE c.name = 'deltas' AND c.expected ~ 'live|source|before' AND c."check" !~ '^(row_count|shrink|exact|schema|unique)' ORDER BY s.step, c.chunk NULLS FIRST;
-- The seed decides, and the same seed always the same.
SELECT count(*), count(DISTINCT chunk) FROM backfill.checks WHERE name = 'deltas' AND "check" = 'three chunks' AND scope = 'chunk';
SELECT backfill_cancel('deltas') IS NOT NULL AS cancelled;

DROP SCHEMA deltas CASCADE;
