-- Rows that nobody changes are always there, and only once, for every statement and for a snapshot that is kept.
SELECT oracle.expect(count(*) = 100, 'one hundred rows stay') FROM orders WHERE id < 0;
SELECT oracle.expect(count(*) > 0, 'the view shows rows') FROM january;
-- TRUNCATE takes rows from under a snapshot: the two keep out of each other's way.
SELECT pg_advisory_lock_shared(1, 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT oracle.expect(count(*) = 100, 'the control has them') FROM control WHERE id < 0;
SELECT oracle.expect(count(*) = 100, 'one hundred rows stay in a snapshot') FROM orders WHERE id < 0;
COMMIT;
SELECT pg_advisory_unlock_shared(1, 1);
