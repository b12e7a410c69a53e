# A table whose owner is hostile: whatever code hangs on it, and whoever calls us, it runs as the owner and cannot get out.
# Whatever is passed to us is a value and no SQL.
#
# Everything the owner can hang on a table calls app.spy(), which tells the server's log who it is and what it could do: become
# another role, make temporary objects, leave a deferred trigger behind.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum = off', q{log_line_prefix = ''}, 'log_statement = none');

value($node, q{
  CREATE ROLE boss SUPERUSER;
  CREATE ROLE mallory;
  CREATE ROLE planner LOGIN IN ROLE mallory;
  CREATE ROLE writer LOGIN;
  CREATE ROLE stranger LOGIN;
  CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
  CREATE SCHEMA app AUTHORIZATION mallory;
  CREATE SCHEMA evil AUTHORIZATION mallory;
  GRANT CREATE ON SCHEMA public TO mallory});

# -- decoys: operators and functions that fit better than those of pg_catalog, where somebody may look for them

my $decoys = q{
  CREATE FUNCTION %1$s.decoy() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'DECOY as %', current_user; END$$;
  CREATE FUNCTION %1$s.format(text, name, name) RETURNS text LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT $2::text$$;
  CREATE FUNCTION %1$s.format(text, text, integer) RETURNS text LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT $2$$;
  CREATE FUNCTION %1$s.format(text, text) RETURNS text LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT $2$$;
  CREATE FUNCTION %1$s.to_regclass(name) RETURNS regclass LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT NULL::regclass$$;
  CREATE FUNCTION %1$s.md5(name) RETURNS text LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT ''$$;
  CREATE FUNCTION %1$s.times(numeric, bigint) RETURNS numeric LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT 1.0$$;
  CREATE FUNCTION %1$s.times(interval, numeric) RETURNS interval LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT $1$$;
  CREATE FUNCTION %1$s.same(oid, integer) RETURNS boolean LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT true$$;
  CREATE FUNCTION %1$s.same(oid, bigint) RETURNS boolean LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT true$$;
  CREATE FUNCTION %1$s.glue(text, integer) RETURNS text LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT $1$$;
  CREATE OPERATOR %1$s.* (FUNCTION = %1$s.times, LEFTARG = numeric, RIGHTARG = bigint);
  CREATE OPERATOR %1$s.* (FUNCTION = %1$s.times, LEFTARG = interval, RIGHTARG = numeric);
  CREATE OPERATOR %1$s.= (FUNCTION = %1$s.same, LEFTARG = oid, RIGHTARG = integer);
  CREATE OPERATOR %1$s.= (FUNCTION = %1$s.same, LEFTARG = oid, RIGHTARG = bigint);
  CREATE OPERATOR %1$s.|| (FUNCTION = %1$s.glue, LEFTARG = text, RIGHTARG = integer);
  CREATE FUNCTION %1$s.equal_texts(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT %1$s.decoy(); SELECT true$$;
  CREATE OPERATOR %1$s.= (FUNCTION = %1$s.equal_texts, LEFTARG = text, RIGHTARG = text)};
value($node, 'SET ROLE mallory;' . sprintf($decoys, $_)) foreach qw(public evil);

value($node, 'CREATE EXTENSION backfill SCHEMA public');
is( value($node, q{
  SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, 0), ', ') FROM pg_depend d
   WHERE ((d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM pg_proc WHERE proowner = 'mallory'::regrole))
      OR (d.refclassid = 'pg_operator'::regclass AND d.refobjid IN (SELECT oid FROM pg_operator WHERE oprowner = 'mallory'::regrole)))
     AND pg_describe_object(d.classid, d.objid, 0) ~ 'backfill'}),
  '', 'nothing of the extension means an operator or function that somebody had put into its schema');

# -- a table with a spy in everything

