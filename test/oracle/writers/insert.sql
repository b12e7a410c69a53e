-- A new row; its number comes from the identity of orders.
\set n random(1, 1000000)
SELECT nextval('oracle.fresh') AS a \gset
BEGIN;
SELECT oracle.own(:a);
INSERT INTO orders (id, part, at, code, amount, region, body, doc)
  VALUES (:a, :a % 3 + 1, oracle.moment(:n), 'c' || :a, oracle.amount(:n), :n % 50 + 1, oracle.body(:n), oracle.doc(:n))
  RETURNING serial \gset
INSERT INTO control (id, part, at, code, amount, region, body, doc, serial)
  VALUES (:a, :a % 3 + 1, oracle.moment(:n), 'c' || :a, oracle.amount(:n), :n % 50 + 1, oracle.body(:n), oracle.doc(:n), :serial);
COMMIT;
