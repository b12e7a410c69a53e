# Whoever is in the way of a publish is named, and waited for or refused; and whoever reads and writes the table meanwhile
# notices nothing but a short wait now and then.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $longest_allowed = 2000;  # ms, of any statement of the probe, on any machine

my $node = new_node('main', 'autovacuum_naptime = 1s', 'synchronous_commit = off', 'autovacuum_max_workers = 5',
  'log_autovacuum_min_duration = 0');
value($node, 'CREATE EXTENSION backfill');
value($node, q{
  CREATE TABLE t (id integer PRIMARY KEY, v integer, note text);
  INSERT INTO t SELECT i, 0, 'old' FROM generate_series(1, 10000) AS i;
  CREATE VIEW seen AS SELECT id, v, note FROM t;
  CREATE TABLE control (stop boolean);
  INSERT INTO control VALUES (false);
  -- Reads and writes until told to stop; returns the longest wait in ms.
  CREATE PROCEDURE probe(INOUT longest integer DEFAULT 0, INOUT rounds integer DEFAULT 0) LANGUAGE plpgsql AS $$
  DECLARE
    began timestamptz;
  BEGIN
    LOOP
      began := clock_timestamp();
      UPDATE t SET v = v + 1 WHERE id = 1 + rounds % 10000;
      COMMIT;
      PERFORM v FROM seen WHERE id = 1 + rounds % 10000;
      COMMIT;
      longest := greatest(longest, (1000 * extract(epoch FROM clock_timestamp() - began))::integer);
      rounds := rounds + 1;
      EXIT WHEN (SELECT stop FROM control);
      COMMIT;
      PERFORM pg_sleep(0.005);
      COMMIT;
    END LOOP;
  END $$});

# -- other sessions

# A session of its own: say($session, SQL) returns when it is done.
sub session
{
  my ($name) = @_;
  my %session = (in => '', out => '', name => $name);
  $session{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') . " application_name=$name" ],
    '<', \$session{in}, '>', \$session{out}, '2>&1', IPC::Run::timeout(120));
  return \%session;
}

sub say_to
{
  my ($session, $sql) = @_;
  $session->{in} .= "$sql;\n\\echo done\n";
  $session->{run}->pump until $session->{out} =~ /done\n/;
  (my $answer = $session->{out}) =~ s/done\n//;
  $session->{out} = '';
  return $answer;
}

sub end
{
  my ($session) = @_;
  $session->{in} .= "\\q\n";
  $session->{run}->finish;
  return;
}

sub pid_of { return value($node, "SELECT pid FROM pg_stat_activity WHERE application_name = '$_[0]->{name}'"); }

# A statement on its way: its output grows, also by NOTICE.
sub begin
{
  my ($sql) = @_;
  my %statement = (out => '');
  $statement{run} = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-d', $node->connstr('postgres'), '-c', $sql ],
    '<', \undef, '>', \$statement{out}, '2>&1', IPC::Run::timeout(120));
  return \%statement;
}

sub await_output
{
  my ($statement, $pattern, $test) = @_;
  $statement->{run}->pump while $statement->{run}->pumpable && $statement->{out} !~ $pattern;
  like($statement->{out}, $pattern, $test);
  return;
}

sub answer
{
  my ($statement) = @_;
  $statement->{run}->finish;
  return $statement->{out};
}

# What is said in spite of an error, which is expected.
sub try_to
{
  my ($sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  return $out . $err;
}

sub with_probe
{
  my ($test, $work) = @_;
  value($node, 'UPDATE control SET stop = false');
  my $probe = begin('CALL probe()');
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'CALL probe()')});
  $work->();
  value($node, 'UPDATE control SET stop = true');
  my ($longest, $rounds) = answer($probe) =~ /^(\d+)\|(\d+)$/m;
  cmp_ok($rounds, '>', 0, "$test: the table was read and written meanwhile");
  cmp_ok($longest, '<', $longest_allowed, "$test: nobody waited for long");
  note("$test: longest wait $longest ms in $rounds rounds");
  return;
}

