-- Tables of rows at fault, made for checks with store_failures.  The rows are the owner's and stay in the owner's
-- schema; here is written only which tables there are.

CREATE TABLE backfill.failures (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  check_name text NOT NULL,
  audit      integer NOT NULL,
  relation   oid NOT NULL,
  table_name text NOT NULL,
  rows       bigint NOT NULL DEFAULT 0 CHECK (rows >= 0),
  PRIMARY KEY (job_id, check_name)
);
COMMENT ON TABLE backfill.failures IS
  'Tables that hold the rows at fault of checks with store_failures; they go when the backfill is finished or cancelled.';
COMMENT ON COLUMN backfill.failures.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.failures.check_name IS 'Name of the check';
COMMENT ON COLUMN backfill.failures.audit IS 'Number of the audit that filled it; 0 for a pre-check';
COMMENT ON COLUMN backfill.failures.relation IS 'OID of the table';
COMMENT ON COLUMN backfill.failures.table_name IS 'Its name, schema-qualified and quoted';
COMMENT ON COLUMN backfill.failures.rows IS 'Rows kept in it';
SELECT pg_catalog.pg_extension_config_dump('backfill.failures', '');
