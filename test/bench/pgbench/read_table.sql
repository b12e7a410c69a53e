\set id random(1, :rows)
SELECT balance, filler FROM accounts WHERE id = :id;
