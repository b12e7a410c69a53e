-- The outbox of the webhook: what is to be told, to whom, and what came of it.
--
-- A row is written in the transaction of what it tells, by catalog/delivery.cpp, and only for a job whose spec names a
-- webhook.  No high-water mark over the events would do: they become visible in the order of commits, not of numbers.
-- The notifier (run/notifier.cpp) takes the oldest pending row of each job, so messages of one job come in order.
--
-- The table is not dumped: a copy of the database has nothing to tell anybody.

CREATE TABLE backfill.delivery (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id         bigint GENERATED ALWAYS AS IDENTITY,
  key        uuid NOT NULL DEFAULT gen_random_uuid(),
  event      text NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  detail     text,
  chunk      integer,
  status     text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'superseded', 'dead')),
  attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  give_up_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '24 h',
  body       text,
  error      text,
  ended_at   timestamptz,
  PRIMARY KEY (job_id, id),
  CHECK ((status = 'pending') = (ended_at IS NULL)),
  CHECK (status <> 'dead' OR error IS NOT NULL),
  CHECK ((event = 'chunk done') = (chunk IS NOT NULL))
);
CREATE INDEX delivery_pending ON backfill.delivery (job_id, id) WHERE status = 'pending';

COMMENT ON TABLE backfill.delivery IS
  'Messages to the webhook of a backfill, one row each. Read it through backfill.deliveries. Not dumped.';
COMMENT ON COLUMN backfill.delivery.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.delivery.id IS 'Order of the messages';
COMMENT ON COLUMN backfill.delivery.key IS 'Idempotency key: the same at every attempt';
COMMENT ON COLUMN backfill.delivery.event IS 'What is told: an event of backfill.event, phase, or chunk done';
COMMENT ON COLUMN backfill.delivery.at IS 'When it happened';
COMMENT ON COLUMN backfill.delivery.detail IS 'More about it: ids and counts, no text of an error, never row data';
COMMENT ON COLUMN backfill.delivery.chunk IS 'The chunk that is done';
COMMENT ON COLUMN backfill.delivery.status IS
  'pending, sent (answered with 2xx), superseded (progress that newer progress overtook) or dead (given up)';
COMMENT ON COLUMN backfill.delivery.attempts IS 'How often it was posted, the attempt under way included';
COMMENT ON COLUMN backfill.delivery.next_at IS 'Not before then';
COMMENT ON COLUMN backfill.delivery.give_up_at IS 'A failure after that is the last';
COMMENT ON COLUMN backfill.delivery.body IS 'What was posted, as written for the first attempt; null before it and once it has ended';
COMMENT ON COLUMN backfill.delivery.error IS 'What came of the last attempt, where it failed';
COMMENT ON COLUMN backfill.delivery.ended_at IS 'When it was sent, superseded or given up';

