-- What is rolled back did not happen, in a savepoint or as a whole.
\set a case when random(1, 4) = 1 then 1000000 + random(1, 1000) else random(1, :top) end
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(:a);
SAVEPOINT one;
DELETE FROM orders WHERE id = :a;
DELETE FROM control WHERE id = :a;
SAVEPOINT two;
ROLLBACK TO one;
UPDATE orders SET at = oracle.moment(:n) WHERE id = :a;
UPDATE control SET at = oracle.moment(:n) WHERE id = :a;
RELEASE one;
SELECT oracle.stumble(:a, :n);
\if :n % 4 = 0
ROLLBACK;
\else
COMMIT;
\endif
