-- What the check `exact` compares versions by.

CREATE FUNCTION backfill.image_hash(image record, seed bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'backfill_image_hash';
COMMENT ON FUNCTION backfill.image_hash(record, bigint) IS
  'A row''s image as a number: what the operator *= calls equal gives the same, anything else another, but for one case in 2^64. Takes no locks.';

CREATE FUNCTION backfill.stored_sum_step(sum bigint, relation oid, place tid, seed bigint) RETURNS bigint
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'backfill_stored_sum_step';
COMMENT ON FUNCTION backfill.stored_sum_step(bigint, oid, tid, bigint) IS
  'A step of backfill.stored_sum. Takes ACCESS SHARE on the table; 42501 unless its owner calls.';

CREATE FUNCTION backfill.stored_sum_join(sum bigint, other bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'backfill_stored_sum_join';
COMMENT ON FUNCTION backfill.stored_sum_join(bigint, bigint) IS 'Adds up what parallel workers of backfill.stored_sum found.';

CREATE AGGREGATE backfill.stored_sum(relation oid, place tid, seed bigint) (
  SFUNC = backfill.stored_sum_step, STYPE = bigint, INITCOND = '0', COMBINEFUNC = backfill.stored_sum_join, PARALLEL = SAFE
);
COMMENT ON AGGREGATE backfill.stored_sum(oid, tid, bigint) IS
  'The sum of rows of a heap table (its tableoid, their ctid) by their stored bytes: where two tables have the same, their rows have the same images, but for one case in 2^64. For the table''s owner.';
