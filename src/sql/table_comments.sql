-- What psql shows with \d+ and \dn+ about schema backfill and its tables.

COMMENT ON SCHEMA backfill IS 'Catalog of the extension backfill: views for people, tables for the workers.';

COMMENT ON TABLE backfill.job IS
  'One backfill: what was asked, for which table, how far it is. One row a run of a name; kept after it ends. Read it through backfill.jobs.';
COMMENT ON COLUMN backfill.job.id IS 'Number of the job; part of the names of its shadow, archive and logs';
COMMENT ON COLUMN backfill.job.name IS 'What people call it; taken by at most one job that is not finished or cancelled';
COMMENT ON COLUMN backfill.job.state IS 'planned, running, ready, published, paused, failed, finished or cancelled';
COMMENT ON COLUMN backfill.job.request IS 'What the coordinator was asked to do between two batches: pause; null when nothing';
COMMENT ON COLUMN backfill.job.strategy IS 'How the new data gets into place: swap, merge';
COMMENT ON COLUMN backfill.job.spec IS 'The spec, normalised: all that was asked, as JSON';
COMMENT ON COLUMN backfill.job.description IS 'What it is for, in the words of the spec';
COMMENT ON COLUMN backfill.job.requested_by IS 'Who asked for it, in the words of the spec';
COMMENT ON COLUMN backfill.job.responsible IS 'Who answers for it: the spec''s owner, free text';
COMMENT ON COLUMN backfill.job.reason IS 'Why, in the words of the spec';
COMMENT ON COLUMN backfill.job.success_criteria IS 'When it is a success, in the words of the spec';
COMMENT ON COLUMN backfill.job.planned_by IS 'Role that planned it';
COMMENT ON COLUMN backfill.job.target_schema IS 'Schema of the target at plan time';
COMMENT ON COLUMN backfill.job.target_name IS 'Name of the target at plan time';
COMMENT ON COLUMN backfill.job.live IS 'OID of the table that serves traffic under the target''s name; changes at publish';
COMMENT ON COLUMN backfill.job.shadow IS 'OID of the new version being built; null when there is none';
COMMENT ON COLUMN backfill.job.archive IS 'OID of the version that publish replaced; null before publish';
COMMENT ON COLUMN backfill.job.capture_log IS 'OID of the log of keys changed in live that the shadow has yet to follow';
COMMENT ON COLUMN backfill.job.reverse_log IS 'OID of the log of changes since publish that the archive has yet to follow';
COMMENT ON COLUMN backfill.job.home IS 'Database it was planned in; where it differs from this one, the job was restored from a dump and is suspended';
COMMENT ON COLUMN backfill.job.owner IS 'OID of the role that owns the target, as whom transforms and checks run';
COMMENT ON COLUMN backfill.job.owner_name IS 'Name of that role at plan time';
COMMENT ON COLUMN backfill.job.shadow_name IS 'Name of the shadow, in the target''s schema';
COMMENT ON COLUMN backfill.job.archive_name IS 'Name of the archive, in the target''s schema';
COMMENT ON COLUMN backfill.job.search_path IS 'search_path of the session that planned it, used for transforms and checks only';
COMMENT ON COLUMN backfill.job.chunk_column IS 'Column that scope and chunks are ranges of; null when there is none';
COMMENT ON COLUMN backfill.job.chunk_type IS 'OID of that column''s type';
COMMENT ON COLUMN backfill.job.start IS 'Begin of the scope, included, as a value of the column''s type; null when every row is in scope';
COMMENT ON COLUMN backfill.job.stop IS 'End of the scope, not included';
COMMENT ON COLUMN backfill.job.exclude IS 'Ranges inside the scope left out of it: lo, hi, lo, hi, half-open';
COMMENT ON COLUMN backfill.job.time_zone IS 'Zone in which calendar chunks begin';
COMMENT ON COLUMN backfill.job.settings IS 'Settings of the session that planned it which the value of an expression may depend on (locales, text search …): name, value, name, value; used for transforms, checks and refreshes';
COMMENT ON COLUMN backfill.job.key_columns IS 'Columns that identify a row, for capture, drain and proof';
COMMENT ON COLUMN backfill.job.fingerprint IS 'What the target, its dependents and the functions used looked like at plan time; must be the same at publish';
COMMENT ON COLUMN backfill.job.parallelism IS 'How many chunk workers may run at once';
COMMENT ON COLUMN backfill.job.retention IS 'How long the archive is kept after publish';
COMMENT ON COLUMN backfill.job.rows_estimated IS 'Rows of the target at plan time, from statistics';
COMMENT ON COLUMN backfill.job.bytes_estimated IS 'Bytes of the target at plan time';
COMMENT ON COLUMN backfill.job.copied_file IS 'The file of the target when capture began; another one at the end of the copy means that rows have changed places';
COMMENT ON COLUMN backfill.job.copied_columns IS 'Number and row version in pg_attribute of each column of the target then; other ones together with another file mean that any value may have changed';
COMMENT ON COLUMN backfill.job.capture_seal IS 'OID and row version in pg_trigger of the capture triggers as they were installed; other ones mean that somebody has altered them since, and writes may have been missed';
COMMENT ON COLUMN backfill.job.copy_horizon IS 'Transaction id from which on all that the copy wrote is visible; publish waits for older snapshots';
COMMENT ON COLUMN backfill.job.audit IS 'Number of the newest audit; 0 before the first';
COMMENT ON COLUMN backfill.job.waiting_for IS 'What the job waits for, in words; null when it does not wait';
COMMENT ON COLUMN backfill.job.held_for IS 'What its throttle holds it for, in words: signals over their limits, a window that is closed';
COMMENT ON COLUMN backfill.job.obstacle IS 'What was done to the tables since the plan, so that only cancelling and planning again, or undoing it, helps; of a published backfill, what bars the way back; null when nothing';
COMMENT ON COLUMN backfill.job.planned_at IS 'When it was planned';
COMMENT ON COLUMN backfill.job.started_at IS 'When it was first run';
COMMENT ON COLUMN backfill.job.ready_at IS 'When its last audit left it ready to publish';
COMMENT ON COLUMN backfill.job.published_at IS 'When it was published';
COMMENT ON COLUMN backfill.job.ended_at IS 'When it was finished or cancelled';
COMMENT ON COLUMN backfill.job.archive_until IS 'Until when the archive is kept';
COMMENT ON COLUMN backfill.job.sqlstate IS 'SQLSTATE of the error that failed it';
COMMENT ON COLUMN backfill.job.error IS 'Message of that error; holds no row data';
COMMENT ON COLUMN backfill.job.error_detail IS 'Detail of that error';
COMMENT ON COLUMN backfill.job.error_hint IS 'Hint of that error';

