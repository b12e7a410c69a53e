# What holds a job back: each signal of the database makes it wait, says why, and lets it go on when it has passed; windows;
# the rates that its workers share.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf',
  join("\n", 'max_worker_processes = 64', 'max_prepared_transactions = 10', 'wal_keep_size = 64MB', "timezone = 'Europe/Berlin'"));
$node->start;
value($node, 'CREATE EXTENSION backfill');
make_table($node, 't');
value($node, 'CREATE TABLE written (i integer)');

# -- steps

# Plans a job of table t with this throttle, and starts it.
sub begin
{
  my ($throttle, %with) = @_;
  my $spec = spec('t', label => "'new ' || id", %with);
  $spec =~ s/\}$/, throttle: {$throttle}}/;
  value($node, 'SELECT count(*) FROM backfill_plan($spec$' . $spec . '$spec$)');
  value($node, q{SELECT backfill_run('t')});
  return;
}

sub wait_for
{
  my ($pattern, $test) = @_;
  my $there =
    $node->poll_query_until('postgres', "SELECT waiting_for ~ \$p\$$pattern\$p\$ FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1");
  ok($there, $test);
  diag(value($node, "SELECT state, phase, waiting_for, error FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1"))
    unless $there;
  return;
}

sub is_held
{
  my ($test) = @_;
  is(
    value($node, "SELECT state, eta, chunks_done, (SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^backfill worker')"
        . " FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1"),
    'running|-|0|0',
    "$test: nothing is begun, nobody waits in a worker slot");
  return;
}

sub ends_well
{
  my ($test) = @_;
  wait_state($node, 't', 'ready', "$test: then it goes on to its end");
  is(job($node, 't', 'waiting_for'), '', "$test: and waits no more");
  exact($node, 't', "$test: every row is there, and once");
  value($node, q{SELECT backfill_cancel('t')});
  return;
}

sub session
{
  my (@statements) = @_;
  my %session = (in => '', out => '');
  $session{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ],
    '<', \$session{in}, '>', \$session{out}, '2>&1', IPC::Run::timeout(180));
  $session{in} .= join('', map { "$_;\n" } @statements);
  $session{run}->pump_nb;
  return \%session;
}

sub quit
{
  my ($session) = @_;
  $session->{in} .= "\\q\n";
  $session->{run}->finish;
  return;
}

# -- the standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);

pause_replay($standby);
value($node, 'INSERT INTO written SELECT generate_series(1, 20000)');
begin('replica_lag: 2s, rows_per_second: 100');
wait_for('^replica lag .*s of standby, limit 2s$', 'a standby that does not replay holds the job');
resume_replay($standby);
value($node, q{SELECT backfill_alter('t', throttle => '{"rows_per_second": null}')});
ends_well('standby');

# -- a slot, sessions, snapshots, the disk: each is told, and lets go when it has passed

value($node, q{SELECT pg_create_physical_replication_slot('kept', true)});
value($node, 'INSERT INTO written SELECT generate_series(1, 100000)');
value($node, q{BEGIN; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'door'});
my @busy = map { session('SELECT pg_advisory_xact_lock_shared(1)') } 1 .. 4;
$node->poll_query_until('postgres', "SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
  or die 'the sessions do not wait';
my $reader = session('BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1', q{\echo open});
$reader->{run}->pump until $reader->{out} =~ /open/;

begin('active_sessions: 2, free_disk: 100%, oldest_snapshot: 1s, slot_retained: 4MB');
my ($sessions, $disk, $slot) = ('[45] active sessions, limit 2', '[0-9.]+ .B of disk free for (pg_wal|tablespace pg_default), limit 100%',
  '[0-9.]+ MB of WAL retained by replication slot kept, limit 4 MB');
wait_for("^$sessions; $disk; a snapshot of .*, .*s old, limit 1s; $slot\$", 'sessions, disk, a snapshot and a slot hold the job, and all are told');
is_held('four signals');
value($node, q{COMMIT PREPARED 'door'});
quit($_) foreach @busy;
wait_for("^$disk; a snapshot of process \\d+ \\(.*\\), .*s old, limit 1s; $slot\$", 'the sessions have ended');
value($node, q{SELECT pg_drop_replication_slot('kept')});
value($node, q{BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'forgotten'});
quit($reader);
wait_for("^$disk; a snapshot of prepared transaction \"forgotten\", .*s old, limit 1s\$",
  'the slot is gone, the reader too; a prepared transaction counts like him');
is_held('two signals');
value($node, q{ROLLBACK PREPARED 'forgotten'});
like(
  value($node, q{SELECT backfill_alter('t', throttle => '{"free_disk": "1kB"}')}),
  qr/free_disk from 100% to 1kB/,
  'a limit is lowered while it waits');
my $waiter = session(q{CALL backfill_wait('t')});
ends_well('signals');
quit($waiter);

# -- windows

my $closed = value($node,
  q{SELECT to_char(now() + interval '2 h', 'HH24:MI') || '-' || to_char(now() + interval '3 h', 'HH24:MI')});
begin("windows: ['$closed']");
wait_for('^its window, opens at \d{4}-\d\d-\d\d \d\d:\d\d Europe/Berlin$', 'a closed window holds the job');
is_held('window');
is(
  value($node, q{SELECT waiting_for ~ to_char(now() + interval '2 h', 'YYYY-MM-DD HH24:') FROM backfill.jobs WHERE name = 't' AND state = 'running'}),
  't', 'it says when the window opens') if value($node, q{SELECT extract(minute FROM now()) BETWEEN 1 AND 58}) eq 't';
value($node, q{SELECT backfill_alter('t', windows => '{}')});
ends_well('window');

# In mid-run: the window closes between two batches, the workers leave, and the next one opens.
begin('rows_per_second: 100', strategy => 'parallelism: 2');
$node->poll_query_until('postgres', q{SELECT chunks_done >= 2 FROM backfill.jobs WHERE name = 't' AND state = 'running'})
  or die 'nothing was copied';
wait_for('^its rate, at most 100 rows a second$', 'a rate is what its workers wait for');
value($node, "SELECT backfill_alter('t', windows => '{$closed}')");
wait_for('^its window, opens at ', 'a window closes in mid-run');
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name ~ '^backfill worker')})
  or die 'workers stay';
