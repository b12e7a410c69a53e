# Growth: ten times the rows, ten thousand chunks, and what one chunk costs over its rows.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;

my $rows = by_size(500, 50_000, 500_000);
my $chunks = by_size(100, 10_000, 10_000);

my %raw = (small => [], large => [], many => [], one => [], plan => []);
make_table('few', $rows, $rows);
make_table('many', 10 * $rows, 10 * $rows);
make_table('hours', $chunks * 10, $chunks);
for my $run (1 .. runs())
{
  for my $table ([ small => 'few' ], [ large => 'many' ])
  {
    checkpoint();
    push @{ $raw{ $table->[0] } }, ready_job('growth', job_of($table->[1], 'day', $table->[1] eq 'few' ? $rows : 10 * $rows));
    cancel_job('growth');
  }
  checkpoint();
  push @{ $raw{plan} }, Bench::seconds(sub { make_job('growth', job_of('hours', 'hour', $chunks)) });
  my $planned = value("chunks_total FROM backfill.jobs WHERE state = 'planned'");
  die "$planned chunks were planned" unless $planned >= $chunks;
  sql("SET client_min_messages = warning;\n\\o /dev/null\nSELECT backfill_run('growth');\nCALL backfill_wait('growth');");
  push @{ $raw{many} }, copy_seconds();
  cancel_job('growth');
  checkpoint();
  ready_job('growth', job_of('hours', '10 years', $chunks));
  push @{ $raw{one} }, copy_seconds();
  cancel_job('growth');
}

my @growth = map { $raw{large}[$_] / $raw{small}[$_] } 0 .. $#{ $raw{small} };
my @overhead = map { 1000 * ($raw{many}[$_] - $raw{one}[$_]) / ($chunks - 1) } 0 .. $#{ $raw{many} };
budget('rows × 10: time ×', median(@growth), '<=', 11, '%.1f', 'plan to ready, median of ' . @growth . ', ' . spread('%.1f', @growth));
budget("$chunks chunks planned, s", median(@{ $raw{plan} }), '<=', 1, '%.2f', 'median, ' . spread('%.2f', @{ $raw{plan} }));
budget('overhead of a chunk, ms', median(@overhead), '<=', 2, '%.2f', "$chunks chunks of 10 rows against one, one worker, median, " . spread('%.2f', @overhead));
finish('Growth', raw => \%raw, tables => [ {
    caption => 'Median of ' . runs() . ' runs, one worker',
    head => [ 'what', 'rows', 'chunks', 'time', 'spread' ],
    rows => [
      row('plan to ready', $rows, 'by day', 'small'), row('plan to ready', 10 * $rows, 'by day', 'large'), row('plan alone', $chunks * 10, $chunks, 'plan'),
      row('copy', $chunks * 10, $chunks, 'many'), row('copy', $chunks * 10, 1, 'one')
    ]
  } ]);

# `rows` rows evenly over as many hours as `hours`.
sub make_table
{
  my ($name, $rows, $hours) = @_;
  sql("CREATE TABLE $name (id bigint PRIMARY KEY, at timestamp NOT NULL, amount numeric, tier text);
      INSERT INTO $name SELECT i, timestamp '2020-01-01' + (i - 1) * (interval '1 hour' * $hours / $rows), i % 1000, NULL FROM generate_series(1::bigint, $rows) AS i;
      CREATE INDEX ON $name (at); VACUUM (ANALYZE) $name");
  return;
}

# The scope is the whole table; days are of 1000 rows, so their number grows with the rows.
sub job_of
{
  my ($table, $unit, $hours) = @_;
  my $stop = value("timestamp '2020-01-01' + interval '1 hour' * $hours");
  my $width = $unit eq 'day' ? '1000 hours' : $unit;
  return qq~scope: {table: $table, column: at, start: 2020-01-01, stop: "$stop"}, transform: {set: {tier: "CASE WHEN amount > 500 THEN 'gold' ELSE 'basic' END"}}, strategy: {chunk_by: $width, parallelism: 1}~;
}

sub copy_seconds
{
  my ($from, $to) = phase_of('growth', 'copy');
  return $to - $from;
}

sub row
{
  my ($what, $rows, $chunks, $key) = @_;
  return [ $what, number($rows), $chunks, sprintf('%.2f s', median(@{ $raw{$key} })), spread('%.2f', @{ $raw{$key} }) ];
}
