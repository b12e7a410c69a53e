# A process fails at every change of state, in every way a process can, and the job goes on as if it had not: nothing is
# lost, nothing is there twice, nothing is left behind.
#
# The matrix is every point of src/ (fault.hpp) x {error, crash, terminate, stop}.  Here a part of it runs, every point in at
# least one way; BACKFILL_FAULTS=all runs the whole (test/faults.sh).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Faults;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $all = ($ENV{BACKFILL_FAULTS} // '') eq 'all';
my $only = $ENV{BACKFILL_FAULT_POINTS};    # a pattern
my @actions = qw(error terminate crash stop);

# Points that workers meet on the way to ready.
my @towards_ready = qw(
  coordinator_began coordinator_looked worker_launched
  shadow_made shadow_recorded shadow_committed capture_made capture_committed
  claim_made claim_committed batch_copied batch_checkpointed batch_committed
  purge_made purge_recorded purge_committed key_made key_committed index_made index_recorded index_committed
  shape_made shape_committed analyze_vacuumed analyze_made analyze_committed
  drain_taken drain_deleted drain_made drain_committed
  audit_made audit_committed check_made check_committed metrics_made ready_made ready_committed);

# Points of a session that swaps the tables.
my @of_swap = qw(prepared ahead locked drained renamed moved captured recorded before_commit after_commit);

my $node = new_fault_node();
my %cases;

# The ways to fail here of what is met at the nth point: all, or the one whose turn it is.
sub ways
{
  my ($point, $n) = @_;
  return () if defined $only && $point !~ /$only/;
  return grep { $_ ne 'error' || $point !~ /after_commit/ } @actions if $all || defined $only;
  return 'crash' if $point =~ /after_commit/;
  return $n % 12 == 5 ? 'stop' : $n % 6 == 2 ? 'crash' : $actions[ $n % 2 ];
}

sub with_argument { my ($action) = @_; return $action eq 'error' ? 'error:22012' : $action }

# Until the point is met, writing all the time.
sub reach
{
  my ($node, $fault, $table) = @_;
  my $end = time + $Faults::patience;
  until (met($node, $fault))
  {
    return "$fault was never met: " . job($node, $table, q{concat_ws(' ', state, phase, error)}) if time > $end;
    poke($node, $table);
    sleep(0.01);
  }
  return '';
}

# -- on the way to ready

my $n = 0;
foreach my $point (@towards_ready)
{
  foreach my $action (ways($point, $n++))
  {
    my $table = 't' . $n . substr($action, 0, 1);
    table_with_control($node, $table);
    my $before = leftovers($node);
    plan_job($node, $table);
    my $fault = arm($node, $point, with_argument($action));
    value($node, "SELECT backfill_run('$table')");
    my @wrong = reach($node, $fault, $table);
    come_back($node, $action);
    poke($node, $table);
    push @wrong, 'it does not become ready' unless settle($node, $table, 'ready');
    push @wrong, equals_transform($node, $table, job($node, $table, 'shadow')), equals_control($node, $table);
    value($node, "SELECT backfill_cancel('$table')");
    push @wrong, leftovers($node, $before);
    fails("$point: $action", @wrong);
    drop_tables($node, $table);
    $cases{$action}++;
  }
}
disarm($node);

# -- sessions: all of them with one job, which is published and rolled back again and again

table_with_control($node, 'swapped');
my $before = leftovers($node);
plan_job($node, 'swapped');
value($node, q{SELECT backfill_run('swapped')});
settle($node, 'swapped', 'ready');

sub swap_with_fault
{
  my ($verb, $point, $action, $from, $to, $compare) = @_;
  poke($node, 'swapped') foreach 1 .. 3;
  my ($fault, $err) = in_session($node, "${verb}_$point", with_argument($action), "SELECT backfill_$verb('swapped')");
  my @wrong = met($node, $fault) ? () : "$fault was never met: $err";
  come_back($node, $action);
  my $state = job($node, 'swapped', 'state');
  poke($node, 'swapped') if $state eq 'ready';    # a published table is what is written to it
  my $expected = $point eq 'after_commit' ? $to : $from;
  push @wrong, "it is $state and not $expected" if $state ne $expected;
  settle($node, 'swapped', $expected);
  value($node, "SELECT backfill_$verb('swapped')") if $state eq $from;
  push @wrong, $compare->($node, 'swapped');
  push @wrong, "after which it is not $to" if job($node, 'swapped', 'state') ne $to;
  fails("${verb}_$point: $action", @wrong);
  $cases{$action}++;
  return;
}

foreach my $point ('begun', @of_swap)
{
  foreach my $action (ways("publish_$point", $n++))
  {
    settle($node, 'swapped', 'ready');
    swap_with_fault('publish', $point, $action, 'ready', 'published', \&equals_transform);
    settle($node, 'swapped', 'published');
    value($node, q{SELECT backfill_rollback('swapped')});
    is(equals_control($node, 'swapped'), '', "publish_$point: $action: and rolled back");
  }
}
foreach my $point ('aligned', @of_swap)
{
  foreach my $action (ways("rollback_$point", $n++))
  {
    settle($node, 'swapped', 'ready');
    value($node, q{SELECT backfill_publish('swapped')});
    settle($node, 'swapped', 'published');
    swap_with_fault('rollback', $point, $action, 'published', 'ready', \&equals_control);
  }
}
settle($node, 'swapped', 'ready');
value($node, q{SELECT backfill_cancel('swapped')});
fails('swapped: nothing is left', leftovers($node, $before));

diag(join(', ', map { "$cases{$_} $_" } sort keys %cases));
$node->stop;
done_testing();
