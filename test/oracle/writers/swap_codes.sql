\set a random(1, :top)
\set b random(1, :top)
SELECT nextval('oracle.fresh') AS c \gset
BEGIN;
SELECT oracle.own(:a, :b);
SELECT oracle.swap_codes(:a, :b, 's' || :c);
COMMIT;
