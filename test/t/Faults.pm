# What tests of faults share: a server whose processes can be told to fail at a named point (src/pg/fault.hpp), a table with
# a control table that takes the same writes, and the way back to work.
#
# A case: arm a point; work and write until it was met (a point that nobody meets fails the case); bring back what died; let
# the job go on; compare.
package Faults;

use strict;
use warnings;

use Exporter 'import';
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_fault_node arm disarm in_session met come_back table_with_control drop_tables plan_job poke settle
  until_true fails leftovers equals_control equals_transform);

our $patience = $ENV{PG_TEST_TIMEOUT_DEFAULT} // 60;    # seconds until a condition that does not come has failed the test

my $serial = 0;

sub new_fault_node
{
  my $node = new_node('faults', 'fsync = off', 'log_min_messages = warning', "log_line_prefix = '%m [%p] %b %a '");
  value($node, 'CREATE EXTENSION backfill');
  return $node;
}

# A fault of the server: its workers meet it.  Returns the text.
sub arm
{
  my ($node, $point, $action) = @_;
  my $fault = "$point:$action#" . ++$serial;
  value($node, "LOAD 'backfill'; ALTER SYSTEM SET backfill.fault = '$fault'; SELECT pg_reload_conf()");
  return $fault;
}

sub disarm
{
  my ($node) = @_;
  value($node, "LOAD 'backfill'; ALTER SYSTEM RESET backfill.fault; SELECT pg_reload_conf()");
  return;
}

# A fault of one session, and what that session does.  Returns the text and the error.
sub in_session
{
  my ($node, $point, $action, $sql) = @_;
  my $fault = "$point:$action#" . ++$serial;
  my ($status, $out, $err) = $node->psql('postgres', "LOAD 'backfill'; SET backfill.fault = '$fault'; $sql");
  return ($fault, $err);
}

sub met
{
  my ($node, $fault) = @_;
  my ($once) = $fault =~ /#(.*)/;
  return -e $node->data_dir . "/backfill_fault.$once";
}

# Until it is true; false when it does not come.
sub until_true
{
  my ($condition) = @_;
  my $end = time + $patience;
  until ($condition->())
  {
    return 0 if time > $end;
    sleep(0.02);
  }
  return 1;
}

# As $node->psql, while the server may be away: psql has gone then, perhaps before it was told what to ask.
sub ask
{
  my ($node, $sql) = @_;
  my @answer = eval { $node->psql('postgres', $sql, on_error_stop => 1) };
  return @answer if $@ eq '';
  die $@ if $@ !~ /Broken pipe/;
  return (2, '', 'no connection');
}

sub answers
{
  my ($node) = @_;
  my ($status, $out, $err) = ask($node, 'SELECT NOT pg_is_in_recovery()');
  return defined $out && $out eq 't';
}

# A server that was stopped is started, one that restarts itself is waited for.
sub come_back
{
  my ($node, $action) = @_;
  if ($action eq 'stop')
  {
    my $pid = $node->{_pid};
    until_true(sub { return !kill 0, $pid }) or die 'the server did not stop';
    unlink $node->data_dir . '/postmaster.pid';
    $node->{_pid} = undef;
    $node->start;
  }
  elsif ($action eq 'crash')
  {
    # The crash is on its way when its mark is there.
    until_true(sub { return crashes($node) >= $node->{crashes} + 1 }) or die 'the server did not notice the crash';
    $node->{crashes} = crashes($node);
    until_true(sub { return answers($node) }) or die 'the server did not come back';
  }
  return;
}

sub crashes
{
  my ($node) = @_;
  $node->{crashes} //= 0;
  my $count = () = slurp_file($node->logfile) =~ /terminated by signal 9/g;
  return $count;
}

# A table of 8 days of 25 rows each, and a row that belongs to no day; its control, which nobody backfills.
sub table_with_control
{
  my ($node, $table) = @_;
  value($node, qq{
    CREATE TABLE $table (id bigint PRIMARY KEY, day date, v integer, label text);
    INSERT INTO $table SELECT i, date '2024-01-01' + ((i - 1) / 25)::integer, i, 'old' FROM generate_series(1, 200) AS i;
    INSERT INTO $table VALUES (0, NULL, 0, 'old');
    CREATE INDEX ON $table (day);
    ANALYZE $table;
    CREATE TABLE control_of_$table AS TABLE $table;
    ALTER TABLE control_of_$table ADD PRIMARY KEY (id)});
  return;
}

sub drop_tables
{
  my ($node, $table) = @_;
  value($node, "DROP TABLE $table, control_of_$table");
  return;
}

my $transform = q{CASE WHEN day IS NULL THEN label ELSE 'new ' || id END};

