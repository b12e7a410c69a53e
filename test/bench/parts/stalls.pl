# Stalls: eight clients read and write through a table and a view of it while it is published and rolled back again and
# again.  Counted: statements that failed, and the longest that any client waited, from when it was due.  The clients do not
# wait for the disk at commit (the publisher does), so that what is seen is locks.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;
use List::Util qw(max);
use Time::HiRes qw(sleep time);

my $rows = by_size(2000, 200_000, 2_000_000);
my $swaps = by_size(2, 20, 40);
my $rate = by_size(500, 4000, 4000);
my $scripts = "$ENV{BENCH_CHECKOUT}/test/bench/pgbench";
my $logs = "$ENV{PGHOST}/stalls";
mkdir $logs;

sql("\\set rows $rows\n\\i $scripts/accounts.sql");
ready_job('stalls', q~scope: {table: accounts, column: opened, start: 2024-01-01, stop: 2024-03-01},
  transform: {set: {tier: "CASE WHEN balance > 10 THEN 'gold' ELSE 'basic' END"}}, strategy: {chunk_by: month}~);

my $client = fork // die;
if ($client == 0)
{
  open(STDOUT, '>', "$logs/output");
  open(STDERR, '>&', \*STDOUT);
  $ENV{PGOPTIONS} = '-c synchronous_commit=off';
  exec 'pgbench', '-n', '-M', 'prepared', qw(-c 8 -j 2 -T 3600 -l), "--log-prefix=$logs/client", '-R', $rate, '-D', "rows=$rows",
    (map { ('-f', "$scripts/$_.sql") } qw(read_table read_view write_table write_view)), $ENV{PGDATABASE};
}
sleep by_size(0.5, 1, 1);
my $calm = time;
sleep by_size(0.5, 5, 10);
my $begin = time;
for my $swap (1 .. $swaps)
{
  sql("SET client_min_messages = warning; \\o /dev/null\nSELECT backfill_" . ($swap % 2 ? 'publish' : 'rollback') . "('stalls')");
  sleep by_size(0.1, 0.5, 1);
}
sleep 0.5;
kill 'TERM', $client;
waitpid $client, 0;
my $output = join '', do { open(my $in, '<', "$logs/output") or die; <$in> };
my @errors = grep { /error|ERROR|aborted/ && !/terminating connection|canceling statement due to user request/ } split /\n/, $output;

my (@calm, @stirred);
for my $file (glob "$logs/client*")
{
  open(my $in, '<', $file) or die;
  while (my $line = <$in>)
  {
    # client, transaction, latency in microseconds, script, when it ended in seconds and microseconds, lag (part of the latency)
    my (undef, undef, $took, undef, $at, $micro) = split ' ', $line;
    next unless $line =~ /\n$/ && $took =~ /^\d+$/;  # the last line was cut off, a failed transaction has no time
    $at += $micro / 1e6;
    if ($at >= $begin) { push @stirred, $took / 1000 }
    elsif ($at >= $calm) { push @calm, $took / 1000 }
  }
}
# Milliseconds.
my @events = call("SELECT event, detail FROM backfill.events WHERE event ~ 'publish|rolled back' ORDER BY at");
my @held = map { $_->[1] =~ /held[^0-9]*(?:for )?([\d.]+) ?ms/ ? $1 : () } @events;
my @waited = map { $_->[1] =~ /waited[^0-9]*(?:for )?([\d.]+) ?ms/ ? $1 : () } @events;

budget('longest stall of any client, ms', max(@stirred), '<=', 100, '%.0f', number(scalar @stirred) . " statements during $swaps swaps, spread of locks held " . spread('%.0f', @held) . ' ms');
budget('failed statements', scalar @errors, '<=', 0, '%.0f', 'of the same');
finish('Stalls', tables => [ {
    caption => '8 clients, ' . number($rate) . ' statements/s, ' . number($rows) . " rows, $swaps publishes and rollbacks",
    head => [ '', 'statements', 'median', '99.9 %', 'longest' ],
    rows => [ row('without', @calm), row('publishing and rolling back', @stirred) ]
  } ],
  notes => [ 'Locks held ' . spread('%.0f', @held) . ' ms, waited for ' . spread('%.0f', @waited) . ' ms, as the events tell.',
    'Latency is counted from when a statement was due, so one that waited behind another counts its wait.' ],
  raw => { events => \@events, held => \@held, waited => \@waited, errors => [ splice @errors, 0, 20 ], longest => [ (sort { $b <=> $a } @stirred)[ 0 .. 19 ] ] });

sub row
{
  my ($name, @took) = @_;
  my @sorted = sort { $a <=> $b } @took;
  return [ $name, number(scalar @sorted), map { sprintf '%.1f ms', $sorted[ int($_ * $#sorted) ] // 0 } 0.5, 0.999, 1 ];
}
