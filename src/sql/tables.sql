-- The catalog: what a job is, what it will do, what it did, what was found.
--
-- job 1 - n step        all that the job will do, written at plan time; a step's status is its checkpoint
-- job 1 - n evidence    results of checks, append-only
-- job 1 - n waiver      failed checks somebody answered for
-- job 1 - n event       who did what when
-- job 1 - n dependent   objects bound to the target by OID, and their fate
--
-- Nobody but the extension writes here; people read the views.

-- Whoever may create objects in the schema chosen by CREATE EXTENSION is not to have a say in what an operator or function
-- of ours means.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA backfill;

CREATE TABLE backfill.job (
  id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name             text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
  state            text NOT NULL DEFAULT 'planned'
                   CHECK (state IN ('planned', 'running', 'ready', 'published', 'paused', 'failed', 'finished', 'cancelled')),
  request          text CHECK (request IN ('pause')),
  strategy         text NOT NULL CHECK (strategy IN ('swap', 'merge')),
  spec             json NOT NULL,         -- json keeps the order of the keys: added columns come in it
  description      text,
  requested_by     text,
  responsible      text,
  reason           text,
  success_criteria text,
  planned_by       text NOT NULL,
  -- the target, by name for people and after a restore, by OID while the job lives
  target_schema    name NOT NULL,
  target_name      name NOT NULL,
  live             oid NOT NULL,
  shadow           oid,
  archive          oid,
  capture_log      oid,
  reverse_log      oid,
  home             text NOT NULL,
  owner            oid NOT NULL,
  owner_name       name NOT NULL,
  shadow_name      name NOT NULL,
  archive_name     name NOT NULL,
  -- what was true at plan time, and must still be
  search_path      text NOT NULL,
  chunk_column     name,
  chunk_type       oid,
  start            text,
  stop             text,
  exclude          text[] NOT NULL DEFAULT '{}',
  time_zone        text NOT NULL,
  settings         text[] NOT NULL DEFAULT '{}',
  key_columns      name[] NOT NULL CHECK (cardinality(key_columns) > 0),
  fingerprint      text NOT NULL,
  -- knobs that may be turned while it runs
  parallelism      integer NOT NULL CHECK (parallelism BETWEEN 1 AND 64),
  retention        interval NOT NULL CHECK (retention >= interval '0'),
  -- progress of the whole
  rows_estimated   bigint NOT NULL DEFAULT 0 CHECK (rows_estimated >= 0),
  bytes_estimated  bigint NOT NULL DEFAULT 0 CHECK (bytes_estimated >= 0),
  copied_file      oid,
  copied_columns   text,
  capture_seal     text,
  copy_horizon     xid8,
  audit            integer NOT NULL DEFAULT 0 CHECK (audit >= 0),
  waiting_for      text,
  held_for         text,
  obstacle         text,
  planned_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at       timestamptz,
  launched_at      timestamptz,           -- a coordinator was started and has not reported yet
  starts           integer NOT NULL DEFAULT 0 CHECK (starts >= 0),
  running_since    timestamptz,
  ran_for          interval NOT NULL DEFAULT '0',
  ready_at         timestamptz,
  published_at     timestamptz,
  ended_at         timestamptz,
  archive_until    timestamptz,
  sqlstate         text,
  error            text,
  error_detail     text,
  error_hint       text,
  CHECK ((state IN ('finished', 'cancelled')) = (ended_at IS NOT NULL)),
  CHECK (state <> 'published' OR (published_at IS NOT NULL AND archive IS NOT NULL AND archive_until IS NOT NULL)),
  CHECK (state NOT IN ('planned', 'finished', 'cancelled') OR request IS NULL),
  CHECK (state <> 'failed' OR error IS NOT NULL),
  CHECK (state <> 'planned' OR (started_at IS NULL AND shadow IS NULL)),
  CHECK ((state = 'running') = (running_since IS NOT NULL)),
  CHECK ((start IS NULL) = (stop IS NULL)),
  CHECK (start IS NULL OR chunk_column IS NOT NULL)
);
-- One active job a name, and one a table: the capture of a second would fight the swap of the first.
CREATE UNIQUE INDEX job_active_name ON backfill.job (name) WHERE state NOT IN ('finished', 'cancelled');
CREATE UNIQUE INDEX job_active_live ON backfill.job (home, live) WHERE state NOT IN ('finished', 'cancelled');
CREATE INDEX job_name ON backfill.job (name, id DESC);

