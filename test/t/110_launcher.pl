# The launcher: after a restart, a crash or a promotion jobs go on untouched, and dead coordinators come back; never on a
# standby.  It is in nobody's way: databases and the extension can be dropped.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', q{shared_preload_libraries = 'backfill'},
  q{backfill.databases = 'postgres, missing, bare, "of, two words", postgres'}, 'wal_level = replica', 'max_wal_senders = 4');
value($node, 'CREATE EXTENSION backfill');
value($node, 'CREATE DATABASE bare');

my $coordinators = q{SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backfill coordinator%'};

sub plan_and_run
{
  my ($table, $database, %with) = @_;
  value($node, "SELECT backfill_plan(\$\$" . spec($table, %with) . "\$\$)", $database);
  value($node, "SELECT backfill_run('$table')", $database);
  return;
}

sub coordinator_of
{
  my ($server, $name) = @_;
  my $alive = "SELECT l.pid FROM pg_locks l JOIN backfill.job j ON j.id = l.objid::integer WHERE l.locktype = 'object' AND l.granted"
    . " AND l.classid = 'backfill.job'::regclass AND l.objsubid = 1 AND j.name = '$name'";
  $server->poll_query_until('postgres', "SELECT EXISTS ($alive)") or die "nobody runs $name";
  return value($server, $alive);
}

# -- an immediate stop in mid-run: it is finished, and nobody had to say so

make_table($node, 'flights');
close_gate($node, 'flights');
plan_and_run('flights');
at_gate($node);
my $finished = finished_chunks($node, 'flights');
is(scalar(split /\n/, $finished), 4, 'four chunks are done before the gate');
value($node, q{DELETE FROM flights WHERE id IN (150, 950); UPDATE flights SET v = -v WHERE id IN (250, 850)});
make_table($node, 'resting');
plan_and_run('resting', undef, label => "'new ' || id");
wait_state($node, 'resting', 'ready');
make_table($node, 'paused');
close_gate($node, 'paused');
plan_and_run('paused');
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
value($node, q{SELECT backfill_pause('paused')});
open_gate($node, 'paused');
wait_state($node, 'paused', 'paused');
value($node, "SELECT backfill_plan(\$\$" . (spec('resting', label => 'id') =~ s/resting/planned/r =~ s/table: resting/table: bystander/r) . "\$\$)")
  if value($node, 'CREATE TABLE bystander (LIKE resting INCLUDING ALL); SELECT true') eq 't';

$node->stop('immediate');
$node->start;
at_gate($node);
is(job($node, 'flights', 'state'), 'running', 'after a restart it runs again, by itself');
like(
  value($node, q{SELECT string_agg(detail, ' ') FROM backfill.events WHERE name = 'flights' AND event = 'resumed'}),
  qr/by the launcher/, 'and the events say who did it');
open_gate($node, 'flights');
wait_state($node, 'flights', 'ready', 'it becomes ready, untouched');
is(finished_chunks($node, 'flights', '1, 2, 3, 4'), $finished, 'no finished chunk was done again');
exact($node, 'flights');
coordinator_of($node, 'resting');
is(job($node, 'resting', 'waiting_for'), '', 'a ready job has its coordinator back');
is(job($node, 'paused', 'state'), 'paused', 'a paused one stays paused');
is(job($node, 'planned', 'state'), 'planned', 'a planned one stays planned');
is(value($node, $coordinators), '2', 'so two coordinators run');

# -- a coordinator that is terminated, or leaves for good

{
  my $pid = coordinator_of($node, 'resting');
  value($node, "SELECT pg_terminate_backend($pid)");
  $node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
  isnt(coordinator_of($node, 'resting'), $pid, 'a terminated coordinator comes back');
}

# -- what is unusual is told once

my $log = slurp_file($node->logfile);
foreach my $passed_over ([ 'missing', 'does not exist', 2 ], [ 'bare', 'not installed there', 1 ], [ 'of, two words', 'does not exist', 2 ])
{
  my ($database, $why, $starts) = @$passed_over;
  my $told = () = $log =~ /LOG:.*database "$database" is passed over: .*$why/g;
  is($told, $starts, "database \"$database\" is passed over: $why (told once a start of the server)");
}
unlike($log, qr/FATAL:  (?!terminating|the database system)/, 'nobody tries to connect to what is not there');

# -- coordinators that die early

{
  value($node, q{UPDATE backfill.job SET starts = 2 WHERE name = 'resting'});
  my $pid = coordinator_of($node, 'resting');
  value($node, "SELECT pg_terminate_backend($pid)");
  $node->poll_query_until('postgres', q{SELECT waiting_for LIKE 'its next start: 2 coordinators%' FROM backfill.jobs WHERE name = 'resting'});
  like(job($node, 'resting', 'waiting_for'), qr/^its next start/, 'after several early deaths it waits, and says why');
  value($node, q{UPDATE backfill.job SET starts = 10 WHERE name = 'resting'});
  $pid = coordinator_of($node, 'resting');
  value($node, "SELECT pg_terminate_backend($pid)");
  wait_state($node, 'resting', 'failed', 'after ten the job fails');
  like(job($node, 'resting', 'error'), qr/ended 10 times in a row/, 'and says why');
  value($node, q{SELECT backfill_run('resting')});
  wait_state($node, 'resting', 'ready', 'told by a person, it goes on at once');
}

# -- a standby does nothing, and takes over when it is promoted

{
  make_table($node, 'moving');
  close_gate($node, 'moving');
  plan_and_run('moving');
  at_gate($node);
  my $done = finished_chunks($node, 'moving');
  $node->backup('base');
  my $standby = PostgreSQL::Test::Cluster->new('standby');
  $standby->init_from_backup($node, 'base', has_streaming => 1);
  $standby->start;
  $node->wait_for_catchup($standby);
  is(value($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'backfill%'}), '0', 'on a standby there is no launcher');
  $node->stop('immediate');
  $standby->promote;
  at_gate($standby);
  is(job($standby, 'moving', 'state'), 'running', 'after the promotion the job goes on');
  open_gate($standby, 'moving');
  wait_state($standby, 'moving', 'ready', 'and becomes ready there');
  is(finished_chunks($standby, 'moving', '1, 2, 3, 4'), $done, 'no finished chunk was done again');
  exact($standby, 'moving');
  $standby->stop;
  $node->start;
  at_gate($node);
  open_gate($node, 'moving');
  wait_state($node, 'moving', 'ready');
}

