# A dump that is restored elsewhere arms nothing: triggers of jobs do nothing there, writes go on, the jobs are suspended and
# say so, and one statement clears away what came with them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum = off', 'log_statement = none');
value($node, q{
  CREATE EXTENSION backfill;
  CREATE ROLE keeper;
  CREATE ROLE member LOGIN IN ROLE keeper;
  CREATE ROLE stranger LOGIN;
  CREATE SCHEMA app AUTHORIZATION keeper});

my @jobs = qw(planned paused ready published failed);
foreach my $job (@jobs)
{
  value($node, qq{
    SET ROLE keeper;
    CREATE TABLE app.$job (id bigint PRIMARY KEY, day date, label text);
    INSERT INTO app.$job SELECT i, date '2024-01-01' + i / 10, 'old' FROM generate_series(0, 29) AS i;
    CREATE VIEW app.v_$job AS SELECT * FROM app.$job});
  my $label = $job eq 'failed' ? '(1 / (id - 5))::text' : "'new'";
  my $checks = $job eq 'ready' ? ', checks: [{check: expression, sql: "id <> 7", severity: warn, store_failures: true}]' : '';
  value($node, qq~SET ROLE keeper; SELECT backfill_plan(\$\${name: $job, scope: {table: app.$job, column: day, start: 2024-01-01, stop: 2024-01-03},
    transform: {set: {label: "$label"}}, strategy: {chunk_by: day}$checks}\$\$)~);
  value($node, "SELECT backfill_run('$job')") if $job ne 'planned';
}
wait_state($node, $_, 'ready') foreach qw(paused ready published);
wait_state($node, 'failed', 'failed');
value($node, q{SELECT backfill_publish('published')});
wait_state($node, 'published', 'published');
value($node, q{BEGIN; SELECT backfill_audit('paused'); SELECT backfill_pause('paused'); COMMIT});
wait_state($node, 'paused', 'paused');
value($node, "UPDATE app.$_ SET label = label WHERE id = 3") foreach qw(paused ready published);

sub dump_of
{
  my (@options) = @_;
  my ($dump, $err);
  IPC::Run::run([ 'pg_dump', '-d', $node->connstr('postgres'), @options ], '>', \$dump, '2>', \$err) or BAIL_OUT("pg_dump failed: $err");
  return $dump;
}

sub restore
{
  my ($database, $dump, $server, @roles) = @_;
  $server //= $node;
  value($server, "CREATE DATABASE $database");
  my ($status, $out, $err) = $server->psql($database, $dump, on_error_stop => 0);
  return join("\n", grep { /ERROR/ } split /\n/, $err);
}

