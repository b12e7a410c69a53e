-- What a swap does that SQL has no statement for.  Nobody but the extension may call it.

CREATE FUNCTION backfill.replace_query(matview oid, query text) RETURNS void
  LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'backfill_replace_query';
COMMENT ON FUNCTION backfill.replace_query(oid, text) IS
  'Gives a materialized view another query with the same columns; contents and OID stay. Errors: 42809, 42P16. Locks: SHARE UPDATE EXCLUSIVE on it';

CREATE FUNCTION backfill.has_key(matview oid) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
  SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
   WHERE i.indrelid = matview AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
     AND a.amname = 'btree');
COMMENT ON FUNCTION backfill.has_key(oid) IS
  'Whether a materialized view has an index that REFRESH … CONCURRENTLY takes. Takes no locks';

CREATE FUNCTION backfill.refresh_way(matview oid) RETURNS text
LANGUAGE sql STABLE
RETURN (
  SELECT CASE WHEN NOT relispopulated THEN 'not populated'
              WHEN backfill.has_key(oid) THEN 'refreshed concurrently after publish'
              ELSE 'refreshed after publish, a second copy for the time (' || pg_size_pretty(pg_total_relation_size(oid)) || ')' END
    FROM pg_class WHERE oid = matview);
COMMENT ON FUNCTION backfill.refresh_way(oid) IS
  'How a materialized view comes to new contents after a swap, as a phrase. Takes no locks';

REVOKE ALL ON FUNCTION backfill.replace_query(oid, text), backfill.has_key(oid), backfill.refresh_way(oid) FROM PUBLIC;
