\set a case when random(1, 4) = 1 then 1000000 + random(1, 1000) else random(1, :top) end
BEGIN;
SELECT oracle.own(:a);
DELETE FROM orders WHERE id = :a;
SELECT oracle.after_delete(:a);
DELETE FROM control WHERE id = :a;
COMMIT;
