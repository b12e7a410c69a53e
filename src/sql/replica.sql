-- Reads from a replica: the mark by which a standby is known to have replayed what it must, and what became of it.

CREATE TABLE backfill.replica (
  job_id        integer PRIMARY KEY REFERENCES backfill.job ON DELETE CASCADE,
  mark          uuid NOT NULL,
  marked_at     pg_lsn NOT NULL,
  reads         text CHECK (reads IN ('replica', 'primary')),
  since         timestamptz,
  problem       text,
  trouble_since timestamptz,
  primary_until timestamptz,
  CHECK ((reads IS NULL) = (since IS NULL)),
  CHECK ((problem IS NULL) = (trouble_since IS NULL))
);
COMMENT ON TABLE backfill.replica IS
  'One job that reads from a replica, from its first chunk on. Read it through backfill.replica_reads.';
COMMENT ON COLUMN backfill.replica.job_id IS 'Number of the job';
COMMENT ON COLUMN backfill.replica.mark IS 'Written here after capture began: a replica that shows it has replayed all that capture does not tell of';
COMMENT ON COLUMN backfill.replica.marked_at IS 'Position in the WAL that the mark comes after; for people';
COMMENT ON COLUMN backfill.replica.reads IS 'Where chunks are read now: replica or primary; null before the first';
COMMENT ON COLUMN backfill.replica.since IS 'Since when they are read there';
COMMENT ON COLUMN backfill.replica.problem IS 'Why the replica could not be read when it was last looked at; null where it could';
COMMENT ON COLUMN backfill.replica.trouble_since IS 'Since when it could not';
COMMENT ON COLUMN backfill.replica.primary_until IS 'With fallback to the primary: when the replica will be looked at again';

CREATE FUNCTION backfill.is_replayed(job_id integer, mark uuid) RETURNS boolean
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM backfill.replica AS r WHERE r.job_id = is_replayed.job_id AND r.mark = is_replayed.mark);
COMMENT ON FUNCTION backfill.is_replayed(integer, uuid) IS
  'Asked on a replica: has it replayed this mark of this job? The mark is random, so that who asks must know it. Takes no locks but ACCESS SHARE on backfill.replica.';

CREATE VIEW backfill.replica_reads WITH (security_barrier) AS
SELECT j.id, j.name, COALESCE(j.spec #>> '{read_from,server}', j.spec ->> 'read_from') AS server,
       r.reads, r.since, r.problem, r.trouble_since, r.marked_at,
       COALESCE(s.rows_from_replica, 0) AS rows_from_replica,
       COALESCE(s.rows, 0) - COALESCE(s.rows_from_replica, 0) AS rows_from_primary
  FROM backfill.job AS j
  LEFT JOIN backfill.replica AS r ON r.job_id = j.id
       CROSS JOIN LATERAL (SELECT sum(c.rows)::bigint AS rows,
                                  sum(LEAST(COALESCE((c.params ->> 'replica_rows')::bigint, 0), c.rows))::bigint AS rows_from_replica
                             FROM backfill.step AS c WHERE c.job_id = j.id AND c.chunk IS NOT NULL) AS s
 WHERE j.spec -> 'read_from' IS NOT NULL AND backfill.may_see(j.owner)
 ORDER BY j.id;
COMMENT ON VIEW backfill.replica_reads IS 'Backfills whose spec says read_from, and where their chunks are read. Visible as jobs.';
COMMENT ON COLUMN backfill.replica_reads.id IS 'Number of the job';
COMMENT ON COLUMN backfill.replica_reads.name IS 'Name of the backfill';
COMMENT ON COLUMN backfill.replica_reads.server IS 'Foreign server that leads to the replica';
COMMENT ON COLUMN backfill.replica_reads.reads IS 'Where chunks are read now: replica or primary; null before the first';
COMMENT ON COLUMN backfill.replica_reads.since IS 'Since when they are read there';
COMMENT ON COLUMN backfill.replica_reads.problem IS 'Why the replica could not be read when it was last looked at; null where it could';
COMMENT ON COLUMN backfill.replica_reads.trouble_since IS 'Since when it could not';
COMMENT ON COLUMN backfill.replica_reads.marked_at IS 'Position in the WAL that the replica must have replayed before it is read';
COMMENT ON COLUMN backfill.replica_reads.rows_from_replica IS 'Rows of chunks read from the replica';
COMMENT ON COLUMN backfill.replica_reads.rows_from_primary IS 'Rows of chunks read from this server';
