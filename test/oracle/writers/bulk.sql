-- Many rows by one statement.
\set a random(1, :top)
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(VARIADIC ARRAY(SELECT generate_series(:a, :a + 9)));
UPDATE orders SET amount = oracle.amount(id + :n), doc = NULL WHERE id BETWEEN :a AND :a + 9;
UPDATE control SET amount = oracle.amount(id + :n), doc = NULL WHERE id BETWEEN :a AND :a + 9;
COMMIT;
