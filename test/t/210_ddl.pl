# DDL in mid-run: refused, handled, or told with a way out; never wrong data, never a stuck object.  Each statement is run on a
# table of its own: while the job is paused in mid-copy, and when it is ready.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'max_worker_processes = 120', 'max_connections = 200', 'autovacuum = off');
value($node, q{
  CREATE EXTENSION backfill;
  CREATE ROLE other;
  CREATE ROLE keeper;
  CREATE SCHEMA elsewhere;
  GRANT ALL ON SCHEMA public TO keeper;
  CREATE FUNCTION gate(id bigint) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    IF id = 250 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
    RETURN 'new ' || id;
  END $$});

# T is the table, S its shadow, L its log, A its archive, J the job's number.  What is expected: of the paused job that is resumed
# the state it comes to and whether it is to be cancelled; of the ready one the SQLSTATE of the publish (none: it is published).
my @ddl = (
  [ add_column => 'ALTER TABLE T ADD COLUMN x integer', 'ready', 1, '55000' ],
  [ drop_column => 'ALTER TABLE T DROP COLUMN v', 'failed', 1, '55000' ],
  [ rename_column => 'ALTER TABLE T RENAME COLUMN v TO w', 'failed', 1, '55000' ],
  [ alter_type => 'ALTER TABLE T ALTER COLUMN v TYPE bigint', 'ready', 1, '55000' ],
  [ rename_table => 'ALTER TABLE T RENAME TO T_renamed', undef, 1, '55000' ],
  [ set_schema => 'ALTER TABLE T SET SCHEMA elsewhere', undef, 1, '55000' ],
  [ drop_table => 'DROP TABLE T', 'failed', 1, '(55000|42P01)' ],
  [ new_index => 'CREATE INDEX ON T (v)', 'ready', 1, '55000' ],
  [ new_view => 'CREATE VIEW T_view AS SELECT * FROM T', 'ready', 0, undef ],
  [ new_trigger => 'CREATE TRIGGER x BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', 'ready', 0, undef ],
  [ truncated => 'TRUNCATE T', 'ready', 0, undef ],
  [ vacuum_full => 'VACUUM FULL T', 'ready', 0, undef ],
  [ disable_ours => 'ALTER TABLE T DISABLE TRIGGER backfill_capture_J', 'failed', 1, '55000' ],
  [ disable_all => 'ALTER TABLE T DISABLE TRIGGER ALL', 'failed', 1, '55000' ],
  [ drop_ours => 'DROP TRIGGER backfill_capture_J ON T', 'failed', 1, '55000' ],
  [ owner => 'ALTER TABLE T OWNER TO other', undef, 1, '55000' ],
  [ drop_shadow => 'DROP TABLE S', 'failed', 0, '.*' ],
  [ drop_log => 'DROP TABLE backfill.log_J', 'failed', 0, '.*' ],
);

sub plan_and_run
{
  my ($label, @tables) = @_;
  foreach my $table (@tables)
  {
    value($node, qq{
      SET ROLE keeper;
      CREATE TABLE $table (id bigint PRIMARY KEY, day date, v integer, label text);
      INSERT INTO $table SELECT i, date '2024-01-01' + ((i - 1) / 100)::integer, i, 'old' FROM generate_series(1, 400) AS i;
      CREATE INDEX ON $table (day);
      ANALYZE $table;
      SELECT backfill_plan(\$\$} . spec($table, label => $label) =~ s/2024-01-11/2024-01-05/r =~ s/name:/publish: {give_up_after: 5s}, name:/r . qq{\$\$);
      SELECT backfill_run('$table')});
  }
  return;
}

sub filled_in
{
  my ($table, $sql) = @_;
  my $id = value($node, "SELECT id FROM backfill.jobs WHERE name = '$table'");
  my $shadow = job($node, $table, 'shadow');
  return $sql =~ s/\bT(_\w+)?\b/"$table" . ($1 \/\/ '')/ger =~ s/\bS\b/$shadow/r =~ s/_J\b/_$id/r;
}

sub left_over
{
  my ($test) = @_;
  is( value($node, q{SELECT string_agg(thing, ', ') FROM (
    SELECT relname::text FROM pg_class WHERE relname ~ '_(backfill|archive)_\d+$' OR relname ~ '^(log|reverse)_\d+$'
    UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname ~ '^backfill_') AS found (thing)}),
    '', $test);
  return;
}

