# A process fails at every change of state, in every way a process can, and the job goes on as if it had not: nothing is
# lost, nothing is there twice, nothing is left behind.
#
# The matrix is every point of src/ (fault.hpp) x {error, crash, terminate, stop}.  Here a part of it runs, most points in one
# way; BACKFILL_FAULTS=all runs the whole (test/faults.sh).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Endpoint;
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
  audit_made audit_committed check_made check_committed metrics_made ready_made ready_committed failure_made obstacle_found);

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
  return () if $point =~ /_recorded$|^(replace|reverse_drain|pause|validate|refresh|downstream|shape|key|audit|message)_committed|_vacuumed$/
    || $point =~ /^release_|^(run|pause|retry)_before_commit|_leaves$|^message_(taken|marked)|^run_|^validate_locked/;
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
    # A step fails by itself, and then once more while that is written down.
    my $bad = $point =~ /^failure/ ? "bad_for_$table" : undef;
    value($node, "CREATE TABLE $bad AS SELECT 1 AS id") if $bad;
    my $before = leftovers($node);
    plan_job($node, $table, more => $bad ? ", pre_checks: [{check: failed_rows, query: 'SELECT id FROM $bad'}]" : '');
    my $fault = arm($node, $point, with_argument($action));
    value($node, "SELECT backfill_run('$table')");
    my @wrong = reach($node, $fault, $table);
    come_back($node, $action);
    value($node, "DELETE FROM $bad") if $bad;
    poke($node, $table);
    push @wrong, 'it does not become ready' unless settle($node, $table, 'ready');
    push @wrong, equals_transform($node, $table, job($node, $table, 'shadow')), equals_control($node, $table);
    value($node, "SELECT backfill_cancel('$table')");
    push @wrong, leftovers($node, $before);
    fails("$point: $action", @wrong);
    drop_tables($node, $table);
    value($node, "DROP TABLE $bad") if $bad;
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

# -- sessions that end a job

sub end_with_fault
{
  my ($verb, $point, $action) = @_;
  my $table = 'e' . $n . substr($action, 0, 1);
  table_with_control($node, $table);
  my $before = leftovers($node);
  plan_job($node, $table);
  value($node, "SELECT backfill_run('$table')");
  settle($node, $table, 'ready');
  value($node, "SELECT backfill_publish('$table')") if $verb eq 'finish';
  my ($fault, $err) = in_session($node, "${verb}_$point", with_argument($action), "SELECT backfill_$verb('$table')");
  my @wrong = met($node, $fault) ? () : "$fault was never met: $err";
  come_back($node, $action);
  my $end = $verb eq 'finish' ? 'finished' : 'cancelled';
  my $ended = job($node, $table, 'state') eq $end;
  push @wrong, 'it is ' . job($node, $table, 'state') if $ended != ($point eq 'after_commit');
  value($node, "SELECT backfill_$verb('$table')") unless $ended;
  push @wrong, $verb eq 'finish' ? equals_transform($node, $table) : equals_control($node, $table);
  push @wrong, leftovers($node, $before);
  fails("${verb}_$point: $action", @wrong);
  drop_tables($node, $table);
  $cases{$action}++;
  return;
}

foreach my $point (qw(taken_over dropped before_commit after_commit))
{
  end_with_fault('cancel', $point, $_) foreach ways("cancel_$point", $n++);
}
foreach my $point (qw(dropped before_commit after_commit))
{
  end_with_fault('finish', $point, $_) foreach ways("finish_$point", $n++);
}

# -- sessions that tell a job what to do: it is told, or not

my %event_of = (run => 'started', pause => 'pause requested', retry => 'retried');

sub tell_with_fault
{
  my ($verb, $point, $action) = @_;
  my $table = 'o' . $n . substr($action, 0, 1);
  table_with_control($node, $table);
  my $before = leftovers($node);
  plan_job($node, $table);
  hold_back($table) if $verb eq 'pause';
  value($node, "SELECT backfill_run('$table')") if $verb ne 'run';
  settle($node, $table, 'ready') if $verb eq 'retry';
  $node->poll_query_until('postgres', "SELECT waiting_for LIKE 'a lock%' FROM backfill.jobs WHERE name = '$table'") if $verb eq 'pause';
  my $arguments = $verb eq 'retry' ? "'$table', 2" : "'$table'";
  my ($fault, $err) = in_session($node, "${verb}_$point", with_argument($action), "SELECT backfill_$verb($arguments)");
  my @wrong = met($node, $fault) ? () : "$fault was never met: $err";
  come_back($node, $action);
  my $told = value($node, "SELECT EXISTS (SELECT FROM backfill.events WHERE name = '$table' AND event = '$event_of{$verb}')");
  push @wrong, "told: $told" if ($told eq 't') != ($point eq 'after_commit');
  value($node, q{COMMIT PREPARED 'held back'}) if $verb eq 'pause';
  poke($node, $table);
  push @wrong, 'it does not become ready' unless settle($node, $table, 'ready');
  push @wrong, equals_transform($node, $table, job($node, $table, 'shadow')), equals_control($node, $table);
  value($node, "SELECT backfill_cancel('$table')");
  push @wrong, leftovers($node, $before);
  fails("${verb}_$point: $action", @wrong);
  drop_tables($node, $table);
  $cases{$action}++;
  return;
}

