-- Trigger functions.  Who may EXECUTE them may make triggers of them, so nobody but the extension may.

CREATE FUNCTION backfill.capture() RETURNS trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'backfill_capture';
COMMENT ON FUNCTION backfill.capture() IS
  'AFTER ROW on a live table: writes the keys of the rows changed into the capture log of the job';

CREATE FUNCTION backfill.capture_truncate() RETURNS trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'backfill_capture_truncate';
COMMENT ON FUNCTION backfill.capture_truncate() IS
  'AFTER TRUNCATE on a live table: leaves a marker in the log of the job';

CREATE FUNCTION backfill.capture_reverse() RETURNS trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'backfill_capture_reverse';
COMMENT ON FUNCTION backfill.capture_reverse() IS
  'AFTER ROW on a published table: writes keys and changed columns into the reverse log of the job, for a rollback';

CREATE FUNCTION backfill.guard() RETURNS trigger
  LANGUAGE C AS 'MODULE_PATHNAME', 'backfill_guard';
COMMENT ON FUNCTION backfill.guard() IS
  'BEFORE any write to an archive: refuses it';

REVOKE ALL ON FUNCTION backfill.capture(), backfill.capture_truncate(), backfill.capture_reverse(), backfill.guard()
  FROM PUBLIC;