sub cancelled
{
  my ($table, $test) = @_;
  my ($status, $out, $err) = $node->psql('postgres', "SELECT backfill_cancel('$table')");
  is($status, 0, $test) or diag($err);
  return;
}

# -- (a) paused in mid-copy

my @paused = map { "a_$_->[0]" } @ddl;
value($node, q{BEGIN; SELECT pg_advisory_xact_lock(42); PREPARE TRANSACTION 'gate'});
plan_and_run('gate(id)', @paused);
my $n = @paused;
$node->poll_query_until('postgres', "SELECT count(*) = $n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
value($node, "SELECT backfill_pause('$_')") foreach @paused;
value($node, q{COMMIT PREPARED 'gate'});
$node->poll_query_until('postgres', "SELECT count(*) = $n FROM backfill.jobs WHERE state = 'paused'");
value($node, filled_in("a_$_->[0]", $_->[1])) foreach @ddl;
value($node, "SELECT backfill_run('$_')") foreach @paused;
my $settled = $node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM backfill.jobs WHERE state NOT IN ('ready', 'failed', 'cancelled'))});
ok($settled, 'every job that was resumed comes to an end') or diag(value($node, 'SELECT name, state, waiting_for FROM backfill.jobs'));
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM backfill.jobs WHERE name = 'a_add_column' AND next_command NOT LIKE '%cancel%')});
foreach my $case (@ddl)
{
  my ($name, $sql, $state, $to_cancel) = @$case;
  my $table = "a_$name";
  is(job($node, $table, 'state'), $state, "paused, $sql: $state") if defined $state;
  like(job($node, $table, 'next_command'), qr/backfill_cancel/, "paused, $sql: the next command is to cancel") if $to_cancel;
  if (job($node, $table, 'state') eq 'failed')
  {
    isnt(value($node, "SELECT sqlstate FROM backfill.job WHERE name = '$table'"), 'XX000', "paused, $sql: it failed with an error of its own");
    isnt(value($node, "SELECT error_hint FROM backfill.job WHERE name = '$table'"), '', "paused, $sql: and says what to do") if $to_cancel;
  }
  cancelled($table, "paused, $sql: it can be cancelled");
}
left_over('and nothing is left');

# -- (b) ready

my @ready = map { "b_$_->[0]" } @ddl;
plan_and_run(q{'new ' || id}, @ready);
$node->poll_query_until('postgres', "SELECT count(*) = $n FROM backfill.jobs WHERE name LIKE 'b\\_%' AND state = 'ready'");
foreach my $case (@ddl)
{
  my ($name, $sql, undef, $to_cancel, $refusal) = @$case;
  my $table = "b_$name";
  value($node, filled_in($table, $sql));
  my ($status, $out, $err) = $node->psql('postgres', "SELECT backfill_publish('$table')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  if (defined $refusal)
  {
    like($err, qr/ERROR:  (?!XX000)$refusal:/, "ready, $sql: the publish is refused");
  }
  else
  {
    is($status, 0, "ready, $sql: it is published") or diag($err);
    is(value($node, "SELECT count(*) FROM $table WHERE label <> 'new ' || id"), '0', "ready, $sql: with what was to be computed");
  }
}
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM backfill.jobs WHERE name LIKE 'b\_%' AND name ~ '} . join('|', map { $_->[0] } grep { $_->[3] } @ddl)
  . q{' AND state IN ('ready', 'failed') AND next_command NOT LIKE '%cancel%')}) or diag(value($node, 'SELECT name, state, next_command, error FROM backfill.jobs'));
foreach my $case (@ddl)
{
  my ($name, $sql, undef, $to_cancel, $refusal) = @$case;
  my $table = "b_$name";
  like(job($node, $table, 'next_command'), qr/backfill_cancel/, "ready, $sql: the next command is to cancel") if $to_cancel;
  value($node, "SELECT backfill_rollback('$table')") if !defined $refusal;
  cancelled($table, "ready, $sql: it can be cancelled");
}
left_over('and nothing is left');

done_testing();