sub spec_of
{
  my ($table, $publish) = @_;
  return "SELECT backfill_plan(\$\$
    name: $table
    scope: {table: $table}
    transform: {set: {note: \"'new'\"}}
    strategy: {chunk_by: blocks}
    publish: {lock_timeout: 100ms, $publish}\$\$)";
}

# -- an old snapshot, opened before the copy

my $reader = session('reader');
say_to($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
value($node, spec_of('t', 'give_up_after: 1s'));
value($node, q{SELECT backfill_run('t')});
wait_state($node, 't', 'ready');
my $pid = pid_of($reader);
with_probe('an old snapshot', sub {
  like(try_to(q{SELECT backfill_publish('t')}),
    qr/ERROR:  55006:.*DETAIL:  In the way: process $pid \(.*idle in transaction, open for \d+ s, holds a snapshot\)/s,
    'a snapshot from before the copy is named, and the publish gives up');
  my $publish = begin(q{SELECT backfill_publish('t')});
  await_output($publish, qr/NOTICE:  waiting for transactions.*process $pid/s, 'while it waits it says for whom');
  is(say_to($reader, 'SELECT count(*) FROM seen'), "10000\n", 'the reader sees all of its rows');
  say_to($reader, 'COMMIT');
  like(answer($publish), qr/published t in/, 'when the reader is done it goes on');
});
like(try_to(q{SELECT backfill_rollback('t')}), qr/rolled back t in/, 'and back');

# -- somebody idle in a transaction that has read the table

say_to($reader, 'BEGIN; SELECT count(*) FROM seen');
with_probe('idle in transaction', sub {
  my $said = try_to(q{SELECT backfill_publish('t')});
  like($said, qr/NOTICE:.*could not publish t yet: try 1 gave way, the next one begins in \d+ ms/, 'it tells of the first try');
  like($said, qr/DETAIL:  In the way: process $pid \(\w+, idle in transaction, open for \d+ s, holds ACCESS SHARE on public\.(t|seen)\)/,
    'and of who was in the way');
  like($said, qr/ERROR:  55P03:.*gave up after \d+ tries/, 'it gives up');
  my $publish = begin(q{SELECT backfill_publish('t')});
  await_output($publish, qr/NOTICE:  could not publish t yet: try 2/, 'again');
  say_to($reader, 'COMMIT');
  like(answer($publish), qr/published t in \d+ tries: waited \d+ ms.*nobody kept waiting longer than \d+ ms; in the way: process $pid/,
    'when the reader is done it goes on, and tells of him');
  like(value($node, q{SELECT detail FROM backfill.events WHERE name = 't' AND event = 'published' ORDER BY at DESC LIMIT 1}),
    qr/in the way: process $pid/, 'so does the record');
});
like(try_to(q{SELECT backfill_rollback('t')}), qr/rolled back t in/, 'and back');

# One that is open for long is not queued behind: nobody waits at all.
say_to($reader, 'BEGIN; LOCK TABLE seen IN ACCESS SHARE MODE');
$node->poll_query_until('postgres', "SELECT clock_timestamp() - xact_start > '1.2 s' FROM pg_stat_activity WHERE pid = $pid");
like(try_to(q{SELECT backfill_publish('t')}), qr/The last try|In the way: process $pid/, 'somebody idle for long is named');
like(try_to(q{SELECT backfill_publish('t')}), qr/Waited \d ms for locks so far/, 'and not queued behind');
say_to($reader, 'COMMIT');

# -- a prepared transaction

say_to($reader, q{BEGIN; INSERT INTO t VALUES (20000); PREPARE TRANSACTION 'it is "prepared"'});
with_probe('a prepared transaction', sub {
  like(try_to(q{SELECT backfill_publish('t')}),
    qr/ERROR:  55006:.*In the way: prepared transaction "it is "prepared"" \(prepared \d+ s ago, holds ROW EXCLUSIVE on public\.t\)/s,
    'a prepared transaction is named by its gid');
  value($node, q{ROLLBACK PREPARED 'it is "prepared"'});
  like(try_to(q{SELECT backfill_publish('t')}), qr/published t in/, 'when it is gone the publish goes through');
});

# -- the way back, and the end, take locks with the same care

value($node, q{ALTER TABLE t ALTER COLUMN v SET DEFAULT 7});
my $archive = value($node, q{SELECT archive FROM backfill.jobs WHERE name = 't'});
say_to($reader, "BEGIN; SELECT count(*) FROM $archive");
with_probe('who reads the old version, which has to be altered', sub {
  like(try_to(q{SELECT backfill_rollback('t')}), qr/ERROR:  55P03: +could not roll back t.*In the way: process $pid .*ACCESS SHARE on $archive/s,
    'who reads the old version is named');
});
say_to($reader, 'COMMIT');
say_to($reader, 'BEGIN; SELECT count(*) FROM t');
with_probe('the way back and the end', sub {
  like(try_to(q{SELECT backfill_rollback('t')}), qr/ERROR:  55P03: +could not roll back t.*In the way: process $pid/s, 'rollback names him');
  like(try_to(q{SELECT backfill_finish('t')}), qr/ERROR:  55P03: +could not finish t.*In the way: process $pid/s, 'so does finish');
});
say_to($reader, 'COMMIT');
like(try_to(q{SELECT backfill_rollback('t')}), qr/rolled back t in/, 'then it rolls back');
say_to($reader, 'BEGIN; SELECT count(*) FROM t');
with_probe('cancel', sub {
  like(try_to(q{SELECT backfill_cancel('t')}), qr/ERROR:  55P03: +could not cancel t.*In the way: process $pid/s, 'cancel names him');
});
say_to($reader, 'COMMIT');
end($reader);
like(try_to(q{SELECT backfill_cancel('t')}), qr/cancelled t in/, 'then it cancels');

# -- an autovacuum at work on the table gives way

my $throttle = 'autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1';
value($node, spec_of('t', 'give_up_after: 10s'));
value($node, q{SELECT backfill_run('t')});
wait_state($node, 't', 'ready');
value($node, "ALTER TABLE t SET ($throttle, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)");
value($node, 'UPDATE t SET v = v + 1');
my $vacuum = 'SELECT count(*) > 0 FROM pg_stat_progress_vacuum v JOIN pg_stat_activity a USING (pid)'
  . q{ WHERE v.relid = '%s'::regclass AND a.query LIKE '%%(to prevent wraparound)' IS %s};
$node->poll_query_until('postgres', sprintf $vacuum, 't', 'FALSE');
with_probe('an autovacuum', sub {
  like(try_to(q{SELECT backfill_publish('t')}), qr/published t in/, 'an autovacuum gives way');
});
like(slurp_file($node->logfile), qr/canceling autovacuum task/, 'the server has cancelled it');
value($node, 'ALTER TABLE t RESET (autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)');
value($node, q{SELECT backfill_finish('t')});

# -- one that prevents wraparound does not; it is the only one to look at this table

sub grow_old
{
  value($node, "ALTER TABLE t SET ($throttle, autovacuum_enabled = false, autovacuum_freeze_max_age = 100000, autovacuum_freeze_min_age = 0)");
  value($node, 'UPDATE t SET v = v + 1');
  value($node, q{DO $$ BEGIN FOR i IN 1..101000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$});
  ok($node->poll_query_until('postgres', sprintf $vacuum, 't', 'TRUE'), 'a vacuum to prevent wraparound is at work');
  return;
}

# It holds what ALTER TABLE needs, and begins again when it is ended.
sub let_it_finish
{
  foreach my $table (split /\n/, value($node, q{SELECT oid::regclass FROM pg_class WHERE relname ~ '^t(_backfill_\d+)?$' AND relkind = 'r'}))
  {
    my $settled = "SELECT 'autovacuum_vacuum_cost_delay=0' = ANY (reloptions) FROM pg_class WHERE oid = '$table'::regclass";
    while (value($node, $settled) ne 't')
    {
      value($node, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_progress_vacuum WHERE relid = '$table'::regclass");
      try_to("SET lock_timeout = '2s'; ALTER TABLE $table SET (autovacuum_vacuum_cost_delay = 0)");
    }
    $node->poll_query_until('postgres', "SELECT age(relfrozenxid) < 100000 FROM pg_class WHERE oid = '$table'::regclass");
  }
  return;
}

grow_old();
with_probe('a vacuum to prevent wraparound', sub {
  value($node, spec_of('t', 'give_up_after: 1s'));
  value($node, q{SELECT backfill_run('t')});
  ok( $node->poll_query_until('postgres',
      q{SELECT waiting_for ~ 'a lock on t.*autovacuum to prevent wraparound' FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1}),
    'the job says that its capture waits for it')
    or diag(job($node, 't', 'waiting_for'));
  let_it_finish();
});
wait_state($node, 't', 'ready', 'when it is done the job goes on');

grow_old();
with_probe('the same at publish', sub {
  my $holder = qr/process \d+ \(autovacuum to prevent wraparound, which does not give way, \w[^()]*, running for \d+ s, holds SHARE UPDATE EXCLUSIVE on public\.t\w*\)/;
  like(try_to(q{SELECT backfill_publish('t')}), qr/ERROR:  55P03:.*In the way: $holder/s, 'the publish names it with its progress');
  like(try_to(q{SELECT backfill_cancel('t')}), qr/ERROR:  55P03:.*In the way: $holder/s, 'so does cancel');
  let_it_finish();
});
value($node, q{SELECT backfill_maintain()});
like(try_to(q{SELECT backfill_publish('t')}), qr/published t in/, 'when it is done the publish goes through');

$node->stop;
done_testing();