my $done = job($node, 't', 'rows_done');
cmp_ok($done, '<', 1001, 'something is left to be done');
is(value($node, q{SELECT count(*) FROM backfill.chunks WHERE name = 't' AND status = 'running'}), '0', 'no chunk is at work');
value($node, q{SELECT backfill_alter('t', throttle => '{"rows_per_second": null, "windows": null}')});
ends_well('window in mid-run');

# -- rates

# rate($column, $sql): the most of it a second between two looks some seconds apart.
sub measured
{
  my ($what) = @_;
  my $look = "SELECT extract(epoch FROM clock_timestamp()), ($what)";
  my ($began, $first) = split /\|/, value($node, $look);
  $node->poll_query_until('postgres', "SELECT extract(epoch FROM clock_timestamp()) > $began + 5");
  my ($ended, $last) = split /\|/, value($node, $look);
  return ($last - $first) / ($ended - $began);
}

begin('rows_per_second: 100', strategy => 'parallelism: 2');
$node->poll_query_until('postgres', q{SELECT rows_done > 0 FROM backfill.jobs WHERE name = 't' AND state = 'running'});
my $rate = measured(q{SELECT rows_done FROM backfill.jobs WHERE name = 't' AND state = 'running'});
cmp_ok($rate, '<', 125, 'two workers share 100 rows a second');
cmp_ok($rate, '>', 0, 'and they go on') or diag(value($node, 'TABLE backfill.chunks'));
cmp_ok(value($node, q{SELECT max(rows) FROM backfill.chunks WHERE name = 't' AND batches = 1 AND status = 'done'}),
  '<=', 100, 'no batch has more than a second gives');
value($node, q{SELECT backfill_alter('t', parallelism => 1)});
ok(
  $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name ~ '^backfill worker'}),
  'with less parallelism a worker leaves');
value($node, q{SELECT backfill_alter('t', throttle => '{"rows_per_second": "1M"}')});
ends_well('rate');

value($node, q{UPDATE t SET label = repeat('wide ', 100)});
begin('wal_per_second: 40kB', label => "repeat('wide ', 100) || id", strategy => 'parallelism: 2');
$node->poll_query_until('postgres', q{SELECT rows_done > 0 FROM backfill.jobs WHERE name = 't' AND state = 'running'});
$rate = measured(q{SELECT rows_done * 500 FROM backfill.jobs WHERE name = 't' AND state = 'running'});
cmp_ok($rate, '<', 50 * 1024, 'two workers share 40 kB of WAL a second');
wait_for('^its rate, at most 40 kB of WAL a second$', 'it is told');
value($node, q{SELECT backfill_alter('t', throttle => '{"wal_per_second": null}')});
wait_state($node, 't', 'ready', 'without the limit it goes on at once');
is(
  value($node, q{SELECT detail FROM backfill.events WHERE name = 't' AND event = 'altered' ORDER BY number DESC LIMIT 1}),
  'wal_per_second from 40kB to none',
  'the event tells what was and what is');

# -- after all

like(value($node, q{SELECT backfill_publish('t')}), qr/t/, 'limits altered in mid-run do not stand in the way of the publish');
value($node, q{SELECT backfill_finish('t')});

$standby->stop;
$node->stop;
done_testing();