CREATE TABLE backfill.step (
  job_id         integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id             integer NOT NULL,
  stage          integer NOT NULL,
  phase          text NOT NULL
                 CHECK (phase IN ('prepare', 'copy', 'build', 'catch up', 'audit', 'publish', 'after')),
  kind           text NOT NULL,
  title          text NOT NULL,
  chunk          integer,
  lo             text,
  hi             text,
  done_to        text,
  params         jsonb NOT NULL DEFAULT '{}',
  status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'done', 'failed', 'skipped')),
  replace        boolean NOT NULL DEFAULT false,
  attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  token          bigint,
  pid            integer,
  not_before     timestamptz,
  waiting_for    text,
  rows           bigint NOT NULL DEFAULT 0 CHECK (rows >= 0),
  rows_estimated bigint NOT NULL DEFAULT 0 CHECK (rows_estimated >= 0),
  batches        integer NOT NULL DEFAULT 0 CHECK (batches >= 0),
  started_at     timestamptz,
  finished_at    timestamptz,
  sqlstate       text,
  error          text,
  error_detail   text,
  error_hint     text,
  PRIMARY KEY (job_id, id),
  UNIQUE (job_id, chunk),
  CHECK ((status = 'running') = (pid IS NOT NULL)),
  CHECK (status <> 'running' OR (token IS NOT NULL AND started_at IS NOT NULL)),
  CHECK (status <> 'failed' OR error IS NOT NULL),
  CHECK (status NOT IN ('done', 'skipped') OR (finished_at IS NOT NULL AND error IS NULL)),
  CHECK ((kind IN ('range', 'blocks')) = (chunk IS NOT NULL)),
  CHECK (NOT replace OR chunk IS NOT NULL)
);
-- What is left to be done, in its order: stages one after the other, steps of one stage at the same time.  What a claim costs
-- does not depend on how many steps there are, or are done.
CREATE INDEX step_open ON backfill.step (job_id, status, replace, stage, id) WHERE status NOT IN ('done', 'skipped');
CREATE SEQUENCE backfill.step_token;

CREATE TABLE backfill.evidence (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id         bigint GENERATED ALWAYS AS IDENTITY,
  audit      integer NOT NULL CHECK (audit >= 0),
  check_name text NOT NULL,
  scope      text NOT NULL CHECK (scope IN ('chunk', 'run', 'pre')),
  chunk      integer,
  severity   text NOT NULL CHECK (severity IN ('warn', 'error')),
  outcome    text NOT NULL CHECK (outcome IN ('pass', 'warn', 'fail', 'error', 'skipped')),
  expected   text,
  actual     text,
  detail     text,
  measured   numeric,
  sql        text,
  checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, id),
  CHECK (outcome <> 'fail' OR severity = 'error')
);

CREATE TABLE backfill.waiver (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id         bigint GENERATED ALWAYS AS IDENTITY,
  audit      integer NOT NULL,
  check_name text NOT NULL,
  reason     text NOT NULL CHECK (btrim(reason) <> ''),
  waived_by  text NOT NULL,
  waived_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, id)
);

CREATE TABLE backfill.event (
  job_id integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id     bigint GENERATED ALWAYS AS IDENTITY,
  event  text NOT NULL,
  at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  by     text NOT NULL,
  detail text,
  PRIMARY KEY (job_id, id)
);

CREATE TABLE backfill.dependent (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id         integer NOT NULL,
  object     text NOT NULL,
  kind       text NOT NULL,
  fate       text NOT NULL CHECK (fate IN ('moved', 'rebuilt', 'blocks')),
  detail     text,
  classid    oid NOT NULL,
  objid      oid NOT NULL,
  PRIMARY KEY (job_id, id)
);

CREATE TABLE backfill.definition (
  job_id     integer NOT NULL REFERENCES backfill.job ON DELETE CASCADE,
  id         integer NOT NULL,
  found      text NOT NULL,
  meant      text NOT NULL,
  PRIMARY KEY (job_id, id)
);
