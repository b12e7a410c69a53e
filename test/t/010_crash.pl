# Whatever dies in mid-copy, the job goes on where it was: no finished chunk is done again, no row is lost or there twice.
#
# Every job stops before a gate in the middle of its fifth chunk, so that what is done by then is known; then rows of
# finished chunks and of others are changed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
value($node, 'CREATE EXTENSION backfill');

# Starts a job and lets it come to the gate; returns the worker's and the coordinator's pid, and what is finished.
sub run_to_gate
{
  my ($table, %with) = @_;
  make_table($node, $table);
  close_gate($node, $table);
  value($node, "SELECT backfill_plan(\$\$" . spec($table, %with) . "\$\$)");
  value($node, "SELECT backfill_run('$table')");
  my $worker = at_gate($node);
  value($node, "DELETE FROM $table WHERE id IN (150, 950); UPDATE $table SET v = -v WHERE id IN (250, 850);
    UPDATE $table SET day = '2024-01-09' WHERE id = 350; UPDATE $table SET id = 2000, day = '2024-01-01' WHERE id = 750;
    INSERT INTO $table VALUES (3000, '2024-01-02', 1, 'old'), (4000, NULL, 1, 'old')");
  my $coordinator = value($node, q{SELECT pid FROM pg_locks WHERE locktype = 'object' AND classid = 'backfill.job'::regclass
    AND objsubid = 1 AND granted});
  my $finished = finished_chunks($node, $table);
  is(scalar(split /\n/, $finished), 4, "$table: four chunks are done before the gate");
  return ($worker, $coordinator, $finished);
}

sub is_kept
{
  my ($table, $finished) = @_;
  is(finished_chunks($node, $table, '1, 2, 3, 4'), $finished, "$table: no finished chunk was done again");
  exact($node, $table);
  is(job($node, $table, 'progress'), '100.0', "$table: progress is 100");
  value($node, "SELECT backfill_cancel('$table')");
  return;
}

# -- kill -9 makes the server restart; the coordinator comes back with it

foreach my $victim (qw(worker coordinator))
{
  my $table = "killed_$victim";
  my ($worker, $coordinator, $finished) = run_to_gate($table);
  crash($node, $victim eq 'worker' ? $worker : $coordinator);
  at_gate($node, $worker);
  is(job($node, $table, 'state'), 'running', "$table: it resumes by itself");
  open_gate($node, $table);
  wait_state($node, $table, 'ready');
  is_kept($table, $finished);
}

# -- an immediate stop: nobody is there to go on, and the state says so

{
  my ($worker, $coordinator, $finished) = run_to_gate('stopped');
  $node->stop('immediate');
  $node->start;
  is(job($node, 'stopped', 'state'), 'stalled', 'stopped: the state is honest');
  is(job($node, 'stopped', 'next_command'), q{SELECT backfill_run('stopped');}, 'stopped: and says what to type');
  is(job($node, 'stopped', 'eta'), '-', 'stopped: without a promise');
  refused($node, q{CALL backfill_wait('stopped')}, '55000', 'stopped: there is nothing to wait for');
  value($node, q{SELECT backfill_run('stopped')});
  at_gate($node, $worker);
  open_gate($node, 'stopped');
  wait_state($node, 'stopped', 'ready');
  is_kept('stopped', $finished);
}

# -- terminated by an administrator

{
  my ($worker, $coordinator, $finished) = run_to_gate('ended_worker');
  value($node, "SELECT pg_terminate_backend($worker)");
  at_gate($node, $worker);
  is( value($node, q{SELECT attempts FROM backfill.chunks WHERE name = 'ended_worker' AND chunk = 5}),
    '2', 'ended_worker: the attempt counts');
  open_gate($node, 'ended_worker');
  wait_state($node, 'ended_worker', 'ready');
  is_kept('ended_worker', $finished);
}

{
  my ($worker, $coordinator, $finished) = run_to_gate('ended_coordinator');
  value($node, "SELECT pg_terminate_backend($coordinator)");
  $node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $coordinator)")
    or die 'the coordinator did not end';
  open_gate($node, 'ended_coordinator');
  wait_state($node, 'ended_coordinator', 'ready', 'ended_coordinator: the server starts another one');
  is_kept('ended_coordinator', $finished);
}

# -- a worker that wakes up late: somebody else has its step

{
  my ($worker, $coordinator, $finished) = run_to_gate('fenced');
  value($node, q{UPDATE backfill.step SET token = nextval('backfill.step_token'), status = 'pending', pid = NULL
    WHERE status = 'running' AND chunk = 5});
  open_gate($node, 'fenced');
  wait_state($node, 'fenced', 'ready');
  is( value($node, q{SELECT attempts || ' ' || batches || ' ' || rows FROM backfill.chunks WHERE name = 'fenced' AND chunk = 5}),
    '2 1 100', 'fenced: what it did was rolled back, and done once');
  is_kept('fenced', $finished);
}

# -- an immediate stop when ready, and when published: capture goes on without a coordinator, and so can the job

{
  my $image = sub { return value($node, q{SELECT string_agg(t::text, E'\n' ORDER BY id) FROM (SELECT id, day, v FROM late) AS t}) };
  my $new = q{SELECT count(*) FROM late WHERE (label IS NOT DISTINCT FROM 'new ' || id) <> (day IS NOT NULL)};
  make_table($node, 'late');
  value($node, "SELECT backfill_plan(\$\$" . spec('late') . "\$\$)");
  value($node, q{SELECT backfill_run('late')});
  wait_state($node, 'late', 'ready');
  $node->stop('immediate');
  $node->start;
  value($node, q{DELETE FROM late WHERE id = 100; UPDATE late SET v = 0 WHERE id = 200; INSERT INTO late VALUES (5000, '2024-01-05', 1)});
  is(job($node, 'late', 'pending_keys'), '3', 'late: capture goes on after a crash');
  like(job($node, 'late', 'waiting_for'), qr/coordinator/, 'late: and the job says that nobody drains it');
  is(job($node, 'late', 'next_command'), q{SELECT backfill_run('late');}, 'late: and what to type');
  my $before = $image->();
  value($node, q{SELECT backfill_publish('late')});
  is($image->(), $before, 'late: published without a coordinator, no write is lost');
  is(value($node, $new), '0', 'late: and every row is transformed');

  value($node, q{SELECT backfill_run('late')});
  $node->stop('immediate');
  $node->start;
  value($node, q{DELETE FROM late WHERE id = 300; UPDATE late SET v = 0 WHERE id = 400; UPDATE late SET id = 6000 WHERE id = 500});
  $before = $image->();
  value($node, q{SELECT backfill_rollback('late')});
  is($image->(), $before, 'late: rolled back without a coordinator, no write is lost');
  is(value($node, q{SELECT count(*) FROM late WHERE label <> 'old'}), '0', 'late: and every value is the old one');
  is(job($node, 'late', 'state'), 'ready', 'late: it is ready again');
  like(value($node, 'SELECT backfill_maintain()'), qr/^1 coordinator/, 'late: backfill_maintain brings its coordinator back');
  $node->poll_query_until('postgres', q{SELECT pending_keys = 0 FROM backfill.jobs WHERE name = 'late'});
  value($node, q{SELECT backfill_publish('late')});
  is($image->(), $before, 'late: published again, no write is lost');
  is(value($node, $new), '0', 'late: and every row is transformed again');
  value($node, q{SELECT backfill_finish('late')});
}

$node->stop;
done_testing();
