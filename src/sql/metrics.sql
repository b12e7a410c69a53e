-- Metrics of live and of the new version side by side, bucket by bucket of the scope, as each audit found them; audit 0
-- is what was there before anything was written.

CREATE TABLE backfill.metric (
  job_id      integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  audit       integer NOT NULL CHECK (audit >= 0),
  place       integer NOT NULL CHECK (place > 0),
  bucket      text NOT NULL,
  column_name text NOT NULL,
  metric      text NOT NULL CHECK (metric IN ('rows', 'nulls', 'sum', 'avg')),
  live        numeric,
  shadow      numeric,
  PRIMARY KEY (job_id, audit, place, column_name, metric)
);
COMMENT ON TABLE backfill.metric IS
  'What rows in scope add up to, in live and in the new version, bucket by bucket. Read it through backfill.metrics.';
COMMENT ON COLUMN backfill.metric.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.metric.audit IS 'Number of the audit that measured it; 0 is before the run: live only';
COMMENT ON COLUMN backfill.metric.place IS 'Order of the buckets';
COMMENT ON COLUMN backfill.metric.bucket IS 'Hour, day, month or year of the chunk column, or the first key of a range; "all" where there is no scope';
COMMENT ON COLUMN backfill.metric.column_name IS 'Column it is about; empty for rows';
COMMENT ON COLUMN backfill.metric.metric IS 'rows, nulls, sum or avg';
COMMENT ON COLUMN backfill.metric.live IS 'Value in live; null where live has no row in the bucket, or not the column';
COMMENT ON COLUMN backfill.metric.shadow IS 'Value in the new version; null where it has no row in the bucket, or was not built yet';

CREATE VIEW backfill.metrics WITH (security_barrier) AS
SELECT j.id, j.name, m.audit, m.audit = max(m.audit) OVER (PARTITION BY m.job_id) AS latest, m.place, m.bucket,
       nullif(m.column_name, '') AS "column", m.metric, m.live, m.shadow, m.shadow - m.live AS delta,
       CASE WHEN m.live <> 0 THEN round(100 * (m.shadow - m.live) / abs(m.live), 2) END AS delta_percent
  FROM backfill.metric AS m
  JOIN backfill.job AS j ON j.id = m.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY m.job_id, m.audit, m.place, m.column_name, m.metric;
COMMENT ON VIEW backfill.metrics IS
  'Rows, nulls, sums and averages of live and of the new version side by side, bucket by bucket of the scope, for the columns that the transform sets. Visible as jobs.';
COMMENT ON COLUMN backfill.metrics.id IS 'Number of the job';
COMMENT ON COLUMN backfill.metrics.name IS 'Name of the backfill';
COMMENT ON COLUMN backfill.metrics.audit IS 'Number of the audit that measured it; 0 is before the run: live only';
COMMENT ON COLUMN backfill.metrics.latest IS 'True for the newest audit';
COMMENT ON COLUMN backfill.metrics.place IS 'Order of the buckets';
COMMENT ON COLUMN backfill.metrics.bucket IS 'Hour, day, month or year of the chunk column in the job''s time zone, or the first key of a range; "all" where there is no scope';
COMMENT ON COLUMN backfill.metrics."column" IS 'Column it is about; null for rows';
COMMENT ON COLUMN backfill.metrics.metric IS 'rows, nulls, sum or avg';
COMMENT ON COLUMN backfill.metrics.live IS 'Value in live; null where live has no row in the bucket, or not the column';
COMMENT ON COLUMN backfill.metrics.shadow IS 'Value in the new version; null where it has no row in the bucket, or was not built yet';
COMMENT ON COLUMN backfill.metrics.delta IS 'New version less live';
COMMENT ON COLUMN backfill.metrics.delta_percent IS 'That as a percentage of live; null where live is 0';

REVOKE ALL ON backfill.metric FROM PUBLIC;
GRANT SELECT ON backfill.metrics TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('backfill.metric', '');
