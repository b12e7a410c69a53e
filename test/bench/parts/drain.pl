# Drain: how fast captured changes reach the other version, and whether the backlog stays bounded.
#
#   forward    a ready job; one UPDATE of keys spread over the whole table; seconds until none is pending
#   reverse    the same after publish, into the archive
#   backlog    5 000 single-row updates a second, before and after publish: the longest the log ever was
#
# The clock of forward and reverse begins when the first key has gone and stops when the last has: the coordinator looks
# twice a second.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;
use List::Util qw(max);
use Time::HiRes qw(sleep time);

my $rows = by_size(2000, 500_000, 5_000_000);
my $keys = by_size(200, 100_000, 500_000);
my $rounds = times(1, 3, 3);
my $seconds = lasting(1, 20, 120);
my $rate = by_size(500, 5000, 5000);
# Writers do not wait for the disk, or there would be no such rate on a small machine.
$ENV{PGOPTIONS} = '-c synchronous_commit=off';
my $scripts = "$ENV{BENCH_CHECKOUT}/test/bench/pgbench";

sql("\\set rows $rows\n\\i $scripts/accounts.sql");
ready_job('drain', q~scope: {table: accounts, column: opened, start: 2024-01-01, stop: 2024-03-01},
  transform: {set: {tier: "CASE WHEN balance > 10 THEN 'gold' ELSE 'basic' END"}}, strategy: {chunk_by: month}~);

my %raw;
$raw{forward} = [ map { drain_rate($_) } 1 .. $rounds ];
$raw{forward_backlog} = backlog();
sql("SET client_min_messages = warning; \\o /dev/null\nSELECT backfill_publish('drain')");
$raw{reverse} = [ map { drain_rate($_) } 1 .. $rounds ];
$raw{reverse_backlog} = backlog();

my @directions = ([ 'forward, into the shadow', 'forward' ], [ 'reverse, into the archive', 'reverse' ]);
for my $direction (@directions)
{
  my ($name, $key) = @$direction;
  my @rates = map { $_->{rate} } @{ $raw{$key} };
  budget("$key drain, keys/s", median(@rates), '>=', 50_000, '%.0f', "median of $rounds, " . spread('%.0f', @rates));
  my $backlog = $raw{"${key}_backlog"};
  # Bounded: no more than two seconds of writes.
  budget("$key backlog at most, keys", $backlog->{most}, '<=', 2 * $rate, '%.0f',
    number($backlog->{tps}) . " writes/s for $seconds s" . ($backlog->{tps} < 0.95 * $rate ? ", not the $rate asked for" : ''));
}
finish('Drain', raw => \%raw, tables => [ {
    caption => number($keys) . ' keys of ' . number($rows) . " rows changed at once; then $seconds s of $rate writes/s",
    head => [ 'direction', 'keys/s', 'spread', 'writes/s', 'backlog at most', 'first half', 'second half', 'empty after' ],
    rows => [ map { row(@$_) } @directions ]
  } ]);

sub drain_rate
{
  my ($round) = @_;
  my $every = int($rows / $keys);
  checkpoint();
  sql("UPDATE accounts SET balance = balance + 1 WHERE id % $every = " . ($round % $every));
  my @pending = watch_pending(sub { $_[0] == 0 });
  my $start = (grep { $_->[1] == $pending[0][1] } @pending)[-1];
  my $last = $pending[-1];
  my $took = $last->[0] - $start->[0];
  return { keys => $start->[1], seconds => $took, rate => $took > 0 ? $start->[1] / $took : 0 };
}

# Pairs of time and pending keys, every 50 ms, until `enough` says so of the latter.
sub watch_pending
{
  my ($enough, $patience) = @_;
  my $log = value("CASE state WHEN 'published' THEN format('backfill.reverse_%s', id) ELSE format('backfill.log_%s', id) END FROM backfill.jobs ORDER BY id DESC LIMIT 1");
  my $pid = open(my $in, '-|', "echo 'SELECT extract(epoch FROM clock_timestamp()), count(*) FROM $log \\watch 0.05' | exec psql -XqAt") or die;
  my $until = time + ($patience // 600);
  my @pending;
  while (my $line = <$in>)
  {
    push @pending, [ $1, $2 ] if $line =~ /^([\d.]+)\|(\d+)/;
    last if @pending && $enough->($pending[-1][1]) || time > $until;
  }
  kill 'TERM', $pid;
  close $in;
  return @pending;
}

sub backlog
{
  checkpoint();
  my $client = fork // die;
  if ($client == 0)
  {
    my $run = pgbench("-M prepared -c 4 -j 2 -T $seconds -R $rate -D rows=$rows -f $scripts/write_table.sql");
    open(my $out, '>', "$ENV{PGHOST}/backlog.tps") or die;
    print $out $run->{tps};
    close $out;
    POSIX::_exit(0);
  }
  my $begin = time;
  my @pending = watch_pending(sub { 0 }, $seconds);
  waitpid $client, 0;
  die "pgbench failed" if $? != 0;
  my $end = time;
  await("pending_keys = 0 FROM backfill.jobs", 600, 0.05);
  my $emptied = time - $end;
  open(my $in, '<', "$ENV{PGHOST}/backlog.tps") or die;
  my $middle = $begin + $seconds / 2;
  my $most = sub { max(0, map { $_->[1] } grep { $_[0]->($_->[0]) } @pending) };
  return {
    tps => <$in> + 0, most => $most->(sub { 1 }), first_half => $most->(sub { $_[0] < $middle }), second_half => $most->(sub { $_[0] >= $middle }),
    emptied => $emptied, samples => scalar @pending
  };
}

sub row
{
  my ($name, $key) = @_;
  my @rates = map { $_->{rate} } @{ $raw{$key} };
  my $backlog = $raw{"${key}_backlog"};
  return [ $name, number(median(@rates)), spread('%.0f', @rates), (map { number($backlog->{$_}) } qw(tps most first_half second_half)), sprintf('%.1f s', $backlog->{emptied}) ];
}
