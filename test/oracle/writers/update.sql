-- Values from which others derive.
\set a case when random(1, 4) = 1 then 1000000 + random(1, 1000) else random(1, :top) end
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(:a);
UPDATE orders SET amount = oracle.amount(:n), region = :n % 50 + 1 WHERE id = :a;
UPDATE control SET amount = oracle.amount(:n), region = :n % 50 + 1 WHERE id = :a;
COMMIT;
