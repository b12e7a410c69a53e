-- Who may do what.  The tables are the extension's own; the views filter by row.  The functions check that their caller
-- is a member of the target's owner role; to keep planning or publishing to fewer people still, revoke EXECUTE from
-- PUBLIC and grant it to a role.

REVOKE ALL ON ALL TABLES IN SCHEMA backfill FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA backfill FROM PUBLIC;
GRANT USAGE ON SCHEMA backfill TO PUBLIC;
GRANT SELECT ON backfill.jobs, backfill.way_back, backfill.chunks, backfill.steps, backfill.checks, backfill.events, backfill.dependents, backfill.downstream TO PUBLIC;
GRANT SELECT ON backfill.replica_reads TO PUBLIC;
GRANT SELECT ON backfill.deliveries TO PUBLIC;

-- A dump keeps the record of what was done.  Jobs that were at work come back suspended: they know the database they
-- were planned in, and no function works on them elsewhere.
SELECT pg_catalog.pg_extension_config_dump('backfill.job', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.step', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.evidence', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.waiver', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.event', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.dependent', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.definition', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.replica', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.step_token', '');
