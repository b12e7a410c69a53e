# DDL in mid-run, before the table is published for the first time: the job is paused in mid-copy, or ready.  Refused, handled, or
# told with a way out; never wrong data, never a stuck object.  The matrix is in Ddl.pm.
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
paused();
ready($node, 'b', 0);
membership();
quiet_log($node);
done_testing();

sub paused
{
  my @cases = grep { $_->{resumed} } @ddl;
  my %case = map { ("a_$_->{name}" => $_) } @cases;
  my @tables = sort keys %case;
  my $n = @tables;
  value($node, q{BEGIN; SELECT pg_advisory_xact_lock(42); PREPARE TRANSACTION 'gate'});
  plan_and_run($node, 'gate(id)', { map { $_ => $case{$_}{owner} } @tables }, @tables);
  wait_until($node, "count(*) = $n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 'all are in mid-copy');
  do_each($node, { map { $_ => "SELECT backfill_pause('$_')" } @tables });
  value($node, q{COMMIT PREPARED 'gate'});
  wait_until($node, "count(*) = $n FROM backfill.jobs WHERE state = 'paused'", 'all are paused');

  my $said = do_each($node, { map { $_ => names($node, $_, $case{$_}{do}) } @tables });
  unlike($said->{$_}, qr/ERROR/, "paused: $_") foreach @tables;
  $said = do_each($node, { map { $_ => "SELECT backfill_run('$_')" } @tables });
  foreach my $table (@tables)
  {
    my $noticed = $case{$table}{resumed} !~ /ready|denied/;
    is(scalar($said->{$table} =~ /WARNING: .*\n(?:.*\n)*HINT: .*backfill_cancel/), $noticed ? 1 : '', "paused, $table: backfill_run says whether it is in vain") or diag($said->{$table});
  }
  wait_until($node, q{NOT EXISTS (SELECT FROM backfill.jobs WHERE state NOT IN ('ready', 'failed'))}, 'every job that was resumed comes to an end');
  my @told = grep { $case{$_}{resumed} =~ /told|failed/ } @tables;
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE name IN ('" . join("', '", @told) . "') AND next_command NOT LIKE '%cancel%')", 'who cannot be published says so');
  my $state = state_of($node);
  foreach my $table (@tables)
  {
    my $wanted = { told => '(ready|failed)', denied => 'failed' }->{ $case{$table}{resumed} } // $case{$table}{resumed};
    like($state->{$table}{state}, qr/^$wanted$/, "paused, $table: $wanted") or diag(explain($state->{$table}));
  }
  is($state->{a_revoke}{next}, "SELECT backfill_run('a_revoke');", 'a privilege that is lacking can be granted, so the next command is to run');
  like($state->{a_revoke}{hint}, qr/^Grant that role/, 'and the hint says so');
  told($node, \@told, 'paused');
  undo_publish_and_cancel($node, 'paused', \%case, [ grep { !$case{$_}{held} && ($case{$_}{undo} || $case{$_}{resumed} eq 'ready') } @tables ]);
  nothing_left($node, 'paused: nothing is left');
  return;
}

# The job belongs to the owner's role, not to who planned it.
sub membership
{
  my $spec = spec('f_table', label => q{'new ' || id});
  value($node, qq{
    CREATE ROLE planner IN ROLE keeper;
    SET ROLE keeper;
    CREATE TABLE f_table AS SELECT i::bigint AS id, date '2024-01-01' + (i / 100)::integer AS day, 'old' AS label FROM generate_series(1, 400) AS i;
    ALTER TABLE f_table ADD PRIMARY KEY (id);
    SET SESSION AUTHORIZATION planner;
    SELECT backfill_plan(\$\$$spec\$\$);
    RESET SESSION AUTHORIZATION;
    REVOKE keeper FROM planner;
    SET SESSION AUTHORIZATION keeper;
    SELECT backfill_run('f_table')});
  wait_state($node, 'f_table', 'ready', 'a job goes on when its planner has left the role of the owner');
  refused($node, "SET SESSION AUTHORIZATION planner; SELECT backfill_$_('f_table')", '42704', "who has left the role of the owner cannot $_ it") foreach qw(publish cancel);
  value($node, q{SET SESSION AUTHORIZATION keeper; SELECT backfill_publish('f_table'); SELECT backfill_finish('f_table')});
  is(value($node, q{SELECT count(*) FROM f_table WHERE label <> 'new ' || id}), '0', 'who is in it can');
  nothing_left($node, 'membership: nothing is left');
  return;
}
