\set id random(1, :rows)
SELECT balance FROM balances WHERE id = :id;
