# The copy: ours against what else makes a table anew.
#
#   insert     INSERT … SELECT of the same query into an empty table, the indexes, VACUUM (ANALYZE)
#   ctas       CREATE TABLE AS, the same
#   update     a procedure that updates in place by ranges of the key and commits each (on a table made afresh for it)
#   repack     pg_repack, two jobs: rewrites the same table without transform and checks
#   months 1/2 backfill with one worker and with two, plan to ready: by months of an indexed column, default checks
#   blocks 1/2 the same by blocks of the table
#
# Two tables: orders (narrow rows, two indexes) and documents (values out of line).  The transform fills a column.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;
use Time::HiRes;

my @contestants = chosen('BENCH_CONTESTANTS', qw(insert ctas update repack months1 months2 blocks1 blocks2));
my %shown = (
  insert => 'INSERT … SELECT', ctas => 'CREATE TABLE AS', update => 'UPDATE loop', repack => 'pg_repack -j 2', months1 => 'backfill, by months, 1 worker',
  months2 => 'backfill, by months, 2 workers', blocks1 => 'backfill, by blocks, 1 worker', blocks2 => 'backfill, by blocks, 2 workers'
);

my %tables = (
  orders => {
    rows => by_size(3000, 300_000, 5_000_000),
    batch => by_size(1000, 10_000, 10_000),
    columns => 'id bigint, customer integer NOT NULL, created_at timestamptz NOT NULL, amount numeric(12,2), tier text, note text, doc jsonb',
    select => q{i, i * 7919 % 100000, timestamptz '2023-01-01' + interval '1 year' * ((i - 1)::float8 / :rows), (i * 31 % 200000) / 100.0, NULL,
      'order ' || md5(i::text), jsonb_build_object('items', i % 7, 'channel', CASE WHEN i % 3 = 0 THEN 'web' ELSE 'shop' END, 'ref', md5((i + 1)::text))},
    set => "CASE WHEN amount > 1000 THEN 'gold' WHEN amount > 300 THEN 'silver' ELSE 'basic' END",
    query => 'id, customer, created_at, amount, :set AS tier, note, doc',
  },
  documents => {
    rows => by_size(60, 5000, 60_000),
    batch => by_size(20, 500, 500),
    columns => 'id bigint, created_at timestamptz NOT NULL, tier text, body text, doc jsonb',
    select => q{i, timestamptz '2023-01-01' + interval '1 year' * ((i - 1)::float8 / :rows), NULL,
      (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 100 + i % 400) AS j),
      (SELECT jsonb_object_agg('key ' || j, md5((i * 1000 + j)::text)) FROM generate_series(1, 100) AS j)},
    set => "CASE WHEN octet_length(body) > 8000 THEN 'long' ELSE 'short' END",
    query => 'id, created_at, :set AS tier, body, doc',
  },
);

my (@raw, @reports);
sql('CREATE EXTENSION IF NOT EXISTS pg_repack');
my $idle = idle_memory();
for my $table (chosen('BENCH_TABLES', @{ by_size(['documents'], [qw(orders documents)], [qw(orders documents)]) }))
{
  my $about = { name => $table, %{ $tables{$table} } };
  $about->{$_} =~ s/:rows/$about->{rows}/g, $about->{$_} =~ s/:set/$about->{set}/g for qw(select query);
  make_table($about);
  for my $run (1 .. runs())
  {
    push @raw, { table => $table, contestant => $_, run => $run, %{ measure($about, $_) } } for @contestants;
  }
  push @reports, report($about);
  sql("DROP TABLE $table");
}
finish('Copy', tables => \@reports, raw => \@raw,
  notes => [ 'Memory is the anonymous memory of the largest process over that of an idle backend, index builds included (maintenance_work_mem).',
    'Bloat is the size of table and indexes after it, against before.', 'All contestants build both indexes but the UPDATE loop, which works on the table that has them.' ]);