# -- DROP DATABASE, ALTER DATABASE and CREATE DATABASE … TEMPLATE

value($node, 'CREATE DATABASE other');
value($node, 'CREATE EXTENSION backfill', 'other');
make_table($node, 'elsewhere', 'other');
plan_and_run('elsewhere', 'other', label => "'new ' || id");
$node->poll_query_until('other', q{SELECT state = 'ready' FROM backfill.jobs});
value($node, 'CREATE DATABASE aged');
value($node, q{CREATE EXTENSION backfill; UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'backfill'}, 'aged');
$node->append_conf('postgresql.conf', q{backfill.databases = 'postgres, other, another, aged'});
$node->reload;
$node->wait_for_log(qr/database "aged" is passed over: the extension there is not of this library's version/);
pass('an extension of another version is left alone, after a reload has told of it');
value($node, 'ALTER DATABASE other RENAME TO another');
$node->poll_query_until('another', q{SELECT waiting_for IS NULL AND state = 'ready' FROM backfill.jobs})
  or diag(value($node, 'TABLE backfill.jobs', 'another'));
is(value($node, q{SELECT coalesce(waiting_for, 'nothing') FROM backfill.jobs}, 'another'),
  'nothing', 'a database with a ready job is renamed, and its coordinator comes back');
value($node, q{SELECT backfill_publish('elsewhere')}, 'another');
$node->poll_query_until('another', q{SELECT NOT EXISTS (SELECT FROM backfill.steps WHERE status NOT IN ('done', 'skipped'))});
value($node, 'CREATE DATABASE copied TEMPLATE another');
value($node, q{UPDATE backfill.job SET archive_until = clock_timestamp() - interval '1 day'}, 'copied');
is(value($node, q{SELECT backfill_maintain()}, 'copied'), '0 coordinators restarted, 0 archives dropped',
  'it serves as a template, and in the copy nothing starts and nothing ends');
is(value($node, q{SELECT count(*) FROM pg_class WHERE relname LIKE 'elsewhere_archive%' AND relkind = 'r'}, 'copied'), '1', 'the archive is there');
$node->poll_query_until('another', q{SELECT waiting_for IS NULL FROM backfill.jobs});
value($node, 'DROP DATABASE another');
is(value($node, q{SELECT count(*) FROM pg_database WHERE datname = 'another'}), '0', 'it is dropped, with its published job');
value($node, 'DROP DATABASE copied');

# -- DROP EXTENSION

my ($status, $out, $err) = $node->psql('postgres', 'DROP EXTENSION backfill');
like($err, qr/other objects depend on it/, 'the extension is not dropped from under a captured table');
value($node, q{SELECT backfill_publish('flights')});
my $offset = -s $node->logfile;
value($node, 'DROP EXTENSION backfill CASCADE');
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'backfill')");
is(value($node, $coordinators), '0', 'dropped with CASCADE, its coordinators leave');
value($node, "INSERT INTO $_ VALUES (7000, NULL, 0, 'new'); UPDATE $_ SET v = 1 WHERE id = 7000; DELETE FROM $_ WHERE id = 7000")
  foreach qw(flights resting moving);
value($node, 'TRUNCATE resting');
pass('the tables take writes');
is(value($node, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'backfill%'}), '0', 'no trigger of ours is left');
is( value($node, q{SELECT string_agg(regexp_replace(relname, '_[0-9]+$', ''), ' ' ORDER BY relname) FROM pg_class
      WHERE relkind = 'r' AND relname ~ '_(backfill|archive)_[0-9]+$'}),
  'flights_archive moving_backfill paused_backfill resting_backfill', 'what is left are tables to be dropped by hand');
value($node, 'CREATE EXTENSION backfill');
make_table($node, 'again');
plan_and_run('again', undef, label => "'new ' || id");
wait_state($node, 'again', 'ready', 'and the extension can be created anew');
$log = slurp_file($node->logfile, $offset);
unlike($log, qr/FATAL:  (?!terminating|database \d+ does not exist)/, 'no worker failed');  # of one dropped before, by and by
unlike($log, qr/(?:ERROR|FATAL|LOG):  (?!statement).*backfill (?:coordinator|worker)/, 'nobody complained in the log');

$node->stop;
done_testing();
