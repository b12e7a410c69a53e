-- What people call.  Each function is one line of work in src/api.cpp; its COMMENT says arguments, result and locks.
-- Functions live in the schema chosen by CREATE EXTENSION, named everywhere, as no path leads there; tables in schema backfill.

CREATE FUNCTION @extschema@.backfill_plan(spec text) RETURNS SETOF text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_plan';
COMMENT ON FUNCTION @extschema@.backfill_plan(text) IS
  'Plans a backfill from a spec in YAML or JSON: validates it, computes chunks, estimates, inventories dependents and stores the job as planned. Returns the plan to read, line by line, the next command last. Errors, all without side effect: 22P02 malformed, 22023 invalid, 42P01/42703 unknown table or column, 42804 types, 42501 not a member of the target''s owner, 42710 name taken, 55006 another backfill on the table, 2BP01 dependents that cannot be moved, 55000 no usable key, 0A000 not supported. Locks: ACCESS SHARE on the target and on the tables the transform reads.';

CREATE FUNCTION @extschema@.backfill_plan(name text, target text, set jsonb DEFAULT NULL, query text DEFAULT NULL,
  chunk_column text DEFAULT NULL, start text DEFAULT NULL, stop text DEFAULT NULL, chunk_by text DEFAULT NULL,
  parallelism integer DEFAULT NULL, preserve_existing boolean DEFAULT NULL, checks jsonb DEFAULT NULL,
  options jsonb DEFAULT NULL) RETURNS SETOF text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'backfill_plan_named';
COMMENT ON FUNCTION @extschema@.backfill_plan(text, text, jsonb, text, text, text, text, text, integer, boolean, jsonb, jsonb) IS
  'The same as backfill_plan(spec) by named arguments: set maps columns to SQL expressions, query is one SELECT instead; chunk_column, start and stop are the half-open scope; chunk_by is a unit, an interval, a width or blocks; checks is a list; options is a fragment of a spec laid over the rest. Errors and locks as there.';