sub make_table
{
  my ($about) = @_;
  sql("CREATE TABLE $about->{name} ($about->{columns});
      INSERT INTO $about->{name} SELECT $about->{select} FROM generate_series(1::bigint, $about->{rows}) AS i;
      ALTER TABLE $about->{name} ADD PRIMARY KEY (id);
      CREATE INDEX ON $about->{name} (created_at);
      VACUUM (ANALYZE) $about->{name};");
  sql("CREATE PROCEDURE update_$about->{name}(step bigint) LANGUAGE plpgsql AS \$\$
      DECLARE last bigint;
      BEGIN
        SELECT max(id) INTO last FROM updated;
        FOR lo IN 1 .. last BY step LOOP
          UPDATE updated AS $about->{name} SET tier = $about->{set} WHERE id >= lo AND id < lo + step;
          COMMIT;
        END LOOP;
      END \$\$");
  return;
}

# One run of one contestant: seconds (of all), copy (seconds), wal, copy_wal, temp, memory, bloat.
sub measure
{
  my ($about, $contestant) = @_;
  updated_table($about) if $contestant eq 'update';
  checkpoint();
  my $watch = watch();
  my $result =
      $contestant eq 'update' ? by_update($about)
    : $contestant eq 'repack' ? by_repack($about)
    : $contestant =~ /^(\w+)(\d)$/ ? by_backfill($about, $1, $2)
    :                                by_table($about, $contestant);
  my $seen = unwatch($watch);
  $result->{wal} = $seen->{wal}->();
  $result->{copy_wal} = $seen->{wal}->(@{ $result->{copied} }) if $result->{copied};
  $result->{copy} = $result->{copied}[1] - $result->{copied}[0] if $result->{copied};
  $result->{copy_memory} = over_idle($seen, @{ $result->{copied} }) if $result->{copied};
  $result->{memory} = over_idle($seen);
  $result->{temp} = $seen->{temp};
  $result->{after}->();
  delete $result->{after};
  return $result;
}

sub over_idle
{
  my ($seen, @span) = @_;
  my $memory = $seen->{memory}->('worker|coordinator|client|parallel', @span) - $idle;
  return $memory > 0 ? $memory : 0;
}

sub by_table
{
  my ($about, $how) = @_;
  my $select = "SELECT $about->{query} FROM $about->{name}";
  my $copy = $how eq 'ctas' ? "CREATE TABLE made AS $select;" : "CREATE TABLE made (LIKE $about->{name}); INSERT INTO made $select;";
  my @at = (Time::HiRes::time());
  sql($copy), push @at, Time::HiRes::time();
  sql('ALTER TABLE made ADD PRIMARY KEY (id); CREATE INDEX ON made (created_at); VACUUM (ANALYZE) made;'), push @at, Time::HiRes::time();
  return { seconds => $at[2] - $at[0], copied => [ @at[ 0, 1 ] ], after => sub { sql('DROP TABLE made') } };
}

sub updated_table
{
  my ($about) = @_;
  sql("CREATE TABLE updated (LIKE $about->{name} INCLUDING ALL EXCLUDING INDEXES);
      INSERT INTO updated SELECT * FROM $about->{name};
      ALTER TABLE updated ADD PRIMARY KEY (id); CREATE INDEX ON updated (created_at); VACUUM (ANALYZE) updated;");
  return;
}

sub by_update
{
  my ($about) = @_;
  my $size = value("pg_total_relation_size('updated')");
  my $seconds = seconds(sub { sql("CALL update_$about->{name}($about->{batch})") });
  my $bloat = value("pg_total_relation_size('updated')") / $size;
  return { seconds => $seconds, bloat => $bloat, after => sub { sql('DROP TABLE updated') } };
}

sub by_repack
{
  my ($about) = @_;
  my $seconds = seconds(
    sub {
      my $output = qx(pg_repack --no-order -j 2 -t $about->{name} $ENV{PGDATABASE} 2>&1);
      die "pg_repack:\n$output" if $? != 0 || $output =~ /WARNING|ERROR/;
    });
  return { seconds => $seconds, after => sub { } };
}

sub by_backfill
{
  my ($about, $chunks, $workers) = @_;
  my $scope = $chunks eq 'months' ? ', column: created_at, start: 2023-01-01, stop: 2024-01-01' : '';
  my $by = $chunks eq 'months' ? 'month' : 'blocks';
  my $size = value("pg_total_relation_size('$about->{name}')");
  my $seconds = ready_job('copy', qq(scope: {table: $about->{name}$scope}, transform: {set: {tier: "$about->{set}"}}, strategy: {chunk_by: $by, parallelism: $workers}));
  my $steps = value("(SELECT string_agg(phase || ' ' || round(took, 3), ', ' ORDER BY first) FROM (SELECT phase, min(started_at) AS first,
      extract(epoch FROM max(started_at + duration) - min(started_at)) AS took FROM backfill.steps WHERE name = 'copy' AND status = 'done' AND id = (SELECT max(id) FROM backfill.jobs) GROUP BY phase) AS p)");
  my $bloat = value("pg_total_relation_size('$about->{name}')") / $size;
  return { seconds => $seconds, copied => [ phase_of('copy', 'copy') ], phases => $steps, bloat => $bloat, after => sub { cancel_job('copy') } };
}

sub all_of
{
  my ($table, $contestant, $key) = @_;
  return grep {defined} map { $_->{$key} } grep { $_->{table} eq $table && $_->{contestant} eq $contestant } @raw;
}

sub middle { return median(all_of(@_)); }

# Ratios are medians of the ratios within each run: what a run has in common falls out.
sub ratios
{
  my ($table, $one, $other, $key) = @_;
  my @ones = all_of($table, $one, $key);
  my @others = all_of($table, $other, $key);
  return unless @ones && @others;
  return map { ratio($ones[$_], $others[$_]) } 0 .. $#ones;
}

# Nothing to judge where a contestant was not chosen.
sub judge
{
  my ($what, $relation, $limit, @ratios) = @_;
  return unless @ratios;
  budget($what, median(@ratios), $relation, $limit, '%.2f', 'median of ' . @ratios . ', ' . spread('%.2f', @ratios));
  return;
}

# How many times faster the copy was than INSERT … SELECT.
sub compared
{
  my @ratios = ratios($_[0], 'insert', $_[1], 'copy');
  return @ratios ? sprintf('%.2f', median(@ratios)) : '-';
}

sub report
{
  my ($about) = @_;
  my $table = $about->{name};
  judge("$table: copy, one worker, × faster than INSERT … SELECT", '>=', 1.5, ratios($table, 'insert', 'months1', 'copy'));
  judge("$table: the same by blocks", '>=', 1.5, ratios($table, 'insert', 'blocks1', 'copy'));
  judge("$table: WAL of the copy against INSERT … SELECT", '<=', 0.65, ratios($table, 'months1', 'insert', 'copy_wal'));
  judge("$table: plan to ready, two workers, against pg_repack", '<=', 0.9, ratios($table, 'months2', 'repack', 'seconds'));
  judge("$table: plan to ready, two workers, × faster than the UPDATE loop", '>=', 4, ratios($table, 'update', 'months2', 'seconds'));
  judge("$table: growth of live during a backfill", '<=', 1.01, all_of($table, 'months2', 'bloat'));

  my $size = value("pg_size_pretty(pg_total_relation_size('$table'))");
  my @rows;
  for my $contestant (@contestants)
  {
    my @seconds = all_of($table, $contestant, 'seconds');
    my $copy = middle($table, $contestant, 'copy');
    my $time = $copy // median(@seconds);
    push @rows,
      [
        $shown{$contestant}, sprintf('%.2f s', median(@seconds)), spread('%.2f', @seconds), $copy ? sprintf('%.2f s', $copy) : '-', number($about->{rows} / $time),
        compared($table, $contestant),
        bytes(middle($table, $contestant, 'wal')), bytes(middle($table, $contestant, 'copy_wal')), bytes(middle($table, $contestant, 'temp')),
        bytes(middle($table, $contestant, 'memory')), sprintf('%.2f', middle($table, $contestant, 'bloat') // 1)
      ];
  }
  return {
    caption => number($about->{rows}) . " $table, $size, median of " . runs() . ' runs in turn',
    head => [ 'contestant', 'time', 'spread', 'copy alone', 'rows/s', '× faster than INSERT', 'WAL', 'WAL of the copy', 'temp', 'memory', 'bloat of live' ],
    rows => \@rows
  };
}