# So that capture waits.
sub hold_back
{
  my ($table) = @_;
  value($node, "BEGIN; LOCK TABLE $table IN SHARE MODE; PREPARE TRANSACTION 'held back'");
  return;
}

foreach my $verb (qw(run pause retry))
{
  foreach my $point (qw(before_commit after_commit))
  {
    tell_with_fault($verb, $point, $_) foreach ways("${verb}_$point", $n++);
  }
}

# -- workers of a job that is ready or published, or on its way to a pause: what brings them to the point, the state the job is
# to be in afterwards, and with it what has to be true

my %later = (
  replace => [ 'ready', q{SELECT backfill_retry('%s', 2)} ],
  reverse_drain => [ 'published', q{SELECT 1} ],
  refresh => [ 'ready', q{SELECT backfill_publish('%s')} ],
  downstream => [ 'ready', q{SELECT backfill_publish('%s')} ],
  validate => [ 'ready', q{SELECT backfill_publish('%s')} ],
  release => [ 'ready', q{SELECT backfill_publish('%s')} ],
  pause => [ 'paused', q{SELECT backfill_pause('%s')} ],
  coordinator => [ 'paused', q{SELECT backfill_pause('%s')} ],
);

sub later_with_fault
{
  my ($what, $point, $action) = @_;
  my ($from, $sql) = @{ $later{$what} };
  my $table = 'l' . $n . substr($action, 0, 1);
  table_with_control($node, $table);
  my $after = $sql =~ /publish/;
  value($node, "CREATE TABLE child_of_$table (id bigint REFERENCES $table); INSERT INTO child_of_$table VALUES (0);
    CREATE MATERIALIZED VIEW seen_of_$table AS SELECT count(*) AS n FROM $table WHERE label LIKE 'new%';
    CREATE TABLE told_of_$table (n bigint)") if $after;
  my $before = leftovers($node);
  plan_job($node, $table, more => $after
    ? ", downstream: [{name: told, refresh: 'INSERT INTO told_of_$table SELECT n FROM seen_of_$table', depends_on: [seen_of_$table]}]" : '');
  if ($from eq 'paused')
  {
    hold_back($table);
    value($node, "SELECT backfill_run('$table')");
    $node->poll_query_until('postgres', "SELECT waiting_for LIKE 'a lock%' FROM backfill.jobs WHERE name = '$table'");
  }
  else
  {
    value($node, "SELECT backfill_run('$table')");
    settle($node, $table, 'ready');
    if ($from eq 'published')
    {
      value($node, "SELECT backfill_publish('$table')");
      settle($node, $table, 'published');
    }
  }
  my $fault = arm($node, "${what}_$point", $action eq 'error' ? ($from eq 'published' ? 'error:40001' : 'error:22012') : $action);
  value($node, sprintf $sql, $table);
  my @wrong;
  if ($after || $from eq 'paused')
  {
    push @wrong, "$fault was never met" unless until_true(sub { return met($node, $fault) });
  }
  else
  {
    push @wrong, reach($node, $fault, $table);
  }
  come_back($node, $action);
  disarm($node);
  value($node, q{COMMIT PREPARED 'held back'}) if $from eq 'paused';
  my $end = $after ? 'published' : $from eq 'paused' ? 'ready' : $from;
  push @wrong, "it does not become $end" unless settle($node, $table, $end);
  if ($after)
  {
    # Each of what follows the swap is done, in the end, and told the truth.
    my $tries = 0;
    push @wrong, 'what follows the swap is not done' unless until_true(sub {
      return 1 if value($node, "SELECT NOT EXISTS (SELECT FROM backfill.steps WHERE name = '$table' AND status <> 'done')") eq 't';
      $node->psql('postgres', "SELECT backfill_run('$table')") if $tries++ % 20 == 19;
      return 0;
    });
    push @wrong, 'not refreshed: ' . value($node, "SELECT string_agg(n::text, ' ') FROM told_of_$table")
      if value($node, "SELECT (SELECT n FROM seen_of_$table) || ' ' || (SELECT string_agg(n::text, ' ') FROM told_of_$table)") ne '200 200';
    push @wrong, 'the key is not valid'
      if value($node, "SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 'child_of_$table'::regclass") ne 't';
    push @wrong, equals_transform($node, $table);
  }
  push @wrong, equals_transform($node, $table, job($node, $table, 'shadow')) if $end eq 'ready';
  if ($end eq 'published')
  {
    value($node, "SELECT backfill_rollback('$table')");
    settle($node, $table, 'ready');
  }
  push @wrong, equals_control($node, $table);
  value($node, "SELECT backfill_cancel('$table')");
  push @wrong, leftovers($node, $before);
  fails("${what}_$point: $action", @wrong);
  value($node, "DROP TABLE child_of_$table, told_of_$table; DROP MATERIALIZED VIEW seen_of_$table") if $after;
  drop_tables($node, $table);
  $cases{$action}++;
  return;
}

foreach my $point (qw(replace_made replace_committed reverse_drain_made reverse_drain_committed pause_made pause_committed
  coordinator_leaves release_locked release_made release_recorded release_committed validate_locked validate_recorded
  validate_made validate_committed refresh_computed refresh_vacuumed refresh_made refresh_committed
  downstream_made downstream_committed))
{
  my ($what, $how_far) = $point =~ /(.*)_(.*)/;
  later_with_fault($what, $how_far, $_) foreach ways($point, $n++);
}

# -- the notifier: every message arrives; the ledger has counted every time that it was posted

my $endpoint = Endpoint->start;
my $place = $endpoint->place;

sub message_with_fault
{
  my ($point, $action) = @_;
  my $table = 'm' . $n . substr($action, 0, 1);
  table_with_control($node, $table);
  plan_job($node, $table, more => ", monitoring: {progress_webhook: 'http://$place/$table', update_frequency: per_phase}");
  my $looks = 0;
  my $delivered = sub {
    return 1 if value($node, q{SELECT count(*) FROM backfill.deliveries WHERE status = 'pending'}) eq '0';
    $node->psql('postgres', 'SELECT backfill_maintain()') if $looks++ % 50 == 49;
    return 0;
  };
  until_true($delivered) or die 'the first message does not arrive';
  my $fault = arm($node, "message_$point", with_argument($action));
  $node->psql('postgres', "SELECT backfill_run('$table')");
  my @wrong = until_true(sub { return met($node, $fault) }) ? () : "$fault was never met";
  come_back($node, $action);
  push @wrong, 'it does not become ready' unless settle($node, $table, 'ready');
  push @wrong, 'messages wait' unless until_true($delivered);
  my (%posts, @order);
  foreach my $key (map { $_->{key} } $endpoint->told($table))
  {
    push @order, $key unless $posts{$key}++;
  }
  my @sent;
  foreach (split /\n/, value($node, "SELECT key, status, attempts FROM backfill.deliveries WHERE name = '$table' ORDER BY number"))
  {
    my ($key, $status, $attempts) = split /\|/;
    push @sent, $key;
    push @wrong, "one is $status" if $status ne 'sent';
    push @wrong, 'one was lost' unless $posts{$key};
    push @wrong, "one was posted $posts{$key} times, and $attempts told" if ($posts{$key} // 0) > $attempts;
  }
  push @wrong, 'they came in another order' if "@order" ne "@sent";
  push @wrong, 'none was sent' unless @sent;
  value($node, "SELECT backfill_cancel('$table')");
  until_true($delivered) or push @wrong, 'the last message does not arrive';
  fails("message_$point: $action", @wrong);
  drop_tables($node, $table);
  $cases{$action}++;
  return;
}

value($node, "LOAD 'backfill'; ALTER SYSTEM SET backfill.webhook_hosts = '$place'; SELECT pg_reload_conf()");
until_true(sub { return value($node, "LOAD 'backfill'; SHOW backfill.webhook_hosts") =~ /\Q$place\E$/ });
foreach my $point (qw(taken committed delivered marked recorded))
{
  message_with_fault($point, $_) foreach ways("message_$point", $n++);
}

diag(join(', ', map { "$cases{$_} $_" } sort keys %cases));
$node->stop;
done_testing();
