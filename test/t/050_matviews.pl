# Materialized views are refreshed after a swap while they are read, whatever is interrupted.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('matviews', 'autovacuum = off');
value($node, 'CREATE EXTENSION backfill');
make_table($node, 't');
# Slow on demand: stands before the gate of table "slow" when it has read a row of the new version.
value($node, q{
  CREATE TABLE slow ();
  CREATE FUNCTION slowly(label text) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    IF label = 'new 450' THEN
      PERFORM pg_advisory_xact_lock_shared('public.slow'::regclass::integer);
    END IF;
    RETURN label;
  END $$;
  CREATE MATERIALIZED VIEW keyed AS SELECT id, public.slowly(label) AS label FROM t;
  CREATE UNIQUE INDEX ON keyed (id);
  CREATE MATERIALIZED VIEW plain AS SELECT id, public.slowly(label) AS label FROM t;
  CREATE INDEX ON plain (label);
  CREATE MATERIALIZED VIEW over AS SELECT count(*) FILTER (WHERE label LIKE 'new%') FROM plain});

sub open_steps
{
  return "SELECT count(*) FROM backfill.steps WHERE name = 't' AND phase = 'after' AND status IN ('pending', 'running')";
}

sub settled
{
  my ($test) = @_;
  my $there = $node->poll_query_until('postgres', open_steps(), '0');
  ok($there, $test);
  diag(value($node, "SELECT title, status, attempts, waiting_for, error FROM backfill.steps WHERE name = 't' AND phase = 'after'"))
    unless $there;
  return;
}

sub contents
{
  return value($node, q{SELECT (SELECT count(*) FROM keyed WHERE label LIKE 'new%'),
    (SELECT count(*) FROM plain WHERE label LIKE 'new%'), (SELECT count FROM over)});
}

# Both refreshes stand before the gate.
sub at_slow_gate
{
  my ($count) = @_;
  return $node->poll_query_until('postgres', "SELECT count(*) = $count FROM pg_locks JOIN pg_stat_activity USING (pid)"
      . " WHERE locktype = 'advisory' AND NOT granted AND backend_type = 'backfill'");
}

my $leftovers = q{SELECT count(*) FROM pg_class WHERE relname ~ '_(backfill|archive)_[0-9]+$' AND relkind = 'm'};

value($node, 'SELECT backfill_plan(' . "\$\$" . spec('t', strategy => 'parallelism: 2') . "\$\$)");
value($node, q{SELECT backfill_run('t')});
wait_state($node, 't', 'ready');
my $before = everything();

# The shadow is vacuumed like any other table once it has been published.
sub everything
{
  return inventory($node) =~ s/\)\nWITH \(autovacuum_enabled=off, toast.autovacuum_enabled=off\);/);/r;
}

# -- read all the time

my $reading = write_file('read.sql', "SELECT 1 / (count(*) = 1001)::integer FROM keyed;\n"
    . "SELECT 1 / (count(*) = 1001)::integer FROM plain;\nSELECT 1 / (count(*) = 1)::integer FROM over;\n");
my $reader = IPC::Run::start(
  [ 'pgbench', '-n', '-M', 'prepared', '-c', '2', '-T', '600', '-f', $reading, '-d', $node->connstr('postgres') ],
  '>', \my $reader_out, '2>', \my $reader_err);

sub write_file
{
  my ($name, $text) = @_;
  my $file = "$PostgreSQL::Test::Utils::tmp_check/$name";
  PostgreSQL::Test::Utils::append_to_file($file, $text);
  return $file;
}

