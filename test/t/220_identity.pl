# Whoever plans, runs or publishes: the owner's code runs as the owner, cut off from what a session may do, under the
# search_path of the plan; and our own statements mean the server's catalogs, whatever the session's search_path.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('identity');
value($node, q{
  CREATE EXTENSION backfill;
  CREATE ROLE keeper NOLOGIN;
  CREATE SCHEMA app AUTHORIZATION keeper;
  SET ROLE keeper;
  SET search_path = app;
  CREATE TABLE app.visits (id bigint PRIMARY KEY, day date, label text);
  INSERT INTO visits SELECT i, date '2024-01-01' + (i / 10)::integer, 'old' FROM generate_series(1, 29) AS i;
  -- Who runs it, and could he leave something behind in the session?
  CREATE FUNCTION app.witness() RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    CREATE TEMPORARY TABLE left_behind ();
    DROP TABLE left_behind;
    RETURN current_user || ' is free';
  EXCEPTION WHEN insufficient_privilege THEN
    RETURN current_user || ' is restricted';
  END $$;
  RESET ROLE;
  GRANT CREATE, TEMPORARY ON DATABASE postgres TO keeper;
  -- Catalogs of somebody else's.
  CREATE SCHEMA evil;
  CREATE TABLE evil.pg_class (LIKE pg_class);
  CREATE TABLE evil.pg_trigger (LIKE pg_trigger);
  CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass'});

my $spec = q~{name: visits, scope: {table: app.visits, column: day, start: 2024-01-01, stop: 2024-01-04}, transform: {set: {label: "witness()"}}~;
my $evil = 'SET search_path = evil, pg_catalog, public;';

value($node, "SET search_path = app, public; SELECT backfill_plan(\$\$$spec}\$\$)");
value($node, "$evil SELECT backfill_run('visits')");
wait_state($node, 'visits', 'ready');
my $verdict = sub { return value($node, 'SELECT DISTINCT label FROM app.visits') };

# What is drained in the session that publishes is transformed there.
value($node, q{UPDATE app.visits SET day = day});
my ($status, $out, $err) = $node->psql('postgres', "$evil SELECT backfill_publish('visits')");
like($out, qr/^published visits/, 'published under a search_path with other catalogs') or diag $err;
is($verdict->(), 'keeper is restricted', 'the transform ran as the owner, who could leave nothing behind');
($status, $out, $err) = $node->psql('postgres', "$evil SELECT backfill_rollback('visits')");
like($out, qr/^rolled back visits/, 'rolled back under it') or diag $err;
is($verdict->(), 'old', '- to what was there');
($status, $out, $err) = $node->psql('postgres', "$evil SELECT backfill_cancel('visits')");
like($out, qr/^cancelled visits/, '- and cancelled') or diag $err;

# Rows that a policy would hide are rows that would be lost: an error, and not fewer rows.
value($node, q{
  CREATE TABLE app.tiers (id bigint PRIMARY KEY, tier text);
  INSERT INTO app.tiers SELECT i, 'gold' FROM generate_series(1, 29) AS i;
  GRANT SELECT ON app.tiers TO keeper;
  ALTER TABLE app.tiers ENABLE ROW LEVEL SECURITY;
  CREATE POLICY half ON app.tiers USING (id % 2 = 0)});
refused($node, "SET search_path = app, public; SELECT backfill_plan(\$\${name: hidden, scope: {table: app.visits, column: day, "
    . q~start: 2024-01-01, stop: 2024-01-04}, transform: {set: {label: "t.tier"}, join: "LEFT JOIN app.tiers t USING (id)"}}$$)~,
  '42501', 'a transform that would read through a policy is refused');

$node->stop;
done_testing();
