-- publish.auto: once the audit has passed the job publishes itself; what a person has rolled back stays so.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA by_itself;
SET search_path = by_itself, public;
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, i FROM generate_series(1, 100) i;
CREATE VIEW seen AS SELECT sum(v) FROM t;
CREATE FUNCTION state(job text) RETURNS text LANGUAGE sql AS $$ SELECT state FROM backfill.jobs WHERE name = job $$;
CREATE FUNCTION trail(job text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT e.event FROM backfill.events e JOIN backfill.jobs j USING (id)
   WHERE j.name = job AND e.event IN ('ready', 'published', 'rolled back', 'publish failed', 'retried') ORDER BY e.number $$;

SELECT count(*) FILTER (WHERE line ~ 'by itself once the audit has passed') AS told FROM backfill_plan($$
  {name: itself, scope: {table: t}, transform: {set: {v: v * 10}}, strategy: {chunk_by: blocks}, publish: {auto: true}}$$) line;
SELECT count(*) FROM backfill_run('itself');
CALL backfill_wait('itself', '5 min');
SELECT state('itself'), (SELECT sum FROM seen);

-- Rolled back it stays so, also when it is audited anew.
SELECT left(backfill_rollback('itself'), 11);
CALL backfill_wait('itself', '5 min');
SELECT state('itself'), (SELECT sum FROM seen);
SELECT count(backfill_audit('itself'));
CALL backfill_wait('itself', '5 min');
SELECT state('itself'), (SELECT sum FROM seen);
SELECT left(backfill_publish('itself'), 9);
SELECT trail('itself');
SELECT count(backfill_finish('itself'));

-- A check that fails is in the way until somebody waives it.
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: doubtful, scope: {table: t}, transform: {set: {v: v + 1}}, strategy: {chunk_by: blocks}, publish: {auto: true}, checks: [{check: accepted_range, column: v, max: 1000}]}$$);
SELECT count(*) FROM backfill_run('doubtful');
CALL backfill_wait('doubtful', '5 min');
SELECT state, next_command LIKE '%backfill.checks%' AS look FROM backfill.jobs WHERE name = 'doubtful';
SELECT count(backfill_waive('doubtful', 'accepted_range(v)', 'the last row is known'));
CALL backfill_wait('doubtful', '5 min');
SELECT state('doubtful'), (SELECT sum FROM seen);
SELECT trail('doubtful');
SELECT count(backfill_finish('doubtful'));

-- Somebody is in the way for longer than give_up_after: it is told, and tried again only when asked for.
SELECT count(*) > 0 AS planned FROM backfill_plan($$
  {name: patient, scope: {table: t}, transform: {set: {v: v - 1}}, strategy: {chunk_by: blocks}, publish: {auto: true, give_up_after: 1s}}$$);
BEGIN;
SELECT count(*) FROM t;
PREPARE TRANSACTION 'in_the_way';
SELECT count(*) FROM backfill_run('patient');
\set VERBOSITY sqlstate
CALL backfill_wait('patient', '5 min');
\set VERBOSITY default
SELECT state, error, error_named FROM backfill.jobs CROSS JOIN LATERAL (SELECT count(*) > 0 AS error_named FROM backfill.events e WHERE e.id = jobs.id AND e.event = 'publish failed' AND e.detail LIKE '%55006%') AS e WHERE name = 'patient';
COMMIT PREPARED 'in_the_way';
SELECT backfill_run('patient');
CALL backfill_wait('patient', '5 min');
SELECT state('patient'), (SELECT sum FROM seen);
SELECT trail('patient');
SELECT count(backfill_finish('patient'));

-- Whoever may not publish may not have it done.
CREATE ROLE by_itself_planner;
ALTER TABLE t OWNER TO by_itself_planner;
GRANT ALL ON SCHEMA by_itself TO by_itself_planner;
BEGIN;
REVOKE EXECUTE ON FUNCTION backfill_publish FROM PUBLIC;
SET LOCAL ROLE by_itself_planner;
SELECT backfill_plan('{name: humble, scope: {table: t}, transform: {set: {v: v}}, strategy: {chunk_by: blocks}, publish: {auto: true}}');
ROLLBACK;
SELECT count(*) FROM backfill.jobs WHERE name = 'humble';

SET client_min_messages = error;
DROP SCHEMA by_itself CASCADE;
DROP ROLE by_itself_planner;
