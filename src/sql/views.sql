-- What people and dashboards read.  The columns of jobs, chunks, steps, checks, events and dependents are a stable
-- interface.  A row is visible to members of the target's owner role, to pg_monitor and to superusers.
--
-- job_status is where a job's honest state is worked out; jobs is what of it a reader may see.

CREATE FUNCTION backfill.may_see(owner oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.pg_has_role(owner, 'MEMBER') OR pg_catalog.pg_has_role('pg_monitor', 'MEMBER');
COMMENT ON FUNCTION backfill.may_see(oid) IS
  'True when the current role may see jobs of tables of this owner: members of it, pg_monitor and superusers. Takes no locks.';

CREATE FUNCTION backfill.pending_keys(job_id integer) RETURNS bigint
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_pending_keys';
COMMENT ON FUNCTION backfill.pending_keys(integer) IS
  'Rows waiting in the job''s log: captured changes not yet in the shadow (or, after publish, in the archive). Null where there is no log or the caller may not see the job. ACCESS SHARE on the log.';

CREATE FUNCTION backfill.look_back(job_id integer)
  RETURNS TABLE (inserted bigint, updated bigint, deleted bigint, problem text, next_command text)
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_look_back';
COMMENT ON FUNCTION backfill.look_back(integer) IS
  'What a rollback of a published job would carry over, of what has been drained so far, and what stands in its way. No row for any other job or where the caller may not see it. Locks: ACCESS SHARE on both versions and the logs.';

-- A view that calls a volatile function is computed for every job before one of them is looked for.
CREATE FUNCTION backfill.clock() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.clock_timestamp();
COMMENT ON FUNCTION backfill.clock() IS 'The time of day for views: clock_timestamp(), but the planner may take it for the same within a statement. Takes no locks.';

CREATE VIEW backfill.job_status AS
WITH alive AS (
  SELECT l.objid::integer AS job_id
    FROM pg_catalog.pg_locks AS l
   WHERE l.locktype = 'object' AND l.granted AND l.objsubid = 1
     AND l.classid = 'backfill.job'::pg_catalog.regclass
     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
)
SELECT h.id, h.name, h.owner,
       format('%I.%I', h.target_schema, h.target_name) AS target,
       h.strategy,
       h.honest_state AS state,
       -- Between the last step and the state that follows, the audit is what has just ended.
       CASE WHEN h.state IN ('running', 'paused', 'failed') THEN COALESCE(h.open_phase, 'audit')
            WHEN h.state IN ('ready', 'published') THEN h.state
            ELSE '-' END AS phase,
       COALESCE(h.chunks_done, 0) AS chunks_done,
       COALESCE(h.chunks_total, 0) AS chunks_total,
       COALESCE(h.rows_done, 0) AS rows_done,
       h.rows_estimated,
       trunc(h.share * 100, 1) AS progress,
       h.started_at,
       date_trunc('milliseconds', h.ran) AS elapsed,
       CASE WHEN h.honest_state <> 'running' OR h.held_for IS NOT NULL OR h.share < 0.02 THEN '-'
            ELSE backfill.time_range(h.ran * ((1 - h.share) / h.share)::double precision) END AS eta,
       CASE WHEN h.honest_state = 'suspended' THEN 'nothing: it came with a dump or copy of another database'
            WHEN (h.honest_state = 'stalled' OR (h.state IN ('ready', 'published') AND NOT h.alive))
                 AND starts_with(h.waiting_for, 'a worker slot for its coordinator') THEN h.waiting_for
            WHEN h.honest_state = 'stalled' THEN 'a coordinator: its process is gone'
            WHEN h.state = 'running' AND h.request = 'pause' THEN 'open batches to end, then it pauses'
            WHEN h.state IN ('ready', 'published') AND NOT h.alive THEN 'a coordinator: captured changes are not drained'
            WHEN h.state IN ('running', 'ready', 'published') AND h.obstacle IS NOT NULL THEN h.obstacle
            WHEN h.state IN ('running', 'ready', 'published') THEN COALESCE(CASE WHEN h.state = 'running' THEN h.held_for END, h.waiting_for, h.held_for, h.steps_waiting_for)
       END AS waiting_for,
       CASE WHEN h.shadow IS NOT NULL THEN format('%I.%I', h.target_schema, h.shadow_name) END AS shadow,
       CASE WHEN h.archive IS NOT NULL THEN format('%I.%I', h.target_schema, h.archive_name) END AS archive,
       h.archive_until,
       h.error,
       CASE WHEN h.honest_state = 'suspended' THEN format('SELECT backfill_cancel(%L);', h.name)
            WHEN h.obstacle IS NOT NULL AND h.state IN ('running', 'ready', 'paused', 'failed')
              THEN format('SELECT backfill_cancel(%L);', h.name)
            WHEN h.honest_state IN ('planned', 'stalled', 'paused', 'failed')
              OR (h.state IN ('ready', 'published') AND NOT h.alive)
              THEN format('SELECT backfill_run(%L);', h.name)
            WHEN h.state = 'running' THEN format('CALL backfill_wait(%L);', h.name)
            WHEN h.state = 'ready' AND h.blocked
              THEN format('SELECT * FROM backfill.checks WHERE name = %L AND latest AND outcome IN (''fail'', ''error'');', h.name)
            WHEN h.state = 'ready' THEN format('SELECT backfill_publish(%L);', h.name)
            WHEN h.state = 'published' THEN format('SELECT backfill_finish(%L);', h.name)
       END AS next_command,
       h.description, h.requested_by, h.responsible, h.reason, h.success_criteria, h.planned_by, h.planned_at,
       h.ready_at, h.published_at, h.ended_at
  FROM (
    SELECT j.*, w.chunks_total, w.chunks_done, w.rows_done, w.open_phase, w.waiting_for AS steps_waiting_for,
           a.job_id IS NOT NULL AS alive,
           CASE WHEN j.state NOT IN ('finished', 'cancelled') AND NOT backfill.is_home(j.home) THEN 'suspended'
                WHEN j.state = 'running' AND a.job_id IS NULL
                 AND (j.launched_at IS NULL OR j.launched_at < backfill.clock() - interval '10 s') THEN 'stalled'
                ELSE j.state END AS honest_state,
           j.ran_for + COALESCE(backfill.clock() - j.running_since, '0') AS ran,
           -- 100 only when it is so
           CASE WHEN j.state IN ('ready', 'published', 'finished') THEN 1
                ELSE LEAST(COALESCE(w.weight_done / NULLIF(w.weight, 0), 0), 0.999) END AS share,
           EXISTS (SELECT FROM backfill.evidence AS e
                    WHERE e.job_id = j.id AND e.audit = j.audit AND e.scope <> 'pre' AND e.outcome IN ('fail', 'error')
                      AND NOT EXISTS (SELECT FROM backfill.waiver AS v
                                       WHERE v.job_id = e.job_id AND v.check_name = e.check_name AND v.audit = e.audit)) AS blocked
      FROM backfill.job AS j
      LEFT JOIN alive AS a ON a.job_id = j.id
     -- Job by job, so that the steps of those that are not asked for are not read: they are history, and it grows.
     CROSS JOIN LATERAL (
       -- Every step weighs what it is estimated to cost, in rows: a chunk its rows; an index 15 %, a check 5 % and anything
       -- else 1 % of the rows of all chunks.
       SELECT count(*) FILTER (WHERE s.chunk IS NOT NULL) AS chunks_total,
              count(*) FILTER (WHERE s.chunk IS NOT NULL AND s.status IN ('done', 'skipped') AND NOT s.replace) AS chunks_done,
              COALESCE(sum(s.rows) FILTER (WHERE s.chunk IS NOT NULL), 0)::bigint AS rows_done,
              sum(w.weight) AS weight,
              sum(w.weight * CASE WHEN s.status IN ('done', 'skipped') THEN 1
                                  WHEN s.chunk IS NOT NULL THEN LEAST(s.rows::numeric / GREATEST(s.rows_estimated, 1), 0.99)
                                  ELSE 0 END) AS weight_done,
              (array_agg(s.phase ORDER BY s.stage, s.id) FILTER (WHERE s.status NOT IN ('done', 'skipped')))[1] AS open_phase,
              string_agg(DISTINCT s.waiting_for, '; ') AS waiting_for
         FROM backfill.step AS s,
              LATERAL (SELECT CASE WHEN s.chunk IS NOT NULL THEN GREATEST(s.rows_estimated, 1)
                                   WHEN s.kind IN ('key', 'index') THEN 0.15 * GREATEST(j.rows_estimated, 1)
                                   WHEN s.kind = 'check' THEN 0.05 * GREATEST(j.rows_estimated, 1)
                                   ELSE 0.01 * GREATEST(j.rows_estimated, 1) END AS weight) AS w
        WHERE s.job_id = j.id AND s.phase NOT IN ('publish', 'after')) AS w
  ) AS h;

CREATE VIEW backfill.jobs WITH (security_barrier) AS
SELECT id, name, target, strategy, state, phase, chunks_done, chunks_total, rows_done, rows_estimated, progress,
       started_at, elapsed, eta, waiting_for, shadow, archive, archive_until,
       backfill.pending_keys(id) AS pending_keys,
       error, next_command, description, requested_by, responsible AS owner, reason, success_criteria, planned_by,
       planned_at, ready_at, published_at, ended_at
  FROM backfill.job_status
 WHERE backfill.may_see(owner)
 ORDER BY id;

CREATE VIEW backfill.way_back WITH (security_barrier) AS
SELECT j.id, j.name, j.target, j.archive, j.archive_until, w.inserted, w.updated, w.deleted,
       backfill.pending_keys(j.id) AS pending_keys, p.problem,
       CASE WHEN p.problem IS NULL THEN w.next_command END AS next_command
  FROM backfill.job_status AS j CROSS JOIN LATERAL backfill.look_back(j.id) AS w
       -- what the coordinator met when it drained
       CROSS JOIN LATERAL (SELECT COALESCE(w.problem, substring(j.waiting_for FROM '^a repair: (.*)$')) AS problem) AS p
 WHERE j.state = 'published' AND backfill.may_see(j.owner)
 ORDER BY j.id;

CREATE VIEW backfill.steps WITH (security_barrier) AS
SELECT j.id, j.name, s.id AS step, s.phase, s.kind, s.title, s.chunk, s.lo, s.hi, s.status, s.attempts, s.rows, s.rows_estimated,
       s.batches, s.started_at,
       date_trunc('milliseconds', COALESCE(s.finished_at, CASE WHEN s.status = 'running' THEN clock_timestamp() END) - s.started_at) AS duration,
       CASE WHEN s.replace AND s.status = 'pending' THEN COALESCE(s.waiting_for, 'its turn in the catch up') ELSE s.waiting_for END AS waiting_for,
       s.sqlstate, s.error, s.error_detail, s.error_hint,
       CASE WHEN s.status <> 'failed' THEN NULL
            WHEN s.chunk IS NOT NULL THEN format('SELECT backfill_retry(%L, %s);', j.name, s.chunk)
            ELSE format('SELECT backfill_run(%L);', j.name) END AS next_command
  FROM backfill.step AS s
  JOIN backfill.job AS j ON j.id = s.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY s.job_id, s.stage, s.id;

CREATE VIEW backfill.chunks WITH (security_barrier) AS
SELECT id, name, chunk, lo, hi, status, attempts, rows, rows_estimated, batches, started_at, duration, waiting_for,
       sqlstate, error, next_command, kind
  FROM backfill.steps
 WHERE chunk IS NOT NULL
 ORDER BY id, chunk;

CREATE VIEW backfill.checks WITH (security_barrier) AS
SELECT j.id, j.name, e.check_name AS "check", e.scope, e.chunk, e.severity, e.outcome, e.expected, e.actual, e.detail,
       e.checked_at, e.audit,
       e.id = max(e.id) OVER (PARTITION BY e.job_id, e.check_name, e.chunk) AS latest,
       w.waived_by, w.reason AS waiver,
       CASE WHEN e.outcome IN ('fail', 'warn') AND f.rows > 0 THEN format('SELECT * FROM %s;', f.table_name)
            WHEN e.outcome IN ('fail', 'error') AND w.id IS NULL AND e.audit = j.audit AND j.state IN ('ready', 'failed')
            THEN format('SELECT backfill_waive(%L, %L, ''reason'');', j.name, e.check_name) END AS next_command,
       e.sql
  FROM backfill.evidence AS e
  JOIN backfill.job AS j ON j.id = e.job_id
  LEFT JOIN LATERAL (SELECT v.id, v.waived_by, v.reason FROM backfill.waiver AS v
                      WHERE v.job_id = e.job_id AND v.check_name = e.check_name AND v.audit = e.audit
                      ORDER BY v.id DESC LIMIT 1) AS w ON true
  LEFT JOIN backfill.failures AS f ON f.job_id = e.job_id AND f.check_name = e.check_name AND f.audit = e.audit
 WHERE backfill.may_see(j.owner)
 ORDER BY e.job_id, e.id;

CREATE VIEW backfill.events WITH (security_barrier) AS
SELECT j.id, j.name, e.id AS number, e.event, e.at, e.by, e.detail
  FROM backfill.event AS e
  JOIN backfill.job AS j ON j.id = e.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY e.job_id, e.id;

CREATE VIEW backfill.dependents WITH (security_barrier) AS
SELECT j.id, j.name, d.object, d.kind, d.fate, d.detail
  FROM backfill.dependent AS d
  JOIN backfill.job AS j ON j.id = d.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY d.job_id, d.id;
