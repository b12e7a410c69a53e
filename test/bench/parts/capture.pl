# Capture: what the writers of a table pay for it.
#
# Two tables of accounts alike, one of them captured by a job that is ready.  pgbench works with capture and without in turn,
# prepared, with nobody waiting for the disk or for the lock on writing to it, so that only the processor counts:
#
#   transaction  pgbench's own (TPC-B-like) on the accounts, tellers, branches and history; this has the budget
#   update       one UPDATE by key and nothing else: the most that capture can weigh
#
# both on the captured table, its trigger switched off and on, with the coordinator stopped: the trigger and its log alone.  And
# the update with it, against the other table: what the drain takes from the writers' processors is counted too (no budget: it
# may be throttled by nothing but the machine, and it can be put off by pausing).
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;

my $rows = by_size(1000, 100_000, 1_000_000);
my $span = $ENV{BENCH_SIZE} eq 'tiny' ? '-t 200' : '-T ' . lasting(0, 8, 30);
my $pairs = times(1, 5, 9);
# Enough that no processor is ever idle: waking one costs more, in a virtual machine, than what is to be measured.
my $clients = 8;
my %spec = (with => q~scope: {table: captured}, transform: {set: {tier: "'plain'"}}, strategy: {chunk_by: blocks}~);

sql('ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET synchronous_commit = off; ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf()');
for my $table (qw(plain captured))
{
  sql("CREATE TABLE $table (id bigint PRIMARY KEY, balance bigint NOT NULL, tier text, filler text) WITH (fillfactor = 80);
      INSERT INTO $table SELECT i, 0, NULL, repeat('x', 80) FROM generate_series(1, $rows) AS i;
      VACUUM (ANALYZE) $table");
  my $update = "\\set id random(1, $rows)\nUPDATE $table SET balance = balance + 1 WHERE id = :id;\n";
  write_script('update', $table, $update);
  write_script('transaction', $table, "\\set branch random(1, 100)\n\\set teller random(1, 1000)\n"
      . $update =~ s/\nUPDATE/\nBEGIN;\nUPDATE/r
      . "SELECT balance FROM $table WHERE id = :id;\nUPDATE tellers SET balance = balance + 1 WHERE id = :teller;\n"
      . "UPDATE branches SET balance = balance + 1 WHERE id = :branch;\nINSERT INTO history VALUES (:teller, :branch, :id, 1, now());\nEND;\n");
}
sql('CREATE TABLE tellers (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 10);
    CREATE TABLE branches (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 10);
    CREATE TABLE history (teller integer, branch integer, account bigint, delta bigint, at timestamptz);
    INSERT INTO tellers SELECT i, 0 FROM generate_series(1, 1000) AS i; INSERT INTO branches SELECT i, 0 FROM generate_series(1, 100) AS i;
    VACUUM (ANALYZE) tellers; VACUUM (ANALYZE) branches');
ready_job('capture', $spec{with});
my $log = value("capture_log::regclass FROM backfill.job");
my $trigger = value('tgname FROM pg_trigger WHERE tgrelid = \'captured\'::regclass AND NOT tgisinternal AND tgtype & 1 = 1');
die "there is no capture" unless $trigger;

# The drained part first: the job would notice that its trigger was switched off for a while.
my %raw = (drained => compare('update', 'plain'));
stop_coordinator();
$raw{transaction} = compare('transaction', 'captured');
$raw{alone} = compare('update', 'captured');
die "nothing was captured" unless value("count(*) FROM $log") > 0;
cancel_job('capture');
sql('ALTER SYSTEM RESET fsync; ALTER SYSTEM RESET synchronous_commit; ALTER SYSTEM RESET autovacuum; SELECT pg_reload_conf()');

my @transaction = map { ratio($_->{captured}, $_->{plain}) } @{ $raw{transaction} };
my @alone = map { ratio($_->{captured}, $_->{plain}) } @{ $raw{alone} };
my @drained = map { ratio($_->{captured}, $_->{plain}) } @{ $raw{drained} };
budget('TPS with capture against without', median(@transaction), '>=', 0.95, '%.3f', 'transactions of pgbench, median of ' . @transaction . ' pairs, ' . spread('%.3f', @transaction));
finish('Capture', raw => \%raw, tables => [ {
    caption => "On " . number($rows) . " rows, $clients clients, $pairs pairs of runs (pgbench $span)",
    head => [ 'with', 'TPS without', 'TPS with', 'ratio', 'spread' ],
    rows => [
      map { row(@$_) } [ 'transaction, capture alone', $raw{transaction}, @transaction ], [ 'one UPDATE, capture alone', $raw{alone}, @alone ],
      [ 'one UPDATE, capture and drain', $raw{drained}, @drained ]
    ]
  } ]);

sub script { return "$ENV{PGHOST}/$_[0]_$_[1].sql"; }

sub write_script
{
  my ($kind, $table, $text) = @_;
  open(my $out, '>', script($kind, $table)) or die;
  print $out $text;
  close $out;
  return;
}

sub switch_trigger { return sql("ALTER TABLE captured $_[0] TRIGGER $trigger"); }

# By turns, each first in every second pair; without capture: on that table.
sub compare
{
  my ($kind, $without) = @_;
  my @pairs;
  for my $pair (1 .. $pairs)
  {
    my %tps;
    for my $table ($pair % 2 ? qw(plain captured) : qw(captured plain))
    {
      my $on = $table eq 'plain' ? $without : $table;
      switch_trigger($table eq 'plain' ? 'DISABLE' : 'ENABLE ALWAYS') if $without eq 'captured';
      sql("VACUUM $on; VACUUM tellers; VACUUM branches; CHECKPOINT");
      $tps{$table} = pgbench("-M prepared -c $clients -j 2 $span -f " . script($kind, $on))->{tps};
    }
    push @pairs, \%tps;
  }
  return \@pairs;
}

# The postmaster would start a coordinator that died again; one that was told to end stays away.
sub stop_coordinator
{
  sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'backfill' \\g /dev/null");
  await("NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'backfill')");
  return;
}

sub row
{
  my ($name, $pairs, @ratios) = @_;
  return [ $name, (map { my $table = $_; number(median(map { $_->{$table} } @$pairs)) } qw(plain captured)), sprintf('%.3f', median(@ratios)), spread('%.3f', @ratios) ];
}
