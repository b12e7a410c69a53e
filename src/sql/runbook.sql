-- Before a backfill is run: a dry run on a few chunks, and the papers for those who run it.

CREATE FUNCTION @extschema@.backfill_sample(name text, chunks integer DEFAULT 3) RETURNS SETOF text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_sample';
COMMENT ON FUNCTION @extschema@.backfill_sample(text, integer) IS
  'A dry run: builds a few chunks, spread over the scope, as the run would, audits them, measures time, disk and WAL, projects the whole as a range, tells what would change, and drops everything; only an event is left. Arguments: the backfill, how many chunks. Works in the caller''s session and can be cancelled. Errors: 42704, 42501, 22023 no chunk, 55000 not planned, paused, failed or ready, or the table has changed, 25006 on a standby, and what the transform or a constraint of the table raises. Locks: ACCESS SHARE on the target and on the tables the transform reads.';

CREATE FUNCTION @extschema@.backfill_runbook(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_runbook';
COMMENT ON FUNCTION @extschema@.backfill_runbook(text) IS
  'The runbook of a backfill as a Markdown document, at any stage, with its own names and ranges filled in: summary, execution script with the step that is due marked, validation queries to be run by hand, notices for those downstream, refresh order, rollback procedure, what to do when something fails. Every block of SQL runs as printed, when the line above it says. Argument: the backfill. Errors: 42704 unknown. Takes no locks on the tables.';
