-- Jobs that a dump or a copy has brought from another database.  They are suspended: their OIDs mean nothing here, their
-- triggers do nothing, and all that can be done with them is backfill_cancel.

CREATE FUNCTION backfill.is_home(home text) RETURNS boolean
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN home = (SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database());
COMMENT ON FUNCTION backfill.is_home(text) IS
  'Whether this is the database in which a job was planned (backfill.job.home). Takes no locks.';

-- A restored job belongs to whoever owns its table here; where the table is not here, to the role of that name.
CREATE FUNCTION backfill.arrive() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'backfill_arrive';
COMMENT ON FUNCTION backfill.arrive() IS
  'BEFORE INSERT on backfill.job: a job of another database gets the owner that its table has here';
REVOKE ALL ON FUNCTION backfill.arrive() FROM PUBLIC;
CREATE TRIGGER arrive BEFORE INSERT ON backfill.job FOR EACH ROW EXECUTE FUNCTION backfill.arrive();
ALTER TABLE backfill.job ENABLE ALWAYS TRIGGER arrive;

-- Records come with the numbers they have; what is recorded later counts on from there.
SELECT pg_catalog.pg_extension_config_dump('backfill.event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.evidence_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('backfill.waiver_id_seq', '');