value($node, q{
  SET ROLE mallory;
  SET search_path = app, pg_catalog;
  SET app.setup = on;
  CREATE TABLE trap (what text);
  CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE LOG 'SPY deferred trigger as % of %:', current_user, session_user; RETURN NULL; END$$;
  CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spring();
  CREATE FUNCTION spy(what text) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    me text := current_user;
    got text := '';
  BEGIN
    IF current_setting('app.setup', true) OPERATOR(pg_catalog.=) 'on' THEN RETURN; END IF;
    BEGIN SET LOCAL ROLE boss; got := got || ' role'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN SET LOCAL SESSION AUTHORIZATION boss; got := got || ' session'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN CREATE TEMP TABLE sneak (); got := got || ' temp'; DROP TABLE sneak; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN INSERT INTO app.trap VALUES (what); got := got || ' deferred'; EXCEPTION WHEN OTHERS THEN NULL; END;
    PERFORM set_config('app.leak', 'leaked', false), set_config('search_path', 'evil, pg_catalog', false);
    RAISE LOG 'SPY % as % of %:%', what, me, session_user, got;
  END $$;
  CREATE FUNCTION spy_is(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy(what); RETURN true; END$$;
  CREATE FUNCTION spy_row(what text, id bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy(what); RETURN true; END$$;
  CREATE FUNCTION spy_int(what text, v integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy(what); RETURN v; END$$;
  CREATE FUNCTION spy_text(what text, v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy(what); RETURN v; END$$;
  CREATE FUNCTION spy_equal(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy('operator'); RETURN $1 = $2; END$$;
  CREATE OPERATOR === (FUNCTION = spy_equal, LEFTARG = text, RIGHTARG = text);
  CREATE TYPE pair AS (a bigint, b integer);
  CREATE FUNCTION spy_cast(pair) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM app.spy('cast'); RETURN 'pair'; END$$;
  CREATE CAST (pair AS text) WITH FUNCTION spy_cast(pair);
  CREATE DOMAIN num AS integer DEFAULT app.spy_int('default of domain', 1) CHECK (app.spy_is('check of domain') AND app.spy_int('domain', VALUE) = VALUE);
  CREATE DOMAIN extra AS text DEFAULT app.spy_text('default of added column', 'x') CHECK (app.spy_is('check of added column'));
  CREATE FUNCTION spy_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM app.spy('trigger'); RETURN NEW; END$$;
  CREATE TABLE codes (code text PRIMARY KEY);
  INSERT INTO codes VALUES ('old');
  CREATE INDEX ON codes (code) WHERE app.spy_is('predicate of parent');
  CREATE TABLE t (
    id bigint PRIMARY KEY,
    day date NOT NULL,
    v num,
    label text DEFAULT app.spy_text('default', 'old') REFERENCES codes,
    g integer GENERATED ALWAYS AS (app.spy_int('generated', v)) STORED,
    CONSTRAINT constant CHECK (app.spy_is('check of constants')),
    CONSTRAINT rows CHECK (app.spy_row('check', id)));
  CREATE TABLE notes (t bigint REFERENCES t);
  INSERT INTO t SELECT i, date '2024-01-01' + (i / 5)::integer, i, 'old' FROM generate_series(0, 19) AS i;
  ALTER TABLE t ADD CONSTRAINT later CHECK (app.spy_is('check not valid')) NOT VALID;
  CREATE INDEX ON t (day);
  CREATE INDEX ON t (app.spy_int('index', v)) WHERE app.spy_is('predicate') AND app.spy_row('predicate of rows', id);
  CREATE STATISTICS s ON (app.spy_int('statistics', v)), day FROM t;
  CREATE POLICY p ON t USING (app.spy_row('policy', id)) WITH CHECK (app.spy_is('policy check'));
  ALTER TABLE t ENABLE ROW LEVEL SECURITY;
  CREATE TRIGGER tr AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW WHEN (app.spy_is('when')) EXECUTE FUNCTION spy_trigger();
  CREATE VIEW w AS SELECT id, app.spy_int('view', v) AS v FROM t WHERE app.spy_is('condition of view');
  CREATE MATERIALIZED VIEW m AS SELECT day, sum(app.spy_int('materialized view', v)) AS total FROM t GROUP BY day;
  CREATE UNIQUE INDEX ON m (day);
  CREATE MATERIALIZED VIEW m2 AS SELECT id, app.spy_int('second materialized view', v) AS v FROM w;
  CREATE INDEX ON m2 (app.spy_int('index of materialized view', v)) WHERE app.spy_is('predicate of materialized view');
  GRANT USAGE ON SCHEMA app, evil TO writer;
  GRANT INSERT, SELECT, UPDATE, DELETE ON t, trap TO writer;
  GRANT ALL ON codes, notes TO writer;
  ANALYZE t;
  CREATE TABLE copies AS SELECT 1 AS one});

my $spec = q({name: j, scope: {table: app.t, column: day, start: 2024-01-02, stop: 2024-01-04},
  transform: {set: {label: "app.spy_text('transform', t.label) || left((ROW(t.id, t.v)::app.pair)::text, 0)", extra: "'e'"},
    add_columns: {extra: app.extra},
    join: "JOIN app.codes c ON c.code OPERATOR(app.===) t.label AND app.spy_is('join')"},
  strategy: {chunk_by: day, parallelism: 2},
  pre_checks: [{check: expression, name: before, sql: "app.spy_row('pre-check', id)"}],
  checks: [{check: expression, name: e, sql: "app.spy_row('check expression', id)", where: "app.spy_is('where of check')"},
    {check: expression, name: kept, sql: "id < 7 AND app.spy_row('check that keeps', id)", severity: warn, store_failures: true},
    {check: failed_rows, name: f, query: "SELECT id FROM t WHERE NOT app.spy_row('check query', id)"},
    {check: metric_delta, name: m, sql: "sum(app.spy_int('metric', v))"},
    {check: distribution, column: v},
    {check: exact, scope: both}],
  downstream: [{name: d, refresh: "SELECT app.spy_is('downstream')"}],
  publish: {lock_timeout: 500ms}});

# as_user(role, sql): in a session of its own, on a path that leads past the decoys first; nothing of it may stay behind.
my $leaks = 0;
sub as_user
{
  my ($role, $sql) = @_;
  my ($status, $out, $err) = $node->psql(
    'postgres', "SET search_path = evil, public, app, pg_catalog;\n$sql;\nSELECT 'leak: ' || pg_catalog.current_setting('app.leak', true);\nSHOW search_path",
    extra_params => [ '-v', 'ON_ERROR_STOP=1', '-U', $role ]);
  is($status, 0, substr("$role: $sql", 0, 60) =~ s/\n.*//sr) or diag($err);
  $leaks++ if $out =~ /leak: leaked/ || $out !~ /evil, public, app, pg_catalog$/;
  return $out;
}

sub settle
{
  my ($state, $swapped) = @_;
  wait_state($node, 'j', $state);
  my $rest = q{SELECT NOT EXISTS (SELECT FROM backfill.jobs WHERE name = 'j' AND pending_keys > 0)};
  $rest .= q{ AND NOT EXISTS (SELECT FROM backfill.steps WHERE id = (SELECT max(id) FROM backfill.jobs)
    AND phase = 'after' AND status IN ('pending', 'running'))} if $swapped;
  $node->poll_query_until('postgres', $rest) or diag(value($node, q{SELECT * FROM backfill.steps WHERE status <> 'done'}));
  return;
}

# All there is to a job, by one caller.
sub whole_life
{
  my ($who, $write) = @_;
  as_user($who, "SELECT backfill_plan(\$\$$spec\$\$)");
  as_user($who, q{SELECT backfill_sample('j', 1)});
  as_user($who, q{SELECT backfill_run('j')});
  settle('ready');
  $write->();
  settle('ready');
  as_user($who, q{SELECT backfill_retry('j', 1)});
  settle('ready');
  as_user($who, q{SELECT backfill_audit('j')});
  settle('ready');
  as_user($who, $_)
    foreach q{SELECT backfill_diff('j')}, q{SELECT backfill_report('j')}, q{SELECT backfill_report('j', 'html')},
    q{SELECT backfill_runbook('j')}, q{SELECT * FROM backfill.jobs}, q{SELECT * FROM backfill.checks},
    q{SELECT * FROM backfill.metrics}, q{SELECT * FROM backfill.downstream};
  as_user($who, q{SELECT backfill_publish('j')});
  settle('published', 1);
  $write->();
  as_user($who, q{TABLE backfill.way_back});
  settle('published', 1);
  as_user($who, q{SELECT backfill_provenance('app.t', '2024-01-02')});
  # SET NOT NULL plans, so evaluates, what the CHECK constraints say: the rollback brings it to the old version.
  value($node, q{SET app.setup = on; SET ROLE mallory; ALTER TABLE app.t ALTER COLUMN v SET NOT NULL});
  as_user($who, q{SELECT backfill_rollback('j', '{extra}')});
  settle('ready', 1);
  as_user($who, q{SELECT backfill_publish('j')});
  as_user($who, q{SELECT backfill_maintain()});
  as_user($who, q{SELECT backfill_finish('j')});
  value($node, 'SET app.setup = on; SET ROLE mallory; ALTER TABLE app.t DROP COLUMN extra, ALTER COLUMN v DROP NOT NULL');
  as_user($who, "SELECT backfill_plan(\$\$$spec\$\$)");
  as_user($who, q{SELECT backfill_run('j')});
  settle('ready');
  as_user($who, q{SELECT backfill_cancel('j')});
  return;
}

my $before = -s $node->logfile;
my $written = 0;
my $write = sub {
  $written++;
  my ($status, $out, $err) = $node->psql(
    'postgres', "UPDATE app.t SET v = v + 1 WHERE id % 3 = 1; INSERT INTO app.t (id, day, v) VALUES (100 + $written, '2024-01-03', 1);"
      . "DELETE FROM app.t WHERE id = 20 - $written",
    extra_params => [ '-v', 'ON_ERROR_STOP=1', '-U', 'writer' ]);
  is($status, 0, 'a writer without any privilege on ours writes') or diag($err);
};
whole_life('planner', $write);
whole_life(value($node, 'SELECT current_user'), $write);

my %seen;
my @escapes;
foreach my $line (split /\n/, substr(slurp_file($node->logfile), $before))
{
  push @escapes, $line if $line =~ /DECOY as (?!(?:mallory|writer)$)/;  # the transform means what the planner's path says
  next unless $line =~ /SPY (.*) as (\S+) of (\S+):(.*)/;
  my ($what, $who, $session, $got) = ($1, $2, $3, $4);
  $seen{$what}++;
  push @escapes, $line if $who !~ /^(mallory|writer)$/ || ($got ne '' && $session ne 'writer');
}
my %told;
is(join("\n", grep { !$told{$_}++ } @escapes), '', 'no code ran as anybody above the owner, nor outside of a restricted operation');
is($leaks, 0, 'no setting stays behind in the session of a caller');
my @everything = ('check of constants', 'check', 'check not valid', 'index', 'predicate', 'predicate of rows', 'statistics', 'generated',
  'domain', 'check of domain', 'check of added column', 'when', 'trigger', 'policy', 'materialized view', 'second materialized view', 'index of materialized view',
  'predicate of materialized view', 'condition of view', 'view', 'predicate of parent', 'transform', 'cast', 'operator', 'join', 'pre-check', 'check expression',
  'where of check', 'check that keeps', 'check query', 'metric', 'downstream');
is(join(', ', grep { !$seen{$_} } @everything), '', 'and all of it did run');

done_testing();