sub plan_job
{
  my ($node, $table, %with) = @_;
  my ($more, $strategy) = ($with{more} // '', $with{strategy} // 'chunk_by: 2 days');
  value($node, qq~SELECT backfill_plan(\$\${name: $table, scope: {table: $table, column: day, start: 2024-01-01,
    stop: 2024-01-09}, transform: {set: {label: "'new ' || id"}}, strategy: {$strategy, parallelism: 2, retries: 0},
    checks: [{check: exact, scope: both}] $more}\$\$)~);
  return;
}

# Writes of every kind to the table and its control, as one transaction.  Where the server is away, nothing is written.
my $poked = 0;

sub poke
{
  my ($node, $table) = @_;
  my $n = ++$poked;
  my ($changed, $moved, $gone, $to) = ($n % 200 + 1, ($n * 7) % 200 + 1, ($n * 13) % 200 + 1, 1000 + $n);
  my $writes = '';
  foreach my $to_table ($table, "control_of_$table")
  {
    $writes .= qq{
      UPDATE $to_table SET v = v + 1 WHERE id = $changed;
      UPDATE $to_table SET day = day + 1 WHERE id = $moved AND day < '2024-01-08';
      DELETE FROM $to_table WHERE id = $gone;
      INSERT INTO $to_table VALUES ($to, '2024-01-05', $n, 'old');
      UPDATE $to_table SET id = id + 100000 WHERE id = $to - 10;};
  }
  my ($status, $out, $err) = ask($node, "BEGIN; $writes COMMIT");
  ok(0, "no writer sees an error: $err") if $status != 0 && $err !~ /connection|terminat|starting up|recovery|shutting down/;
  return;
}

# Until the job is in that state with nothing left to drain: it is told to run whenever it does not.
sub settle
{
  my ($node, $name, $state) = @_;
  my ($now, $pending) = ('', '');
  my $looks = 0;
  my $there = until_true(sub {
    my $look = job($node, $name, q{state || ' ' || coalesce(pending_keys, -1)});
    ($now, $pending) = split / /, $look;
    return 1 if $now eq $state && $pending <= 0;
    if ($now =~ /^(failed|paused|stalled|planned)$/ || $looks++ % 50 == 49)
    {
      my ($status, $out, $err) = ask($node, "SELECT backfill_run('$name')");
    }
    return 0;
  });
  diag("$name is $now, $pending keys pending, and not $state: ",
    value($node, "SELECT phase, waiting_for, error FROM backfill.jobs WHERE name = '$name'"),
    value($node, "SELECT title, status, attempts, sqlstate, error FROM backfill.steps WHERE name = '$name' AND status <> 'done'"),
    value($node, q{SELECT pid, application_name, wait_event, query FROM pg_stat_activity WHERE backend_type = 'backfill'}))
    unless $there;
  return $there;
}

# -- what has to be true, each an empty text or what is wrong

sub differences
{
  my ($node, $these, $those) = @_;
  return value($node, "SELECT string_agg(d::text, ' ') FROM (((TABLE $these EXCEPT ALL $those) UNION ALL ($those EXCEPT ALL"
      . " TABLE $these)) LIMIT 5) AS d");
}

# The table is what it would be had nobody backfilled it, or has the transform of that.
sub equals_control
{
  my ($node, $table) = @_;
  return differences($node, $table, "SELECT id, day, v, label FROM control_of_$table");
}

sub equals_transform
{
  my ($node, $table, $where) = @_;
  return differences($node, $where // $table, "SELECT id, day, v, $transform FROM control_of_$table");
}

# All that there is outside the ledger and could be left behind, waited for while processes end.
sub leftovers
{
  my ($node, $expected) = @_;
  my $look = sub {
    return value($node, q{
      SELECT thing FROM (
        SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
        UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'types ' || count(*) FROM pg_type
        UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname FROM pg_constraint WHERE conrelid <> 0
        UNION ALL SELECT 'relations ' || count(*) FROM pg_class
        UNION ALL SELECT 'dependencies ' || count(*) FROM pg_depend
        UNION ALL SELECT 'shared dependencies ' || count(*) FROM pg_shdepend
        UNION ALL SELECT 'prepared ' || count(*) FROM pg_prepared_xacts
        UNION ALL SELECT 'lock ' || objid || ' ' || objsubid FROM pg_locks WHERE classid = 'backfill.job'::regclass
        UNION ALL SELECT 'process ' || application_name FROM pg_stat_activity WHERE backend_type = 'backfill'
        UNION ALL SELECT 'step ' || title || ' is ' || status FROM backfill.step JOIN backfill.job j ON j.id = job_id
          WHERE j.state IN ('cancelled', 'finished') AND status = 'running'
      ) AS found (thing) ORDER BY thing COLLATE "C"});
  };
  return $look->() unless defined $expected;
  my $found = '';
  return '' if until_true(sub { $found = $look->(); return $found eq $expected });
  my %expected = map { $_ => 1 } split /\n/, $expected;
  my %found = map { $_ => 1 } split /\n/, $found;
  return join('; ', (map { "left: $_" } grep { !$expected{$_} } sort keys %found),
    (map { "gone: $_" } grep { !$found{$_} } sort keys %expected));
}

# What was to be empty, as one assertion.
sub fails
{
  my ($test, @wrong) = @_;
  is(join('; ', grep { defined && $_ ne '' } @wrong), '', $test);
  return;
}

1;
