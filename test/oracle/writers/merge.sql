\set a random(1, :top)
\set n random(1, 1000000)
SELECT nextval('oracle.fresh') AS c \gset
BEGIN;
SELECT oracle.own(:a);
MERGE INTO orders AS o USING (VALUES (:a::bigint, :n::bigint, :c::bigint)) AS s (id, n, c) ON o.id = s.id
  WHEN MATCHED AND s.n % 5 = 0 THEN DELETE
  WHEN MATCHED THEN UPDATE SET amount = oracle.amount(s.n), at = oracle.moment(s.n)
  WHEN NOT MATCHED THEN INSERT (id, part, at, code, amount, serial)
    VALUES (s.id, s.id % 3 + 1, oracle.moment(s.n), 'm' || s.c, oracle.amount(s.n), 1000000000 + s.c);
SELECT oracle.after_delete(:a);
MERGE INTO control AS o USING (VALUES (:a::bigint, :n::bigint, :c::bigint)) AS s (id, n, c) ON o.id = s.id
  WHEN MATCHED AND s.n % 5 = 0 THEN DELETE
  WHEN MATCHED THEN UPDATE SET amount = oracle.amount(s.n), at = oracle.moment(s.n)
  WHEN NOT MATCHED THEN INSERT (id, part, at, code, amount, serial)
    VALUES (s.id, s.id % 3 + 1, oracle.moment(s.n), 'm' || s.c, oracle.amount(s.n), 1000000000 + s.c);
COMMIT;
