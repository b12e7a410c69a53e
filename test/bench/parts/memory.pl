# Memory: what a worker takes over an idle backend while it copies, for small and large chunks and for rows of 1 MB.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;

my $rows = by_size(2000, 500_000, 5_000_000);
my $wide = by_size(10, 200, 1000);
my $idle = idle_memory();

sql("CREATE TABLE narrow (id bigint PRIMARY KEY, tier text, body text);
    INSERT INTO narrow SELECT i, NULL, md5(i::text) || repeat('x', 80) FROM generate_series(1, $rows) AS i;
    CREATE TABLE wide (id bigint PRIMARY KEY, tier text, body text);
    ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
    INSERT INTO wide SELECT i, NULL, repeat(md5(i::text), 32 * 1024) FROM generate_series(1, $wide) AS i;
    VACUUM (ANALYZE) narrow, wide");

# What, table, chunk width, batch_target.
my $set = q~set: {tier: "'x' || length(body)"}~;
my @cases = (
  [ 'many small chunks', 'narrow', $rows, "chunk_by: " . int($rows / 50), $set ],
  [ 'one chunk, batches of a second', 'narrow', $rows, "chunk_by: $rows", $set ],
  [ 'one chunk, one batch', 'narrow', $rows, "chunk_by: $rows, batch_target: 1h", $set ],
  [ 'a query, which is one batch', 'narrow', $rows, "chunk_by: $rows", q~query: "SELECT id, 'x' || length(body) AS tier, body FROM narrow"~ ],
  [ 'rows of 1 MB, batches of a second', 'wide', $wide, "chunk_by: $wide", $set ],
  [ 'rows of 1 MB, one batch', 'wide', $wide, "chunk_by: $wide, batch_target: 1h", $set ],
  [ 'rows of 1 MB, computed', 'wide', $wide, "chunk_by: $wide, batch_target: 1h", q~set: {body: "reverse(body)"}~ ],
);
splice @cases, 1, -1 if $ENV{BENCH_SIZE} eq 'tiny';
my @raw;
for my $case (@cases)
{
  my ($what, $table, $count, $chunks, $transform) = @$case;
  checkpoint();
  my $watch = watch();
  ready_job('memory', "scope: {table: $table, column: id, start: 1, stop: " . ($count + 1) . "}, transform: {$transform}, strategy: {$chunks, parallelism: 1}");
  my $seen = unwatch($watch);
  my @copy = phase_of('memory', 'copy');
  push @raw, { what => $what, rows => $count, copy => over_idle($seen, 'worker', @copy), all => over_idle($seen, 'worker'), coordinator => over_idle($seen, 'coordinator'),
    seconds => $copy[1] - $copy[0] };
  cancel_job('memory');
}
my $most = (sort { $b->{copy} <=> $a->{copy} } @raw)[0];
budget('a worker over an idle backend, MB', $most->{copy} / 1e6, '<=', 64, '%.1f', "anonymous memory while copying, looked at every 40 ms; most for: $most->{what}");
finish('Memory', raw => \@raw, tables => [ {
    caption => 'Anonymous memory over an idle backend (' . bytes($idle) . ')',
    head => [ 'chunk', 'rows', 'copy', 'worker, copying', 'worker, with index builds', 'coordinator' ],
    rows => [ map { [ $_->{what}, number($_->{rows}), sprintf('%.2f s', $_->{seconds}), map { bytes($_) } @$_{qw(copy all coordinator)} ] } @raw ]
  } ]);

sub over_idle
{
  my ($seen, @span) = @_;
  my $memory = $seen->{memory}->(@span) - $idle;
  return $memory > 0 ? $memory : 0;
}
