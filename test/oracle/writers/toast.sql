-- Large values change, appear and go; and stay where they are while others change.
\set a random(1, :top / 100) * 100
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(:a);
UPDATE orders SET body = oracle.body(:n % 5), doc = doc || '{"more": 1.0}' WHERE id = :a;
UPDATE control SET body = oracle.body(:n % 5), doc = doc || '{"more": 1.0}' WHERE id = :a;
UPDATE orders SET raw = CASE WHEN :n % 3 > 0 THEN repeat('new', :n % 5000) END WHERE id = :a AND :n % 2 = 0;
UPDATE control SET raw = CASE WHEN :n % 3 > 0 THEN repeat('new', :n % 5000) END WHERE id = :a AND :n % 2 = 0;
COMMIT;
