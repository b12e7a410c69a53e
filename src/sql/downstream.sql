-- What is downstream of a table, and the pg_cron jobs that rest meanwhile.

CREATE TABLE backfill.suspension (
  job_id       integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id           bigint GENERATED ALWAYS AS IDENTITY,
  cron_jobid   bigint NOT NULL,
  cron_job     text NOT NULL,
  cron_user    text NOT NULL,
  was_active   boolean NOT NULL,
  suspended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at     timestamptz,
  outcome      text CHECK (outcome IN ('restored', 'was inactive', 'already active', 'handed on', 'gone')),
  PRIMARY KEY (job_id, id),
  CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX suspension_open ON backfill.suspension (cron_jobid, job_id) WHERE ended_at IS NULL;

COMMENT ON TABLE backfill.suspension IS
  'A pg_cron job that a backfill switched off while it worked, and what became of it. Written in the transaction that changes cron.job.';
COMMENT ON COLUMN backfill.suspension.job_id IS 'The job it rests for';
COMMENT ON COLUMN backfill.suspension.id IS 'Order of suspensions';
COMMENT ON COLUMN backfill.suspension.cron_jobid IS 'cron.job.jobid';
COMMENT ON COLUMN backfill.suspension.cron_job IS 'cron.job.jobname';
COMMENT ON COLUMN backfill.suspension.cron_user IS 'cron.job.username';
COMMENT ON COLUMN backfill.suspension.was_active IS 'Whether it is to be active again afterwards: it was, before any backfill suspended it';
COMMENT ON COLUMN backfill.suspension.suspended_at IS 'When it was suspended';
COMMENT ON COLUMN backfill.suspension.ended_at IS 'When the suspension ended; null while it lasts';
COMMENT ON COLUMN backfill.suspension.outcome IS
  'restored; was inactive before; already active, by somebody else; handed on to another backfill that has it suspended; gone from cron.job';

CREATE VIEW backfill.downstream WITH (security_barrier) AS
WITH declared AS (
  SELECT j.id, j.name, j.owner, d.n, d.item ->> 'name' AS downstream, d.item ->> 'refresh' AS refresh, d.item ->> 'cron_job' AS cron_job
    FROM backfill.job AS j, LATERAL json_array_elements(CASE WHEN json_typeof(j.spec -> 'downstream') = 'array' THEN j.spec -> 'downstream' END)
                              WITH ORDINALITY AS d (item, n)
)
SELECT p.id, p.name, p.position, p.downstream, p.kind, p.refresh, p.after, p.cron_job, p.suspended_at, p.status, p.error, p.next_command
  FROM (
    SELECT d.id, d.name, d.owner, s.id AS position, d.downstream, 'declared' AS kind, d.refresh, s.params -> 'needs' AS after, d.cron_job,
           u.suspended_at, s.status, s.error,
           CASE WHEN s.status = 'failed' THEN format('SELECT backfill_run(%L);', d.name) END AS next_command, 1 AS part, d.n
      FROM declared AS d
      LEFT JOIN backfill.step AS s
        ON s.job_id = d.id AND s.phase = 'after' AND s.kind IN ('downstream', 'refresh') AND s.params ->> 'item' = d.downstream
      LEFT JOIN LATERAL (SELECT min(x.suspended_at) AS suspended_at FROM backfill.suspension AS x
                          WHERE x.job_id = d.id AND x.cron_job = d.cron_job AND x.ended_at IS NULL) AS u ON true
    UNION ALL
    SELECT j.id, j.name, j.owner, s.id, regexp_replace(s.title, '^refresh materialized view ', ''), 'materialized view', NULL,
           s.params -> 'needs', NULL, NULL, s.status, s.error,
           CASE WHEN s.status = 'failed' THEN format('SELECT backfill_run(%L);', j.name) END, 1, 0
      FROM backfill.step AS s JOIN backfill.job AS j ON j.id = s.job_id
     WHERE s.phase = 'after' AND s.kind = 'refresh' AND s.params ->> 'item' IS NULL
    UNION ALL
    SELECT j.id, j.name, j.owner, NULL, d.object, d.kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, d.id
      FROM backfill.dependent AS d JOIN backfill.job AS j ON j.id = d.job_id
     WHERE d.kind IN ('view', 'function')
  ) AS p
 WHERE backfill.may_see(p.owner)
 ORDER BY p.id, p.part, p.position, p.n;

COMMENT ON VIEW backfill.downstream IS
  'Who is affected by a backfill, in the order in which it is brought up to date after a publish or rollback: what the spec declares, and the materialized views, views and functions found. Visible as jobs.';
COMMENT ON COLUMN backfill.downstream.id IS 'Number of the job';
COMMENT ON COLUMN backfill.downstream.name IS 'Name of the backfill';
COMMENT ON COLUMN backfill.downstream.position IS 'Order of the refreshes (backfill.steps.step); null where nothing is run';
COMMENT ON COLUMN backfill.downstream.downstream IS 'Its name in the spec, or the object';
COMMENT ON COLUMN backfill.downstream.kind IS 'declared, materialized view, view or function';
COMMENT ON COLUMN backfill.downstream.refresh IS 'Statement that the spec gives for it';
COMMENT ON COLUMN backfill.downstream.after IS 'Titles of the steps that it waits for, as a JSON list';
COMMENT ON COLUMN backfill.downstream.cron_job IS 'pg_cron job that rests meanwhile';
COMMENT ON COLUMN backfill.downstream.suspended_at IS 'Since when it rests; null when it does not';
COMMENT ON COLUMN backfill.downstream.status IS 'Of its refresh: pending, running, done or failed';
COMMENT ON COLUMN backfill.downstream.error IS 'Why it failed, or what held it back';
COMMENT ON COLUMN backfill.downstream.next_command IS 'The statement to type where it failed';

SELECT pg_catalog.pg_extension_config_dump('backfill.suspension', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.suspension_id_seq', '');

CREATE FUNCTION @extschema@.backfill_provenance(target text, value text)
  RETURNS TABLE (name text, id integer, chunk integer, lo text, hi text, rows bigint, computed_at timestamptz, published_at timestamptz)
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'backfill_provenance';
COMMENT ON FUNCTION @extschema@.backfill_provenance(text, text) IS
  'Which backfill computed the rows of a table whose chunk column has this value, and in which chunk: those published and not rolled back, newest first (the first is what is in service). Arguments: the table; the value, as text. Errors: 42P01 no such table, 22007 and the like where the value is none of the chunk column''s type. Takes no locks.';