COMMENT ON TABLE backfill.step IS
  'The ledger: all that a job will do, written at plan time; the status of a row is the checkpoint. Read it through backfill.steps and backfill.chunks.';
COMMENT ON COLUMN backfill.step.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.step.id IS 'Order within the job';
COMMENT ON COLUMN backfill.step.stage IS 'Stages run one after the other, steps of one stage at the same time';
COMMENT ON COLUMN backfill.step.phase IS 'prepare, copy, build, catch up, audit, publish or after';
COMMENT ON COLUMN backfill.step.kind IS 'What is done: pre_check, shadow, capture, range, blocks, purge, key, index …';
COMMENT ON COLUMN backfill.step.title IS 'The same for people';
COMMENT ON COLUMN backfill.step.chunk IS 'Number of the chunk; null for steps that copy no rows';
COMMENT ON COLUMN backfill.step.lo IS 'Begin of the chunk, included: a value of the chunk column, or a block number';
COMMENT ON COLUMN backfill.step.hi IS 'End of the chunk, not included; null is open';
COMMENT ON COLUMN backfill.step.done_to IS 'Everything of the chunk below it is in the shadow';
COMMENT ON COLUMN backfill.step.params IS 'Parameters of the kind, as JSON';
COMMENT ON COLUMN backfill.step.status IS 'pending, running, done, failed or skipped';
COMMENT ON COLUMN backfill.step.replace IS 'The chunk is run again over what is there: delete and insert in one transaction';
COMMENT ON COLUMN backfill.step.attempts IS 'How often it was tried';
COMMENT ON COLUMN backfill.step.token IS 'Fencing token of the worker that holds it; a worker with an older one cannot commit';
COMMENT ON COLUMN backfill.step.pid IS 'Server process that runs it; null unless running';
COMMENT ON COLUMN backfill.step.not_before IS 'When it may be tried again after a transient error';
COMMENT ON COLUMN backfill.step.waiting_for IS 'What its worker waits for, in words';
COMMENT ON COLUMN backfill.step.rows IS 'Rows written so far';
COMMENT ON COLUMN backfill.step.rows_estimated IS 'Rows estimated at plan time';
COMMENT ON COLUMN backfill.step.batches IS 'Batches committed so far';
COMMENT ON COLUMN backfill.step.started_at IS 'When its last attempt began';
COMMENT ON COLUMN backfill.step.finished_at IS 'When it was done or skipped';
COMMENT ON COLUMN backfill.step.sqlstate IS 'SQLSTATE of its last error';
COMMENT ON COLUMN backfill.step.error IS 'Message of that error; holds no row data';
COMMENT ON COLUMN backfill.step.error_detail IS 'Detail of that error';
COMMENT ON COLUMN backfill.step.error_hint IS 'Hint of that error';

