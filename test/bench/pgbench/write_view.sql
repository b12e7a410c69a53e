\set id random(1, :rows)
UPDATE balances SET balance = balance + 1 WHERE id = :id;
