-- A row gets another key, free, fresh or that of a row just deleted; two rows change keys.
\set a random(1, :top)
\set b random(1, :top)
\set way random(1, 3)
SELECT nextval('oracle.fresh') AS c \gset
BEGIN;
SELECT oracle.own(:a, :b, :c);
\if :way = 1
UPDATE orders SET id = :c, part = part % 3 + 1 WHERE id = :a;
UPDATE control SET id = :c, part = part % 3 + 1 WHERE id = :a;
\elif :way = 2
DELETE FROM orders WHERE id = :b AND :a <> :b;
UPDATE orders SET id = :b WHERE id = :a AND :a <> :b;
DELETE FROM control WHERE id = :b AND :a <> :b;
UPDATE control SET id = :b WHERE id = :a AND :a <> :b;
\else
UPDATE orders SET id = :c WHERE id = :a;
UPDATE orders SET id = :a WHERE id = :b;
UPDATE orders SET id = :b WHERE id = :c;
UPDATE control SET id = :c WHERE id = :a;
UPDATE control SET id = :a WHERE id = :b;
UPDATE control SET id = :b WHERE id = :c;
\endif
COMMIT;
