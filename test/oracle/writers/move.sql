-- From chunk to chunk, out of the scope and into it, to NULL and to infinity.
\set a case when random(1, 4) = 1 then 1000000 + random(1, 1000) else random(1, :top) end
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(:a);
UPDATE orders SET at = oracle.moment(:n) WHERE id = :a;
UPDATE control SET at = oracle.moment(:n) WHERE id = :a;
COMMIT;
