-- What a swap does that SQL has no statement for.  Nobody but the extension may call it.

CREATE FUNCTION backfill.replace_query(matview oid, query text) RETURNS void
  LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'backfill_replace_query';
COMMENT ON FUNCTION backfill.replace_query(oid, text) IS
  'Gives a materialized view another query with the same columns; contents and OID stay. Errors: 42809, 42P16. Locks: SHARE UPDATE EXCLUSIVE on it';
REVOKE ALL ON FUNCTION backfill.replace_query(oid, text) FROM PUBLIC;
