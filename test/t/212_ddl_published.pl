# DDL in mid-run, once the table was published: the job is published, or rolled back; and archives that somebody dropped by hand.
# The matrix is in Ddl.pm.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Ddl;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ddl_node('main');
published();
ready($node, 'd', 1);
archives();
quiet_log($node);
done_testing();

# What the old version is to hold after a rollback: as it was, but for what was written since the publish.
sub restored
{
  my ($case) = @_;
  return q{SELECT NULL::bigint, NULL::date, NULL::integer, NULL::text, NULL::integer WHERE false} if $case->{name} eq 'truncate';
  my $written = $case->{name} eq 'revoke' ? 'WHEN 390 THEN 0' : '';
  return qq{(SELECT i::bigint, date '2024-01-01' + ((i - 1) / 100)::integer, CASE i WHEN 7 THEN 1007 $written ELSE i END, 'old', i
    FROM generate_series(1, 400) AS i WHERE i <> 9 UNION ALL SELECT 1001, '2024-01-02', 1, 'fresh', 5)};
}

sub published
{
  my %case = map { ("c_$_->{name}" => $_) } grep { $_->{back} } @ddl;
  my @tables = sort keys %case;
  plan_and_run($node, q{'new ' || id}, { map { $_ => $case{$_}{owner} } @tables }, @tables);
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE state <> 'ready')", 'all are ready');
  my $said = do_each($node, { map { $_ => "SELECT backfill_publish('$_'); UPDATE $_ SET v = v + 1000 WHERE id = 7; DELETE FROM $_ WHERE id = 9; "
          . "INSERT INTO $_ VALUES (1001, '2024-01-02', 1, 'fresh', 5)" } @tables });
  unlike($said->{$_}, qr/ERROR/, "published: $_") foreach @tables;
  $said = do_each($node, { map { $_ => names($node, $_, $case{$_}{do}) } @tables });
  unlike($said->{$_}, qr/ERROR/, "published: $_") foreach @tables;

  # What bars the way back is told before anybody wants it.
  my @barred = grep { $case{$_}{back} ne 'done' && $_ !~ /column|values|inherit|attach|child/ } @tables;
  wait_until($node, "count(*) = " . @barred . " FROM backfill.jobs WHERE waiting_for LIKE '%there is no way back' AND name IN ('" . join("', '", @barred) . "')", 'published: who has no way back says so');

  $said = do_each($node, { map { $_ => "SELECT backfill_rollback('$_')" } @tables });
  my (@back, @refused);
  foreach my $table (@tables)
  {
    my $wanted = $case{$table}{back};
    push @{ $wanted eq 'done' ? \@back : \@refused }, $table;
    if ($wanted eq 'done') { unlike($said->{$table}, qr/ERROR/, "published, $table: is rolled back"); next; }
    like($said->{$table}, qr/ERROR:  (?!XX000)$wanted:/, "published, $table: the rollback is refused");
    like($said->{$table}, qr/^HINT: /m, "published, $table: with a hint") or diag($said->{$table});
  }
  my @undone = grep { $case{$_}{undo} } @refused;
  $said = do_each($node, { map { $_ => names($node, $_, $case{$_}{undo}) } @undone });
  unlike($said->{$_}, qr/ERROR/, "published, $_: undone") foreach @undone;
  $said = do_each($node, { map { $_ => "SELECT backfill_rollback('$_')" } @undone });
  unlike($said->{$_}, qr/ERROR/, "published, $_: is rolled back after all") foreach @undone;
  push @back, @undone;
  right_content($node, { map { $_ => restored($case{$_}) } @back }, 'published: every row is as it was, but for what was written since');

  # Published again where that can be, and finished; else cancelled.
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE state NOT IN ('ready', 'published', 'failed'))", 'published: settled');
  do_each($node, { map { $_ => "SELECT backfill_publish('$_')" } @back });
  my $state = state_of($node);
  my %over = map { $_ => $state->{$_}{state} eq 'published' ? 'finish' : 'cancel' } @tables;
  $said = do_each($node, { map { $_ => "SELECT backfill_$over{$_}('$_')" } @tables });
  unlike($said->{$_}, qr/ERROR/, "published, $_: $over{$_}") foreach @tables;
  my $id = value($node, "SELECT id FROM backfill.jobs WHERE name = 'c_drop_table'");
  nothing_left($node, 'published: nothing is left but the last rows of a table that somebody dropped', "c_drop_table_archive_$id, c_drop_table_day_idx_archive_$id, c_drop_table_pkey_archive_$id");
  value($node, "DROP TABLE c_drop_table_archive_$id");
  return;
}

# Retention, of archives that somebody has dropped, renamed or built upon.
sub archives
{
  my %do = (
    e_dropped => 'DROP TABLE A',
    e_built_upon => 'CREATE VIEW T_look AS SELECT id, label FROM A',
    e_renamed => 'ALTER TABLE A RENAME TO T_mine',
  );
  my @tables = sort keys %do;
  plan_and_run($node, q{'new ' || id}, {}, @tables);
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE name LIKE 'e\\_%' AND state <> 'ready')", 'all are ready');
  do_each($node, { map { $_ => "SELECT backfill_publish('$_')" } @tables });
  my $said = do_each($node, { map { $_ => names($node, $_, $do{$_}) } @tables });
  unlike($said->{$_}, qr/ERROR/, "archives: $_") foreach @tables;

  # A write meanwhile may find no archive to be carried into; that is told, once.
  value($node, "UPDATE e_dropped SET v = 0 WHERE id = 1; UPDATE e_renamed SET v = 0 WHERE id = 1");
  wait_until($node, "count(*) = 2 FROM backfill.jobs WHERE name IN ('e_dropped', 'e_renamed') AND waiting_for LIKE 'its archive was %there is no way back'", 'an archive that is gone is told');
  is(value($node, "SELECT count(*) FROM backfill.way_back WHERE name IN ('e_dropped', 'e_renamed') AND problem IS NOT NULL AND next_command IS NULL"), '2', 'and named as the problem');
  refused($node, "SELECT backfill_rollback('e_dropped')", '42P01', 'there is no rollback to an archive that was dropped');
  value($node, names($node, 'e_renamed', 'ALTER TABLE T_mine RENAME TO A'));
  wait_until($node, "waiting_for IS NULL AND pending_keys = 0 FROM backfill.jobs WHERE name = 'e_renamed'", 'an archive is kept in step under another name too');

  # The end of the retention, by maintenance and by a coordinator.
  value($node, "SELECT backfill_alter(name, retention => '0') FROM backfill.jobs WHERE name LIKE 'e\\_%'");
  value($node, 'SELECT backfill_maintain()');
  wait_until($node, "count(*) = 2 FROM backfill.jobs WHERE name IN ('e_dropped', 'e_renamed') AND state = 'finished'", 'retention ends also of an archive that was dropped');
  is(job($node, 'e_built_upon', 'state'), 'published', 'one that somebody has built upon is kept');
  value($node, q{DROP VIEW e_built_upon_look; SELECT backfill_finish('e_built_upon')});
  nothing_left($node, 'archives: nothing is left');
  return;
}
