-- What a backfill changes, in figures: the newest backfill_diff over a job's whole scope.

CREATE TABLE backfill.difference (
  job_id    integer PRIMARY KEY REFERENCES backfill.job ON DELETE CASCADE,
  audit     integer NOT NULL CHECK (audit >= 0),
  published boolean NOT NULL,
  added     bigint NOT NULL CHECK (added >= 0),
  removed   bigint NOT NULL CHECK (removed >= 0),
  changed   bigint NOT NULL CHECK (changed >= 0),
  unchanged bigint NOT NULL CHECK (unchanged >= 0),
  pending   bigint NOT NULL CHECK (pending >= 0),
  columns   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(columns) = 'array'),
  at        timestamptz NOT NULL,
  by        text NOT NULL
);
COMMENT ON TABLE backfill.difference IS
  'Figures of the newest backfill_diff over a job''s whole scope, for its report. Read it through backfill.differences.';
COMMENT ON COLUMN backfill.difference.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.difference.audit IS 'The job''s newest audit by then';
COMMENT ON COLUMN backfill.difference.published IS 'True where archive and live were compared, false where live and shadow';
COMMENT ON COLUMN backfill.difference.added IS 'Rows that only the new version has';
COMMENT ON COLUMN backfill.difference.removed IS 'Rows that only the old version has';
COMMENT ON COLUMN backfill.difference.changed IS 'Rows that differ';
COMMENT ON COLUMN backfill.difference.unchanged IS 'Rows that are the same, image for image';
COMMENT ON COLUMN backfill.difference.pending IS 'Keys left out because their changes waited to be drained';
COMMENT ON COLUMN backfill.difference.columns IS
  'Of each column with a change: name; values changed, and of these emptied (now null) and filled (were null); shift of numbers and times: values, mean, p50, p95 and max of |new - old|, net (mean of new - old), unit s for seconds';
COMMENT ON COLUMN backfill.difference.at IS 'When the snapshot was taken';
COMMENT ON COLUMN backfill.difference.by IS 'Role that asked';

CREATE VIEW backfill.differences WITH (security_barrier) AS
SELECT j.id, j.name, d.published, d.added, d.removed, d.changed, d.unchanged, d.pending AS pending_keys, d.columns,
       d.audit, d.at, d.by
  FROM backfill.difference AS d
  JOIN backfill.job AS j ON j.id = d.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY d.job_id;
COMMENT ON VIEW backfill.differences IS 'What backfills change, in figures: the newest backfill_diff over the whole scope of each. Visible as jobs.';
COMMENT ON COLUMN backfill.differences.id IS 'Number of the job';
COMMENT ON COLUMN backfill.differences.name IS 'Name of the backfill';
COMMENT ON COLUMN backfill.differences.published IS 'True where archive and live were compared, false where live and shadow';
COMMENT ON COLUMN backfill.differences.added IS 'Rows that only the new version has';
COMMENT ON COLUMN backfill.differences.removed IS 'Rows that only the old version has';
COMMENT ON COLUMN backfill.differences.changed IS 'Rows that differ';
COMMENT ON COLUMN backfill.differences.unchanged IS 'Rows that are the same, image for image';
COMMENT ON COLUMN backfill.differences.pending_keys IS 'Keys left out because their changes waited to be drained';
COMMENT ON COLUMN backfill.differences.columns IS
  'Of each column with a change: name; values changed, and of these emptied (now null) and filled (were null); shift of numbers and times: values, mean, p50, p95 and max of |new - old|, net (mean of new - old), unit s for seconds';
COMMENT ON COLUMN backfill.differences.audit IS 'The job''s newest audit by then';
COMMENT ON COLUMN backfill.differences.at IS 'When the snapshot was taken';
COMMENT ON COLUMN backfill.differences.by IS 'Role that asked';

REVOKE ALL ON backfill.difference FROM PUBLIC;
GRANT SELECT ON backfill.differences TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('backfill.difference', '');