sub run_as
{
  my ($server, $database, $role, $sql) = @_;
  my ($status, $out, $err) = $server->psql($database, $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
  return $status == 0 ? $out : $err;
}

# Tables are written to and nobody is told, whatever triggers came with them.
sub writes_go_on
{
  my ($server, $database, $what) = @_;
  my $logged = "SELECT coalesce(sum((xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.oid::regclass, false, true, '')))[1]::text::integer), 0) FROM pg_class AS c WHERE relnamespace = to_regnamespace('backfill') AND relname ~ '^(log|reverse)_'";
  my $before = value($server, $logged, $database);
  foreach my $job (@jobs)
  {
    my ($status, $out, $err) = $server->psql($database, "INSERT INTO app.$job VALUES (100, '2024-01-02', 'x'); UPDATE app.v_$job SET label = 'y' WHERE id < 3; DELETE FROM app.$job WHERE id = 9; TRUNCATE app.$job");
    is($status, 0, "$what: app.$job is written to") or diag($err);
  }
  is(value($server, $logged, $database), $before, '- and nothing is captured');
  return;
}

# The jobs, as those see them who may, and what becomes of each when it is cancelled.
sub suspended_jobs
{
  my ($server, $database, $what) = @_;
  is(run_as($server, $database, 'member', q{SELECT string_agg(name || ' ' || state || ' ' || next_command, ' ' ORDER BY name) FROM backfill.jobs}),
    join(' ', map { "$_ suspended SELECT backfill_cancel('$_');" } sort @jobs), "$what: jobs are suspended, and say how to be rid of them");
  is(run_as($server, $database, 'stranger', 'SELECT count(*) FROM backfill.jobs'), '0', '- a stranger sees none of them');
  like(run_as($server, $database, 'stranger', q{SELECT backfill_cancel('ready')}), qr/42704/, '- and can end none');
  foreach my $call ((map { "SELECT backfill_run('$_')" } @jobs), q{SELECT backfill_publish('ready')}, q{SELECT backfill_finish('published')}, q{SELECT backfill_rollback('published')},
    q{SELECT backfill_pause('paused')}, q{SELECT backfill_retry('failed', 1)}, q{SELECT backfill_audit('ready')}, q{SELECT backfill_diff('ready')}, q{SELECT backfill_sample('ready')}, q{SELECT backfill_alter('ready', 2)},
    q{SELECT backfill_waive('ready', 'expression', 'x')}, q{SELECT backfill_redeliver('ready')}, q{CALL backfill_wait('ready')})
  {
    like(run_as($server, $database, 'member', $call), qr/55000: .*suspended here.*HINT:  .*backfill_cancel\('/s, "- $call says so");
  }
  like(run_as($server, $database, 'member', qq{SELECT backfill_report('$_')}), qr/SUSPENDED/, "- so does the report of $_") foreach @jobs;
  like(run_as($server, $database, 'member', q{SELECT backfill_runbook('ready')}), qr/backfill_cancel/, '- and a runbook');
  like(run_as($server, $database, 'member', q{SELECT backfill_maintain()}), qr/^0 coordinators restarted, 0 archives/, '- housekeeping leaves them alone');
  unlike(run_as($server, $database, 'member', "SELECT * FROM backfill.$_"), qr/ERROR/, "- backfill.$_ is read") foreach qw(jobs way_back steps checks events dependents downstream);
  my $spec = q({name: %s, scope: {table: app.ready, column: day, start: 2024-01-01, stop: 2024-01-03}, transform: {set: {label: "'new'"}}});
  like(run_as($server, $database, 'member', 'SELECT backfill_plan($$' . sprintf($spec, 'other') . '$$)'), qr/55006: .*HINT:  .*backfill_cancel\('ready'\)/s, '- a plan on the table says what to do first');
  like(run_as($server, $database, 'member', 'SELECT backfill_plan($$' . sprintf($spec, 'paused') . '$$)'), qr/42710: .*HINT:  .*backfill_cancel\('paused'\)/s, '- so does one of the name');
  foreach my $job (@jobs)
  {
    like(run_as($server, $database, 'member', "SELECT backfill_cancel('$job')"), qr/^cancelled $job/, "- $job is cancelled");
  }
  is(value($server, q{
    SELECT string_agg(thing, ', ') FROM (
      SELECT 'relation ' || relname FROM pg_class WHERE relname ~ '_(backfill|archive|log|reverse)_[0-9]|^(log|reverse)_[0-9]' AND relkind = 'r'
      UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid::regclass::text ~ '^app' AND NOT tgisinternal) AS x (thing)}, $database), '', '- and nothing of them is left');
  is(value($server, q{SELECT count(*) FROM app.v_ready}, $database), 0, '- but what was in service');
  unlike(run_as($server, $database, 'member', 'SELECT backfill_plan($$' . sprintf($spec, 'ready') . '$$)'), qr/ERROR/, '- a new plan works');
  return;
}

my $errors = restore('whole', dump_of());
is($errors, '', 'a dump is restored without an error');
writes_go_on($node, 'whole', 'restored');
suspended_jobs($node, 'whole', 'restored');
value($node, q{SELECT backfill_run('ready')}, 'whole');
$node->poll_query_until('whole', q{SELECT state = 'ready' FROM backfill.jobs WHERE name = 'ready' ORDER BY id DESC LIMIT 1}) or diag(value($node, 'SELECT error FROM backfill.jobs', 'whole'));
is(value($node, q{SELECT backfill_publish('ready') ~ '^published'}, 'whole'), 't', 'and what is planned there goes its way');
value($node, q{SELECT backfill_finish('ready')}, 'whole');

# Another server: roles have other numbers there, and that of the owner is the stranger's.
my $other = new_node('other', 'log_statement = none');
value($other, q{CREATE ROLE x; CREATE ROLE stranger LOGIN; CREATE ROLE keeper; CREATE ROLE member LOGIN IN ROLE keeper});
is(value($other, q{SELECT oid FROM pg_roles WHERE rolname = 'stranger'}) - value($node, q{SELECT oid FROM pg_roles WHERE rolname = 'keeper'}) < 100 ? 1 : 0, 1, 'roles of another server');
$errors = restore('there', dump_of(), $other);
is($errors, '', 'a dump is restored on another server');
my $foreign = value($other, q{SELECT string_agg(DISTINCT owner::regrole::text, ',') FROM backfill.job}, 'there');
is($foreign, 'keeper', 'jobs belong to the role of that name');
suspended_jobs($other, 'there', 'on another server') if value($other, 'TRUNCATE app.ready; SELECT 1', 'there');

# Without the data there are no jobs; what came of them does no harm, and its number is taken.
$errors = restore('shape', dump_of('--schema-only'));
is($errors, '', 'the schema alone is restored');
writes_go_on($node, 'shape', 'schema only');
is(value($node, 'SELECT count(*) FROM backfill.job', 'shape'), '0', 'no job came along');
foreach my $job (qw(planned published))
{
  value($node, qq{INSERT INTO app.$job SELECT i, date '2024-01-01' + i / 10, 'old' FROM generate_series(0, 29) AS i}, 'shape');
  value($node, qq~SET ROLE keeper; SELECT backfill_plan(\$\${name: $job, scope: {table: app.$job, column: day, start: 2024-01-01, stop: 2024-01-03}, transform: {set: {label: "'new'"}}}\$\$)~, 'shape');
  value($node, qq{SELECT backfill_run('$job')}, 'shape');
  $node->poll_query_until('shape', qq{SELECT state IN ('ready', 'failed') FROM backfill.jobs WHERE name = '$job'});
  is(value($node, qq{SELECT state, error FROM backfill.jobs WHERE name = '$job'}, 'shape'), 'ready|', "a backfill of app.$job works there");
  value($node, qq{SELECT backfill_publish('$job'); SELECT backfill_finish('$job')}, 'shape');
  is(value($node, qq{SELECT count(*) FROM app.$job WHERE label = 'new'}, 'shape'), '20', '- to its end');
}

# The users' schema alone, without the extension.
$errors = restore('bare', dump_of('-n', 'app'));
is(join("\n", grep { !/schema "backfill" does not exist|trigger "backfill_\w+" for table "\w+" does not exist/ } split /\n/, $errors), '', 'without the extension only its triggers cannot be restored');
writes_go_on($node, 'bare', 'without the extension');

$node->stop;
$other->stop;
done_testing();
