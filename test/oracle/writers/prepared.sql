-- Two-phase commit: between the phases no session holds the locks.
\set a random(1, :top)
\set n random(1, 1000000)
BEGIN;
SELECT oracle.own(:a);
UPDATE orders SET amount = oracle.amount(:n) WHERE id = :a;
UPDATE control SET amount = oracle.amount(:n) WHERE id = :a;
PREPARE TRANSACTION 'oracle :client_id';
\if :n % 3 = 0
ROLLBACK PREPARED 'oracle :client_id';
\else
COMMIT PREPARED 'oracle :client_id';
\endif
