-- What a webhook may be, and that nobody is shown the secret in its URL.  (What it is told: test/t/130_webhook.pl.)
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA webhook;
SET search_path = webhook, public;
CREATE TABLE orders (id bigint PRIMARY KEY, day date, tier text);
INSERT INTO orders SELECT i, date '2024-01-01' + i, 'old' FROM generate_series(0, 9) AS i;
ANALYZE orders;

CREATE FUNCTION refused(monitoring text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  what text;
  why text;
  remedy text;
BEGIN
  PERFORM backfill_plan(format('{name: orders_tier, scope: {table: orders, column: day, start: 2024-01-01, stop: 2024-01-11},
    transform: {set: {tier: "''new''"}}, strategy: {chunk_by: day}, monitoring: %s}', monitoring));
  RETURN 'planned';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, why = PG_EXCEPTION_DETAIL, remedy = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ' ' || what, why, remedy);
END $$;

-- Not on the list, which is empty.
SELECT refused('{progress_webhook: "https://hooks.slack.com/services/s3cret"}');
SELECT refused('{progress_webhook: "https://slack.../webhook", update_frequency: per_chunk}');
SELECT refused('{progress_webhook: "http://localhost:8080/s3cret"}');
SELECT refused('{progress_webhook: "https://169.254.169.254/latest/s3cret"}');

-- No URL of a webhook.
SELECT refused('{progress_webhook: s3cret}');
SELECT refused('{progress_webhook: "file:///etc/s3cret"}');
SELECT refused('{progress_webhook: "http://10.0.0.1/s3cret"}');
SELECT refused('{progress_webhook: "https://user:s3cret@hooks.slack.com/"}');
SELECT refused('{progress_webhook: "https://hooks.slack.com/s3cret#x"}');
SELECT refused('{progress_webhook: "https://hooks.slack.com\\@example.com/s3cret"}');
SELECT refused('{progress_webhook: "https://hooks.slack.com:99999/s3cret"}');
SELECT refused('{progress_webhook: ["https://hooks.slack.com/s3cret"]}');
SELECT refused('{progress_webhook: "https://hooks.slack.com/s3cret", update_frequency: hourly}');
SELECT refused('{webhook: "https://hooks.slack.com/s3cret"}');

-- Nothing was stored.
SELECT count(*) FROM backfill.jobs WHERE name = 'orders_tier';

-- Without a webhook there is nothing to deliver.
SELECT line FROM backfill_plan('{name: orders_tier, scope: {table: orders, column: day, start: 2024-01-01, stop: 2024-01-11},
  transform: {set: {tier: "''new''"}}, strategy: {chunk_by: day}, monitoring: {update_frequency: per_phase}}') AS line
WHERE line ~ 'Webhook|update_frequency';
SELECT count(*) FROM backfill.deliveries WHERE name = 'orders_tier';
SELECT backfill_redeliver('orders_tier');
SELECT backfill_redeliver('no such thing');
SELECT backfill_cancel('orders_tier') ~ '^cancelled' AS cancelled;

-- The outbox is not for everybody.
CREATE ROLE webhook_stranger;
SET ROLE webhook_stranger;
SELECT count(*) FROM backfill.deliveries;
SELECT count(*) FROM backfill.delivery;
SELECT count(*) FROM backfill.message;
RESET ROLE;

DROP ROLE webhook_stranger;
DROP SCHEMA webhook CASCADE;
