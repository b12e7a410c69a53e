-- What the scripts beside this one work on: accounts (ids 1 to :rows) and a view of it.
CREATE TABLE accounts (
  id      bigint PRIMARY KEY,
  opened  date NOT NULL,
  balance bigint NOT NULL DEFAULT 0,
  tier    text,
  filler  text
);
INSERT INTO accounts SELECT i, date '2024-01-01' + (i % 100)::integer, 0, NULL, repeat('x', 80) FROM generate_series(1, :rows) AS i;
CREATE INDEX accounts_opened ON accounts (opened);
CREATE VIEW balances AS SELECT id, opened, balance FROM accounts;
VACUUM (ANALYZE) accounts;
