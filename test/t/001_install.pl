# The extension installs into a schema of the user's choice, goes without a trace, and survives dump and restore.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# All that could be left behind, by name.
my $inventory = q{
  SELECT string_agg(thing, E'\n' ORDER BY thing COLLATE "C") FROM (
    SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
    UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
    UNION ALL SELECT 'policy ' || polname FROM pg_policy
    UNION ALL SELECT 'role ' || rolname FROM pg_roles
    UNION ALL SELECT 'setting ' || setrole || ' ' || setdatabase FROM pg_db_role_setting
    UNION ALL SELECT 'default privilege ' || defaclnamespace::regnamespace FROM pg_default_acl
    UNION ALL SELECT 'extension ' || extname FROM pg_extension
  ) AS found (thing)};

# same($got, $expected, $name): compares inventories, and tells only what differs.
sub same
{
  my ($got, $expected, $name) = @_;
  my (%got, %expected);
  @got{ split /\n/, $got } = ();
  @expected{ split /\n/, $expected } = ();
  my @difference = ((map { "missing: $_" } grep { !exists $got{$_} } sort keys %expected),
    (map { "unexpected: $_" } grep { !exists $expected{$_} } sort keys %got));
  is(join("\n", @difference), '', $name);
  return;
}

# fails($database, $sql, $message, $name, @psql_arguments): an error with that message, and no side effect.
sub fails
{
  my ($database, $sql, $message, $name, @arguments) = @_;
  my $before = $node->safe_psql($database, $inventory);
  my ($status, $out, $err) = $node->psql($database, $sql, extra_params => \@arguments);
  like($err, $message, $name);
  same($node->safe_psql($database, $inventory), $before, "$name: no side effect");
  return;
}

# -- install and drop

$node->safe_psql('postgres', 'CREATE DATABASE installed');
my $before = $node->safe_psql('installed', $inventory);

$node->safe_psql('installed', 'CREATE SCHEMA tools; CREATE EXTENSION backfill SCHEMA tools');
is( $node->safe_psql(
    'installed', q{
    SELECT DISTINCT pronamespace::regnamespace
    FROM pg_proc JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
    JOIN pg_extension ON refobjid = pg_extension.oid AND extname = 'backfill'
    WHERE proname LIKE 'backfill\_%'}),
  'tools',
  'functions are in the schema of CREATE EXTENSION and nowhere else');
is($node->safe_psql('installed', 'SELECT count(*) FROM backfill.jobs'), '0', 'views are in schema backfill');
fails('installed', 'ALTER EXTENSION backfill SET SCHEMA public', qr/does not support SET SCHEMA/, 'it is not relocatable');

$node->safe_psql('installed', 'DROP EXTENSION backfill; DROP SCHEMA tools');
same($node->safe_psql('installed', $inventory), $before, 'DROP EXTENSION leaves nothing behind');

$node->safe_psql('installed', 'CREATE EXTENSION backfill; DROP EXTENSION backfill');
same($node->safe_psql('installed', $inventory), $before, 'nor does a second time, in public');

# -- refusals

$node->safe_psql('installed', 'CREATE SCHEMA backfill');
fails('installed', 'CREATE EXTENSION backfill', qr/schema "backfill" already exists/, 'a schema of somebody else is not taken over');
$node->safe_psql('installed', 'DROP SCHEMA backfill');

$node->safe_psql('installed',
  'CREATE ROLE analyst LOGIN; GRANT ALL ON DATABASE installed TO analyst; GRANT ALL ON SCHEMA public TO analyst');
fails('installed', 'CREATE EXTENSION backfill', qr/permission denied to create extension/,
  'only a superuser installs it', '-U', 'analyst');

my ($share) = run_command([ 'pg_config', '--sharedir' ]);
my ($script) = grep { !/--.*--/ } glob("$share/extension/backfill--[0-9]*.sql");
my ($told) = run_command([ 'psql', '-X', '-d', $node->connstr('installed'), '-f', $script ]);
like($told, qr/Use "CREATE EXTENSION backfill"/, 'the install script is not for running by hand');

# -- dump and restore

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(source restored);
$node->safe_psql(
  'source', q{
  CREATE EXTENSION backfill;
  CREATE TABLE orders (id int PRIMARY KEY, tier text);
  INSERT INTO orders SELECT i, 'gold' FROM generate_series(1, 10) i});
my $dump = "$PostgreSQL::Test::Utils::tmp_check/source.dump";
command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('source') ], 'a database with the extension is dumped');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'and restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM orders'), '10', 'with its data');
is($node->safe_psql('restored', 'SELECT count(*) FROM backfill.jobs'), '0', 'and the extension works there');
same($node->safe_psql('restored', $inventory), $node->safe_psql('source', $inventory), 'both hold the same objects');

$node->stop;
done_testing();
