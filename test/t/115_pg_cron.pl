# The schedule lines of the README, by a real pg_cron: a night from start to finish, the next one under the same name, and
# the housekeeping that brings jobs back after a restart.
#
# And a job that its window interrupts.  To see a line of the night run without waiting for the night, it is scheduled '@reboot', which pg_cron runs at its start.
# The housekeeping runs by the minute, as it says.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libraries) = run_command([ $ENV{PG_CONFIG} // 'pg_config', '--pkglibdir' ]);
plan skip_all => 'pg_cron is not installed beside this server' unless -e "$libraries/pg_cron.so";

my $node = new_node('main', q{shared_preload_libraries = 'pg_cron'}, q{cron.database_name = 'postgres'},
  'cron.use_background_workers = on', q{cron.timezone = 'UTC'}, q{timezone = 'UTC'});
value($node, q{
  CREATE EXTENSION pg_cron;
  CREATE EXTENSION backfill;
  CREATE TABLE orders (order_id bigint PRIMARY KEY, ordered_at date NOT NULL, tier text);
  INSERT INTO orders SELECT i, current_date - 60 + (i % 60)::integer, 'GOLD' FROM generate_series(1, 600) AS i});

# -- the lines of the README are accepted as they stand

my @lines = slurp_file("$FindBin::RealBin/../../README.md") =~ /^(SELECT cron\.schedule\(.*\);)$/mg;
value($node, $_) foreach @lines;
my %command = map { split /\t/, $_, 2 } split /\n/, value($node, q{SELECT jobname || E'\t' || command FROM cron.job});
is(join(' ', sort keys %command), 'backfill-house nightly-finish nightly-publish nightly-start', 'the README schedules a night and a house');
value($node, q{SELECT count(cron.unschedule(jobname)) FROM cron.job});

# What pg_cron has to say of the last run of a line.
sub last_run
{
  my ($column) = @_;
  return value($node, "SELECT $column FROM cron.job_run_details WHERE status IN ('succeeded', 'failed') ORDER BY runid DESC LIMIT 1");
}

# Has pg_cron run a line, once, after a restart of the server; returns how it ended.
sub run_by_cron
{
  my ($line, $command) = @_;
  $command //= $command{$line};
  my $ended = q{SELECT count(*) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')};
  my $before = value($node, $ended);
  value($node, "SELECT cron.schedule('$line', '\@reboot', \$line\$$command\$line\$)");
  $node->restart;
  $node->poll_query_until('postgres', "SELECT ($ended) > $before") or die "pg_cron did not run $line";
  value($node, "SELECT cron.unschedule('$line')");
  return last_run('status');
}

my $old = q{SELECT count(*) FROM orders WHERE tier = 'GOLD'};

# -- a night

is(run_by_cron('nightly-start'), 'succeeded', 'pg_cron starts the night') or diag(last_run('return_message'));
wait_state($node, 'nightly', 'ready');
value($node, q{UPDATE orders SET tier = 'Platinum' WHERE order_id = 58});
is(run_by_cron('nightly-start'), 'failed', 'started twice: refused');
like(last_run('return_message'), qr/nightly/, 'and pg_cron keeps the reason');

# -- a night with a window, and the house by the minute: the restarts have left the first job without a coordinator

make_table($node, 'windowed');
my ($closes, $window) = split /\t/, value($node, q{
  SELECT to_char(date_trunc('minute', now() + interval '75 s'), 'YYYY-MM-DD HH24:MI') || E'\t'
    || to_char(now() - interval '1 h', 'HH24:MI') || '-' || to_char(now() + interval '75 s', 'HH24:MI')});
my $spec = spec('windowed', label => "'new ' || id") =~ s/transform:/throttle: {rows_per_second: 8, windows: ["$window"]}, transform:/r;
is(run_by_cron('windowed-start', "SELECT backfill_plan(\$\$$spec\$\$); SELECT backfill_run('windowed')"), 'succeeded',
  'pg_cron starts a job in its window')
  or diag(last_run('return_message'));
$node->poll_query_until('postgres', q{SELECT rows_done > 0 FROM backfill.jobs WHERE name = 'windowed'}) or die 'nothing was copied';
like(job($node, 'nightly', 'waiting_for'), qr/^a coordinator/, 'after a restart nobody drains');
value($node, "SELECT cron.schedule('backfill-house', '* * * * *', \$\$$command{'backfill-house'}\$\$)");
{
  local $PostgreSQL::Test::Utils::timeout_default = 90;
  $node->poll_query_until('postgres', q{SELECT waiting_for IS NULL AND pending_keys = 0 FROM backfill.jobs WHERE name = 'nightly'});
  is(job($node, 'nightly', 'waiting_for'), '', 'within a minute the house has brought its coordinator back');
  is(last_run('status'), 'succeeded', 'backfill_maintain succeeded');
  value($node, q{SELECT cron.unschedule('backfill-house')});
  $node->poll_query_until('postgres', q{SELECT waiting_for ~ '^its window, opens at ' FROM backfill.jobs WHERE name = 'windowed'});
}
like(job($node, 'windowed', 'waiting_for'), qr/^its window, opens at/, 'the window closes, and the job waits for the next one');
is(value($node, "SELECT clock_timestamp() >= '$closes'"), 't', 'not before its time');
cmp_ok(job($node, 'windowed', 'rows_done'), '<', 1001, 'there is something left to be done');
my $done = finished_chunks($node, 'windowed');
value($node, q{SELECT backfill_alter('windowed', throttle => '{"rows_per_second": null}',
  windows => ARRAY[to_char(now() - interval '1 h', 'HH24:MI') || '-' || to_char(now() + interval '1 h', 'HH24:MI')])});
wait_state($node, 'windowed', 'ready', 'the next window finishes it');
my $again = finished_chunks($node, 'windowed');
is(substr($again, 0, length $done), $done, 'no finished chunk was done again');
exact($node, 'windowed');
value($node, q{SELECT backfill_cancel('windowed')});

is(run_by_cron('nightly-publish'), 'succeeded', 'pg_cron publishes') or diag(last_run('return_message'));
is(job($node, 'nightly', 'state'), 'published', 'it is published');
is(value($node, $old), '300', 'the last 30 days are recomputed, the others are as they were');
is(value($node, q{SELECT tier FROM orders WHERE order_id = 58}), 'platinum', 'with what was written meanwhile');
is(run_by_cron('nightly-finish'), 'succeeded', 'pg_cron finishes') or diag(last_run('return_message'));
is(job($node, 'nightly', 'state'), 'finished', 'it is finished');

# -- the next night has the same name; a check stands in its way

value($node, q{UPDATE orders SET tier = NULL WHERE order_id = 59});
is(run_by_cron('nightly-start', $command{'nightly-start'} =~ s/set =>/checks => '[{"check": "not_null", "columns": ["tier"]}]', set =>/r), 'succeeded',
  'the next night is planned and run under the same name')
  or diag(last_run('return_message'));
wait_state($node, 'nightly', 'ready');
is(value($node, q{SELECT count(*) FROM backfill.jobs WHERE name = 'nightly'}), '2', 'the record of both is kept');
is(run_by_cron('nightly-publish'), 'failed', 'a check in the way: the publish fails');
like(last_run('return_message'), qr/check/, 'pg_cron keeps the reason');
is(value($node, q{SELECT tier IS NULL FROM orders WHERE order_id = 59}), 't', 'and nothing was changed');

$node->stop;
done_testing();
