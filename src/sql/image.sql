-- What the check `exact` compares versions by.

CREATE FUNCTION backfill.image_hash(image record, seed bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'backfill_image_hash';
COMMENT ON FUNCTION backfill.image_hash(record, bigint) IS
  'A row''s image as a number: what the operator *= calls equal gives the same, anything else another, but for one case in 2^64. Takes no locks.';