-- What would be posted now.  `text` is for people and for Slack, which takes <!channel> and <http://...|...> for
-- commands and links unless the three characters are written so.
CREATE VIEW backfill.message AS
SELECT d.job_id, d.id,
       json_build_object(
         'text', replace(replace(replace(left(concat(
                   j.name, ': ',
                   CASE d.event WHEN 'chunk done' THEN format('chunk %s of %s done', d.chunk, j.chunks_total)
                                WHEN 'phase' THEN format('%s begins', d.detail)
                                ELSE concat_ws(', ', d.event, d.detail) END,
                   CASE WHEN d.chunk IS NOT NULL THEN
                     format(', %s rows, %s %%', s.rows, j.progress)
                     || CASE WHEN j.eta <> '-' THEN format(', %s left', j.eta) ELSE '' END END,
                   CASE WHEN d.event IN ('failed', 'step failed') THEN '; see backfill.steps' END), 2000),
                   '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
         'key', d.key,
         'event', d.event,
         'at', to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
         'detail', d.detail,
         'database', current_database(),
         'backfill', json_build_object(
           'id', j.id, 'name', j.name, 'target', j.target, 'state', j.state, 'phase', j.phase, 'progress', j.progress,
           'chunks_done', j.chunks_done, 'chunks_total', j.chunks_total, 'rows_done', j.rows_done,
           'rows_estimated', j.rows_estimated, 'elapsed_seconds', round(extract(epoch FROM j.elapsed), 1), 'eta', j.eta,
           'next_command', j.next_command),
         'chunk', CASE WHEN d.chunk IS NOT NULL THEN json_build_object(
           'chunk', s.chunk, 'kind', s.kind, 'lo', s.lo, 'hi', s.hi, 'rows', s.rows, 'attempts', s.attempts,
           'seconds', round(extract(epoch FROM s.finished_at - s.started_at), 1)) END)::text AS body
  FROM backfill.delivery AS d
  JOIN backfill.job_status AS j ON j.id = d.job_id
  LEFT JOIN backfill.step AS s ON s.job_id = d.job_id AND s.chunk = d.chunk;
COMMENT ON VIEW backfill.message IS 'What would be posted for a row of backfill.delivery now. For the notifier.';
COMMENT ON COLUMN backfill.message.job_id IS 'Job it belongs to';
COMMENT ON COLUMN backfill.message.id IS 'Number of the message';
COMMENT ON COLUMN backfill.message.body IS 'The JSON, as docs/reference.md tells field by field';

CREATE VIEW backfill.deliveries WITH (security_barrier) AS
SELECT j.id, j.name, d.id AS number, d.event, d.chunk, d.at, d.status, d.attempts,
       CASE WHEN d.status = 'pending' THEN d.next_at END AS next_at,
       d.ended_at,
       lower(substring(j.spec #>> '{monitoring,progress_webhook}' FROM '^[A-Za-z]+://([^/?]+)')) AS host,
       CASE WHEN d.status <> 'pending' THEN NULL
            WHEN d.id > min(d.id) FILTER (WHERE d.status = 'pending') OVER (PARTITION BY d.job_id) THEN 'the messages before it'
            WHEN d.error IS NOT NULL THEN 'another try: ' || d.error
            ELSE 'the notifier' END AS waiting_for,
       d.error,
       d.key,
       CASE WHEN d.status = 'dead' THEN format('SELECT backfill_redeliver(%L);', j.name) END AS next_command
  FROM backfill.delivery AS d
  JOIN backfill.job AS j ON j.id = d.job_id
 WHERE backfill.may_see(j.owner)
 ORDER BY d.job_id, d.id;
COMMENT ON VIEW backfill.deliveries IS 'Messages to webhooks, and what came of them. Visible as jobs.';
COMMENT ON COLUMN backfill.deliveries.id IS 'Number of the job';
COMMENT ON COLUMN backfill.deliveries.name IS 'Name of the backfill';
COMMENT ON COLUMN backfill.deliveries.number IS 'Order of the messages';
COMMENT ON COLUMN backfill.deliveries.event IS 'What is told: an event, phase, or chunk done';
COMMENT ON COLUMN backfill.deliveries.chunk IS 'The chunk that is done';
COMMENT ON COLUMN backfill.deliveries.at IS 'When it happened';
COMMENT ON COLUMN backfill.deliveries.status IS 'pending, sent, superseded (by newer progress) or dead (given up)';
COMMENT ON COLUMN backfill.deliveries.attempts IS 'How often it was posted';
COMMENT ON COLUMN backfill.deliveries.next_at IS 'When it is posted next, at the earliest';
COMMENT ON COLUMN backfill.deliveries.ended_at IS 'When it was sent, superseded or given up';
COMMENT ON COLUMN backfill.deliveries.host IS 'Host of the webhook; the rest of its URL is a secret';
COMMENT ON COLUMN backfill.deliveries.waiting_for IS 'What it waits for, in words';
COMMENT ON COLUMN backfill.deliveries.error IS 'What came of the last attempt, where it failed';
COMMENT ON COLUMN backfill.deliveries.key IS 'Idempotency key: the same at every attempt';
COMMENT ON COLUMN backfill.deliveries.next_command IS 'The statement that sends again what was given up';

CREATE FUNCTION @extschema@.backfill_redeliver(name text) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'backfill_redeliver';
COMMENT ON FUNCTION @extschema@.backfill_redeliver(text) IS
  'Sends the messages of a backfill''s webhook again that were given up, and those that wait for another try at once. Returns how many. Errors: 42704 unknown, 42501 not a member of the target''s owner. Locks: none but the rows of those messages.';
