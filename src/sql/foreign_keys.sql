-- Foreign keys that a swap has taken out of force: renamed after their own OID, their triggers disabled on both sides.
-- Step `release` drops them when it gets the locks.

CREATE FUNCTION backfill.is_retired_key(key oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (SELECT FROM pg_constraint k
                WHERE k.oid = key AND k.contype = 'f' AND k.conname LIKE '%\_retired\_' || k.oid
                  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'D'));
COMMENT ON FUNCTION backfill.is_retired_key(oid) IS
  'Whether this constraint is a foreign key that a publish or rollback has taken out of force, to be dropped when nobody uses its tables. Takes no locks.';

CREATE FUNCTION backfill.retire_key(key oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'backfill_retire_key';
COMMENT ON FUNCTION backfill.retire_key(oid) IS
  'Takes a foreign key out of force: disables its triggers and renames it after its OID. Called in a swap. Errors: 42501 unless superuser, 42704. Locks: SHARE ROW EXCLUSIVE on both tables.';

CREATE FUNCTION backfill.may_read(role oid, relation oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT has_table_privilege(r.oid, c.oid, 'SELECT') AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
               AND (NOT c.relrowsecurity OR r.rolsuper OR r.rolbypassrls
                    OR (pg_has_role(r.oid, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity))
          FROM pg_class c, pg_roles r WHERE c.oid = relation AND r.oid = role);
COMMENT ON FUNCTION backfill.may_read(oid, oid) IS
  'Whether a role may read every row of a table: privileges, and no row security that would hide some. Null where one of them does not exist. Takes no locks.';

REVOKE ALL ON FUNCTION backfill.retire_key(oid) FROM PUBLIC;