CREATE FUNCTION @extschema@.backfill_run(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_run';
COMMENT ON FUNCTION @extschema@.backfill_run(text) IS
  'Starts or resumes a backfill and returns at once; background workers do the work after the current transaction has committed. Resuming keeps finished chunks and gives failed steps their retries back. Errors: 42704 unknown, 42501 not a member of the target''s owner, 55000 not allowed in this state, 53000 no worker slot. Locks: the job''s row.';

CREATE PROCEDURE @extschema@.backfill_wait(name text, timeout interval DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'backfill_wait';
COMMENT ON PROCEDURE @extschema@.backfill_wait(text, interval) IS
  'Waits until a backfill is ready, paused, published (and what follows a publish or rollback is done) or finished, telling progress as NOTICE; commits between looks, so it holds no snapshot. Raises the job''s own error when it fails, 57014 after the timeout, 55000 when nobody runs it, 25001 inside a transaction block. Takes no locks.';

CREATE FUNCTION @extschema@.backfill_pause(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_pause';
COMMENT ON FUNCTION @extschema@.backfill_pause(text) IS
  'Asks a running backfill to stop between batches; everything is kept, captured changes wait in the log. Go on with backfill_run. Errors: 42704, 42501, 55000. Locks: the job''s row.';

CREATE FUNCTION @extschema@.backfill_cancel(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_cancel';
COMMENT ON FUNCTION @extschema@.backfill_cancel(text) IS
  'Stops a backfill that is not published and drops its shadow, log and triggers; only the ledger is left. Its workers are terminated; after a rollback it waits first, as backfill_finish does, for what is still to be done. Where it is cancelled already, it says so. Errors: 42704, 42501, 55000, 55P03. Locks: ACCESS EXCLUSIVE on the target for a moment, in bounded tries.';

CREATE FUNCTION @extschema@.backfill_retry(name text, chunk integer) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_retry';
COMMENT ON FUNCTION @extschema@.backfill_retry(text, integer) IS
  'Runs one chunk again, also after success (then it replaces its range), and the checks after it. Arguments: the backfill and the chunk''s number in backfill.chunks. Errors: 42704, 42501, 22023 no such chunk, 55000, 55006 being run. Locks: the job''s row.';

CREATE FUNCTION @extschema@.backfill_audit(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_audit';
COMMENT ON FUNCTION @extschema@.backfill_audit(text) IS
  'Runs the checks of a ready backfill again, as a new audit: older verdicts and waivers are void. Returns at once; results appear in backfill.checks. Errors: 42704, 42501, 55000. Locks: the job''s row.';

CREATE FUNCTION @extschema@.backfill_alter(name text, parallelism integer DEFAULT NULL, retention interval DEFAULT NULL,
  throttle jsonb DEFAULT NULL, windows text[] DEFAULT NULL, read_from jsonb DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'backfill_alter';
COMMENT ON FUNCTION @extschema@.backfill_alter(text, integer, interval, jsonb, text[], jsonb) IS
  'Changes a backfill while it runs, within about a second: parallelism (1 to 64 workers), retention (how long the archive is kept after publish), throttle (limits laid over those of the spec, by the names they have there; null takes one out), windows (when it may work; an empty array is any time), read_from (as in a spec; the JSON null is this server). Null leaves a setting as it is. Errors: 42704, 42501, 22023, 55000. Locks: the job''s row.';

CREATE FUNCTION @extschema@.backfill_maintain() RETURNS text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'backfill_maintain';
COMMENT ON FUNCTION @extschema@.backfill_maintain() IS
  'Housekeeping, for pg_cron: starts coordinators for backfills that should have one and drops archives whose retention has ended. Looks at the jobs the caller may manage. Locks: those jobs'' rows; for an ended archive as backfill_finish.';

CREATE FUNCTION @extschema@.backfill_publish(VARIADIC names text[]) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_publish';
COMMENT ON FUNCTION @extschema@.backfill_publish(text[]) IS
  'Puts the new versions into service by renaming, in the caller''s transaction: all of the named backfills or none. Waits for old snapshots, drains what is left, swaps in bounded tries; returns how often it tried and how long it waited for locks and held them. Errors: 42704, 42501, 25001 not READ COMMITTED, 55000 not ready, a check in the way, or the table changed, 55006 old snapshots, 55P03 given up. Locks, to the end of the transaction: ACCESS EXCLUSIVE on the tables and their views, SHARE UPDATE EXCLUSIVE on their materialized views, SHARE ROW EXCLUSIVE on tables that foreign keys refer to, or come from.';

CREATE FUNCTION @extschema@.backfill_rollback(name text, discard text[] DEFAULT '{}') RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_rollback';
COMMENT ON FUNCTION @extschema@.backfill_rollback(text, text[]) IS
  'Puts the old version back into service, with everything written since publish; the rejected version is kept as the shadow and the backfill is ready again. Tells first how many rows it carries over. Arguments: the backfill; discard, columns that the old version does not have and whose values, written since publish, are given up (without it that is refused). Before publish there is nothing to undo, and it says so. Errors: 42704, 42501, 25001, 55000 (among others: values without a place), 2BP01, 22023 nothing to discard, classes 22 and 23 where the old version refuses rows written since, 55006, 55P03. Locks: as backfill_publish; meanwhile SHARE UPDATE EXCLUSIVE on the old version, or ACCESS EXCLUSIVE where the table was altered since publish, let go between two tries where somebody waits for it.';

CREATE FUNCTION @extschema@.backfill_finish(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_finish';
COMMENT ON FUNCTION @extschema@.backfill_finish(text) IS
  'Drops the archive of a published backfill now, after the refreshes and validations that are not done yet (which it waits for while they are being done), and ends the capture for a rollback; there is no way back after it. Where it is finished already, as by the end of the retention, it says so. Errors: 42704, 42501, 55000 not published, 55P03 given up. Locks: ACCESS EXCLUSIVE on the table for a moment, in bounded tries.';

CREATE FUNCTION @extschema@.backfill_waive(name text, "check" text, reason text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_waive';
COMMENT ON FUNCTION @extschema@.backfill_waive(text, text, text) IS
  'Accepts a check that failed or could not run in the newest audit, so that the backfill can be published; who, when and why are recorded, and the next audit voids it. Arguments: the backfill, the check''s name in backfill.checks, the reason. Errors: 42704 unknown backfill or check, 42501, 22023 no reason, 55000 the check did not fail or the state is neither ready nor failed. Locks: the job''s row.';

CREATE FUNCTION @extschema@.backfill_diff(name text, chunk integer DEFAULT NULL, samples integer DEFAULT 5) RETURNS SETOF text
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'backfill_diff';
COMMENT ON FUNCTION @extschema@.backfill_diff(text, integer, integer) IS
  'What publishing would change in scope (after publish: has changed): rows added, removed, changed and unchanged; of each column how many values change, become null or are filled, and by how much numbers and times move; and the first few rows before and after. Arguments: the backfill; chunk, the number of one chunk in backfill.chunks, which can be compared as soon as it is done (default: the whole scope, once all is built); samples, rows to show of each kind (0 to 100). Reads both versions as the owner in one snapshot; keys not drained yet are left out and counted. The figures of a whole scope are kept for backfill_report. Errors: 42704, 42501, 22023 no such chunk, 55000 nothing to compare yet, the table was changed, or a TRUNCATE not drained. Locks: ACCESS SHARE on both versions.';

CREATE FUNCTION @extschema@.backfill_report(name text, format text DEFAULT 'markdown') RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_report';
COMMENT ON FUNCTION @extschema@.backfill_report(text, text) IS
  'Tells a backfill as it is now, at any stage, as a Markdown document: state, progress, chunks, failures with the statement to type, checks with their evidence, dependents, history, the way back. Arguments: the backfill, the format (markdown). Errors: 42704 unknown, 22023 unknown format, 0A000 html. Takes no locks on the tables.';