COMMENT ON TABLE backfill.evidence IS
  'Results of checks with the numbers they compared; rows are only ever added. Read it through backfill.checks.';
COMMENT ON COLUMN backfill.evidence.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.evidence.id IS 'Order in which results came in';
COMMENT ON COLUMN backfill.evidence.audit IS 'Number of the audit; 0 for pre-checks';
COMMENT ON COLUMN backfill.evidence.check_name IS 'Name of the check within the job';
COMMENT ON COLUMN backfill.evidence.scope IS 'chunk, run (the whole) or pre (before anything was written)';
COMMENT ON COLUMN backfill.evidence.chunk IS 'Chunk that was checked; null for the whole';
COMMENT ON COLUMN backfill.evidence.severity IS 'warn or error: what a bad number means';
COMMENT ON COLUMN backfill.evidence.outcome IS 'pass, warn, fail, error (could not run: blocks publishing like fail) or skipped';
COMMENT ON COLUMN backfill.evidence.expected IS 'What was expected, in words and numbers';
COMMENT ON COLUMN backfill.evidence.actual IS 'What was found';
COMMENT ON COLUMN backfill.evidence.detail IS 'A sentence on the difference; holds no row data';
COMMENT ON COLUMN backfill.evidence.measured IS 'The number that was held against the threshold';
COMMENT ON COLUMN backfill.evidence.sql IS 'The statement that measured it';
COMMENT ON COLUMN backfill.evidence.checked_at IS 'When';

COMMENT ON TABLE backfill.waiver IS
  'Failed checks that somebody answered for, so that publishing may pass them; void after the next audit.';
COMMENT ON COLUMN backfill.waiver.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.waiver.id IS 'Order in which they were given';
COMMENT ON COLUMN backfill.waiver.audit IS 'Number of the audit whose result it waives';
COMMENT ON COLUMN backfill.waiver.check_name IS 'Name of the check';
COMMENT ON COLUMN backfill.waiver.reason IS 'Why it was waived';
COMMENT ON COLUMN backfill.waiver.waived_by IS 'Role that did';
COMMENT ON COLUMN backfill.waiver.waived_at IS 'When';

COMMENT ON TABLE backfill.event IS
  'Who did what, and when. Read it through backfill.events.';
COMMENT ON COLUMN backfill.event.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.event.id IS 'Order in which events came';
COMMENT ON COLUMN backfill.event.event IS 'What happened, in a word or two';
COMMENT ON COLUMN backfill.event.at IS 'When';
COMMENT ON COLUMN backfill.event.by IS 'Role that did it';
COMMENT ON COLUMN backfill.event.detail IS 'More about it: ids and counts, never row data';

COMMENT ON TABLE backfill.dependent IS
  'Objects bound to the target by OID, and what becomes of each at publish. Read it through backfill.dependents.';
COMMENT ON COLUMN backfill.dependent.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.dependent.id IS 'Order within the job';
COMMENT ON COLUMN backfill.dependent.object IS 'The object, as PostgreSQL describes it';
COMMENT ON COLUMN backfill.dependent.kind IS 'view, foreign key, trigger, index …';
COMMENT ON COLUMN backfill.dependent.fate IS 'moved, rebuilt, or blocks (there is no safe way to move it: the plan says so)';
COMMENT ON COLUMN backfill.dependent.detail IS 'How it moves, or why it blocks';
COMMENT ON COLUMN backfill.dependent.classid IS 'OID of the catalog it is in';
COMMENT ON COLUMN backfill.dependent.objid IS 'Its OID there';

COMMENT ON TABLE backfill.definition IS
  'Definitions of dependents that are worded otherwise since a published backfill added columns, for its rollback';
COMMENT ON COLUMN backfill.definition.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.definition.id IS 'Order within the job';
COMMENT ON COLUMN backfill.definition.found IS 'The statement that the definition since the publish amounts to';
COMMENT ON COLUMN backfill.definition.meant IS 'The statement that a rollback runs in its place';
COMMENT ON COLUMN backfill.job.launched_at IS 'When a coordinator was started that has not reported yet';
COMMENT ON COLUMN backfill.job.starts IS 'Coordinators in a row that have begun and neither worked for a minute nor left in order; the next one waits the longer for it';
COMMENT ON COLUMN backfill.job.running_since IS 'When it last became running; null when it is not';
COMMENT ON COLUMN backfill.job.ran_for IS 'Time it was running before that';
