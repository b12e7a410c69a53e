# What tests of jobs share: a table with a gate in it, ways to wait for a condition, an inventory of the catalog.
package Jobs;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_node make_table spec close_gate open_gate at_gate wait_state finished_chunks exact crash quiet pause_replay resume_replay inventory same
  job value refused);

# A psql that is refused by a server that is starting ends with its input unread, of which IPC::Run dies one time in twenty
# ("ack Broken pipe").  So a poll hands its query over as an argument.
{
  no warnings 'redefine';
  *PostgreSQL::Test::Cluster::poll_query_until = sub {
    my ($node, $database, $query, $expected) = @_;
    local %ENV = $node->_get_env();
    my @psql = ($node->installed_command('psql'), '-XAt', '-d', $node->connstr($database), '-c', $query);
    my ($out, $err);
    foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
    {
      IPC::Run::run(\@psql, '<', '/dev/null', '>', \$out, '2>', \$err);
      chomp($out, $err);
      return 1 if $out eq ($expected // 't') && $err eq '';
      usleep(100_000);
    }
    diag("timed out:\n$query\nlast answer:\n$out\n$err");
    return 0;
  };
}

# A server that restarts itself after a crash, as production does.
sub new_node
{
  my ($name, @configuration) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init;
  $node->append_conf('postgresql.conf',
    join("\n", 'restart_after_crash = on', 'max_worker_processes = 64', 'max_prepared_transactions = 10', @configuration));
  $node->start;
  return $node;
}

sub value
{
  my ($node, $sql, $database) = @_;
  return $node->safe_psql($database // 'postgres', $sql);
}

# A table of 10 days of 100 rows each, and one row that belongs to no day.  gate(id) lets every row pass but the middle one of
# the fifth day while the gate of the table is closed.
sub make_table
{
  my ($node, $table, $database) = @_;
  value($node, qq{
    CREATE TABLE $table (id bigint PRIMARY KEY, day date, v integer, label text);
    INSERT INTO $table SELECT i, date '2024-01-01' + ((i - 1) / 100)::integer, i, 'old' FROM generate_series(1, 1000) AS i;
    INSERT INTO $table VALUES (0, NULL, 0, 'old');
    CREATE INDEX ON $table (day);
    ANALYZE $table;
    CREATE FUNCTION gate_of_$table(id bigint) RETURNS text LANGUAGE plpgsql AS \$\$
    BEGIN
      IF id = 450 THEN
        PERFORM pg_advisory_xact_lock_shared('$table'::regclass::integer);
      END IF;
      RETURN 'new ' || id;
    END \$\$}, $database);
  return;
}

# The spec of a job of the table's name: by days, one worker; others by arguments.
sub spec
{
  my ($table, %with) = @_;
  my $label = $with{label} // "gate_of_$table(id)";
  my $strategy = $with{strategy} // 'parallelism: 1';
  return "{name: $table, scope: {table: $table, column: day, start: 2024-01-01, stop: 2024-01-11}, "
    . qq~transform: {set: {label: "$label"}}, strategy: {chunk_by: day, $strategy}}~;
}

# The gate is a lock of a prepared transaction: it needs no session and survives a crash.
sub close_gate
{
  my ($node, $table) = @_;
  value($node, "BEGIN; SELECT pg_advisory_xact_lock('$table'::regclass::integer); PREPARE TRANSACTION 'gate of $table'");
  return;
}

sub open_gate
{
  my ($node, $table) = @_;
  value($node, "COMMIT PREPARED 'gate of $table'");
  return;
}

# Waits until a worker stands before the gate; returns its pid.
sub at_gate
{
  my ($node, $not) = @_;
  my $waiting = "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND NOT granted"
    . " AND backend_type = 'backfill' AND pid <> " . ($not // 0);
  $node->poll_query_until('postgres', "SELECT EXISTS ($waiting)") or die 'no worker came to the gate';
  return value($node, $waiting);
}

sub job
{
  my ($node, $name, $column) = @_;
  return value($node, "SELECT $column FROM backfill.jobs WHERE name = '$name' ORDER BY id DESC LIMIT 1");
}

sub wait_state
{
  my ($node, $name, $state, $test) = @_;
  my $there = $node->poll_query_until('postgres',
    "SELECT state = '$state' FROM backfill.jobs WHERE name = '$name' ORDER BY id DESC LIMIT 1");
  ok($there, $test // "$name is $state");
  diag(value($node, "SELECT state, phase, waiting_for, error FROM backfill.jobs WHERE name = '$name'"),
    value($node, "SELECT title, status, attempts, sqlstate, error FROM backfill.steps WHERE name = '$name' AND status <> 'done'"))
    unless $there;
  return;
}

# All there is to tell of the chunks that are done (of those numbers, where given).
sub finished_chunks
{
  my ($node, $name, $numbers) = @_;
  return value($node, "SELECT s.chunk, s.attempts, s.batches, s.rows, s.token, s.finished_at FROM backfill.step s"
      . " JOIN backfill.job j ON j.id = s.job_id WHERE j.name = '$name' AND s.chunk IS NOT NULL AND s.status = 'done'"
      . ($numbers ? " AND s.chunk IN ($numbers)" : '') . ' ORDER BY s.chunk');
}

# The shadow holds what it should, row by row.
sub exact
{
  my ($node, $table, $test) = @_;
  my $shadow = job($node, $table, 'shadow');
  my $want = "SELECT id, day, v, CASE WHEN day IS NULL THEN 'old' ELSE 'new ' || id END FROM $table";
  is( value($node, "SELECT count(*) FROM ((TABLE $shadow EXCEPT ALL $want) UNION ALL ($want EXCEPT ALL TABLE $shadow)) AS d"),
    '0',
    $test // "$table: every row is there, and once");
  return;
}

# Kills a process of the server the hard way.  It is over when that is no longer listed: the server answers for a moment before
# it notices, then restarts.
sub crash
{
  my ($node, $pid) = @_;
  kill 'KILL', $pid or die "there is no process $pid";
  $node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)")
    or die 'the server did not come back';
  return;
}

# Waits until the processes of earlier jobs have ended: those answer before they leave.
sub quiet
{
  my ($node) = @_;
  $node->poll_query_until('postgres',
    q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'backfill' AND application_name <> 'backfill notifier')})
    or die 'a process of an earlier job did not end';
  return;
}

# A standby that does not replay, and goes on.  Where a query of its is in the way of what it then replays, that may be the very
# query that tells it to.
sub pause_replay
{
  my ($standby) = @_;
  value($standby, 'SELECT pg_wal_replay_pause()');
  $standby->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'") or die 'replay goes on';
  return;
}

sub resume_replay
{
  my ($standby) = @_;
  my ($status, $out, $err) = $standby->psql('postgres', 'SELECT pg_wal_replay_resume()');
  $standby->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'not paused'") or die "replay does not go on: $err";
  return;
}

# All that a job could leave behind outside its ledger.
sub inventory
{
  my ($node, $database) = @_;
  my $dump = '';
  IPC::Run::run([ 'pg_dump', '-s', '--exclude-schema=backfill', '-d', $node->connstr($database // 'postgres') ],
    '>', \$dump) or die 'pg_dump failed';
  $dump =~ s/^\\(un)?restrict .*\n//mg;
  return $dump . value($node, q{
    SELECT thing FROM (
      SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
      UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext
      UNION ALL SELECT 'types ' || count(*) FROM pg_type
      UNION ALL SELECT 'constraints ' || count(*) FROM pg_constraint
      UNION ALL SELECT 'relations ' || count(*) FROM pg_class
      UNION ALL SELECT 'dependencies ' || count(*) FROM pg_depend
      UNION ALL SELECT 'shared dependencies ' || count(*) FROM pg_shdepend
      UNION ALL SELECT 'processes ' || count(*) FROM pg_stat_activity
                 WHERE backend_type = 'backfill' AND application_name <> 'backfill notifier'  -- the database's, not a job's
    ) AS found (thing) ORDER BY thing COLLATE "C"}, $database);
}

# same($got, $expected, $test): compares inventories, and tells only what differs.
sub same
{
  my ($got, $expected, $test) = @_;
  my (%got, %expected);
  $got{$_}++ foreach split /\n/, $got;
  $expected{$_}++ foreach split /\n/, $expected;
  my @difference = ((map { "missing: $_" } grep { ($got{$_} // 0) < $expected{$_} } sort keys %expected),
    (map { "unexpected: $_" } grep { ($expected{$_} // 0) < $got{$_} } sort keys %got));
  is(join("\n", @difference), '', $test);
  return;
}

# refused($node, $sql, $sqlstate, $test, @psql_arguments)
sub refused
{
  my ($node, $sql, $sqlstate, $test, @arguments) = @_;
  my ($status, $out, $err) =
    $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose', @arguments ]);
  like($err, qr/ERROR:  $sqlstate:/, $test);
  return;
}

1;