value($node, q{SELECT backfill_publish('t')});
settled('everything is refreshed while it is read');
is(contents(), '1000|1000|1000', 'with the new contents');
value($node, q{SELECT backfill_rollback('t')});
settled('and again after a rollback');
is(contents(), '0|0|0', 'with the old contents');
ok($reader->pumpable, 'no reader has met an error or an empty view');
$reader->signal('INT');
$reader->finish;
unlike($reader_err // '', qr/ERROR|aborted/, 'none was told of one');
same(everything(), $before, 'nothing else has changed');

# -- a rollback does not wait for a refresh

close_gate($node, 'slow');
value($node, q{SELECT backfill_publish('t')});
ok(at_slow_gate(2), 'both refreshes are being computed');
is(contents(), '0|0|0', 'the views are read meanwhile');
value($node, q{SELECT backfill_rollback('t')});
settled('a rollback interrupts them');
is(contents(), '0|0|0', 'and leaves the old contents');
is(value($node, $leftovers), '0', 'and no twin');

# -- somebody else goes first

value($node, q{SELECT backfill_publish('t')});
ok(at_slow_gate(2), 'both refreshes are being computed');
value($node, 'BEGIN; LOCK TABLE t; COMMIT');
pass('who waits for a refresh does not wait for its end');

# -- refreshed by somebody else meanwhile, read by a snapshot that is older than the new contents

ok(at_slow_gate(2), 'both refreshes are being computed');
my $script = write_file('snapshot.sql', q{
  BEGIN ISOLATION LEVEL REPEATABLE READ;
  SELECT count(*) FROM t;
  DO 'BEGIN
    FOR i IN 1..1200 LOOP
      EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name ~ ''^backfill worker'');
      PERFORM pg_sleep(0.05), pg_stat_clear_snapshot();
    END LOOP;
  END';
  SELECT count(*) FROM plain;
  COMMIT;
});
my $snapshot = IPC::Run::start(
  [ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-f', $script, '-d', $node->connstr('postgres') ],
  '>', \my $seen, '2>', \my $complaints);
ok($node->poll_query_until('postgres',
    q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%DO %' AND query !~ 'EXISTS \(SELECT FROM pg_stat_activity WHERE query' AND backend_xmin IS NOT NULL AND state = 'active')}),
  'a snapshot is open');
value($node, q{UPDATE t SET label = 'again' WHERE id = 1});
value($node, 'VACUUM FULL plain');    # new storage, as a REFRESH makes it
open_gate($node, 'slow');
settled('refreshed in spite of both');
$snapshot->finish;
is($seen =~ s/\n/ /gr, '1001 1001 ', 'the older snapshot does not see an empty view');
is($complaints, '', 'nor an error');
is(value($node, 'SELECT label FROM plain WHERE id = 1'), 'again', 'contents computed too early were not used');
value($node, q{SELECT backfill_rollback('t')});
settled('back');

# -- crashes

close_gate($node, 'slow');
value($node, q{SELECT backfill_publish('t')});
foreach my $victim ('coordinator', 'worker')
{
  ok(at_slow_gate(2), 'both refreshes are being computed');
  my $pid = value($node, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'backfill $victim%' LIMIT 1");
  crash($node, $pid);
}
open_gate($node, 'slow');
settled('what was interrupted by a crash is done');
is(contents(), '1000|1000|1000', 'with the new contents');
is(value($node, $leftovers), '0', 'and nothing left behind');

# -- a twin that was left behind

value($node, q{SELECT backfill_rollback('t')});
settled('back');
value($node, q{BEGIN; SELECT FROM plain LIMIT 1; PREPARE TRANSACTION 'reader of plain'});
value($node, q{SELECT backfill_publish('t')});
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^plain_backfill_\d+$')}),
  'new contents wait for a reader of the old ones');
is(value($node, 'SELECT count(*) FROM plain'), '1001', 'other readers are not kept out');
crash($node, value($node, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'backfill coordinator%' LIMIT 1"));
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name LIKE 'backfill coordinator%'}),
  'the coordinator is back');
value($node, q{SELECT backfill_rollback('t')});
is(value($node, $leftovers), '0', 'a rollback takes the twin away');
value($node, q{COMMIT PREPARED 'reader of plain'});
settled('and the rest is done');
is(contents(), '0|0|0', 'with the old contents');
same(everything(), $before, 'nothing else has changed');

value($node, q{SELECT backfill_publish('t')});
value($node, q{SELECT backfill_finish('t')});
is(contents(), '1000|1000|1000', 'ending a backfill refreshes first');
is(value($node, $leftovers), '0', 'and leaves nothing');

done_testing();
