\set a random(1, :top)
\set n random(1, 1000000)
SELECT nextval('oracle.fresh') AS c \gset
BEGIN;
SELECT oracle.own(:a);
INSERT INTO orders AS o (id, part, at, code, amount, region)
  VALUES (:a, :a % 3 + 1, oracle.moment(:n), 'u' || :c, oracle.amount(:n), :n % 50 + 1)
  ON CONFLICT (@key@) DO UPDATE SET amount = excluded.amount, doc = o.doc
  RETURNING serial \gset
INSERT INTO control AS o (id, part, at, code, amount, region, serial)
  VALUES (:a, :a % 3 + 1, oracle.moment(:n), 'u' || :c, oracle.amount(:n), :n % 50 + 1, :serial)
  ON CONFLICT (@key@) DO UPDATE SET amount = excluded.amount, doc = o.doc;
COMMIT;
