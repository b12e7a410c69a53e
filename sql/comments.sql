-- Everything of the extension that a person may look at is explained where psql shows it (\d+, \df+).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;

CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'backfill');

-- There is something to look at.
SELECT count(*) > 0 AS functions FROM member WHERE classid = 'pg_proc'::regclass;
SELECT count(*) > 0 AS relations FROM member WHERE classid = 'pg_class'::regclass;

-- Functions, tables, views, the schema.  Sequences have nothing that a person looks at.
SELECT pg_describe_object(classid, objid, 0) AS unexplained
FROM member
WHERE classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
  AND NOT EXISTS (SELECT FROM pg_sequence WHERE classid = 'pg_class'::regclass AND seqrelid = objid)
  AND obj_description(objid, classid::regclass::name) IS NULL
ORDER BY 1;

-- Columns of tables and views.
SELECT attrelid::regclass AS relation, attname AS unexplained_column
FROM member JOIN pg_class ON pg_class.oid = objid JOIN pg_attribute ON attrelid = objid
WHERE classid = 'pg_class'::regclass AND relkind IN ('r', 'p', 'v', 'm')
  AND attnum > 0 AND NOT attisdropped AND col_description(objid, attnum) IS NULL
ORDER BY attrelid::regclass::text, attnum;

-- Functions that people call have named arguments, so that \df and named notation tell what they are.
SELECT pg_describe_object(classid, objid, 0) AS nameless_arguments
FROM member JOIN pg_proc ON pg_proc.oid = objid
WHERE classid = 'pg_proc'::regclass AND proname LIKE 'backfill\_%' AND pronargs > 0
  AND (proargnames IS NULL OR '' = ANY (proargnames))
ORDER BY 1;
