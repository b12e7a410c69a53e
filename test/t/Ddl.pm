# DDL in mid-run, as a matrix: each statement on a table of its own, while its job is at work or paused in mid-copy, ready,
# published, or rolled back.  What a cell expects is what docs/operations.md says of it.
package Ddl;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(@ddl ddl_node plan_and_run names do_each wait_until state_of right_content nothing_left quiet_log in_mid_copy ready);

# T is the table, S its shadow, A its archive, L and R its logs, J the job's number.
#
#   do       the statement, or several; one that cannot run in a transaction stands alone
#   undo     what makes it undone, where that can be; then the job is published after all
#   resumed  what becomes of the job that was at work, or paused and resumed: ready (then it is published), told (it says to cancel), failed
#   publish  of a ready job, before or after a rollback: done, again (it computes every row again, then it is done), or the SQLSTATE
#   back     the same of the rollback of a published one
our @ddl = (
  { name => 'add_column', do => 'ALTER TABLE T ADD COLUMN x integer', undo => 'ALTER TABLE T DROP COLUMN x', resumed => 'told', publish => '55000', back => '55000' },
  { name => 'drop_column', do => 'ALTER TABLE T DROP COLUMN v', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'rename_column', do => 'ALTER TABLE T RENAME COLUMN v TO u', undo => 'ALTER TABLE T RENAME COLUMN u TO v', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'alter_type', do => 'ALTER TABLE T ALTER COLUMN v TYPE bigint', resumed => 'told', publish => '55000', back => 'done' },
  # The same type and other values; no trigger sees it.  A rollback brings the old values, as of any column that was altered.
  { name => 'change_values', do => 'ALTER TABLE T ALTER COLUMN v TYPE integer USING v + 1', resumed => 'ready', publish => 'again', back => 'done' },
  { name => 'column_anew', do => 'ALTER TABLE T DROP COLUMN w, ADD COLUMN w integer', resumed => 'told', publish => '55000', back => 'done' },
  { name => 'rename_table', do => 'ALTER TABLE T RENAME TO T_other', undo => 'ALTER TABLE T_other RENAME TO T', resumed => 'told', publish => '55000', back => '55000' },
  { name => 'set_schema', do => 'ALTER TABLE T SET SCHEMA elsewhere', undo => 'ALTER TABLE elsewhere.T SET SCHEMA public', resumed => 'told', publish => '55000', back => '55000' },
  { name => 'drop_table', do => 'DROP TABLE T', resumed => 'failed', publish => '55000', back => '42P01' },
  { name => 'new_index', do => 'CREATE INDEX T_v ON T (v)', undo => 'DROP INDEX T_v', resumed => 'told', publish => '55000', back => 'done' },
  { name => 'new_index_concurrently', do => 'CREATE INDEX CONCURRENTLY T_v ON T (v)', undo => 'DROP INDEX CONCURRENTLY T_v', resumed => 'told', publish => '55000', back => 'done' },
  { name => 'new_view', do => 'CREATE VIEW T_view AS SELECT * FROM T', resumed => 'ready', publish => 'done', back => 'done' },
  { name => 'new_trigger', do => 'CREATE TRIGGER x BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', resumed => 'ready', publish => 'done', back => 'done' },
  { name => 'truncate', do => 'TRUNCATE T', resumed => 'ready', publish => 'again', back => 'done' },
  { name => 'vacuum_full', do => 'VACUUM FULL T', resumed => 'ready', publish => 'done', back => 'done' },
  { name => 'cluster', do => 'CLUSTER T USING T_pkey', resumed => 'ready', publish => 'done', back => 'done' },
  { name => 'disable_trigger', do => 'ALTER TABLE T DISABLE TRIGGER backfill_capture_J', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'disable_all', do => 'ALTER TABLE T DISABLE TRIGGER ALL', resumed => 'failed', publish => '55000', back => '55000' },
  # As it was before, and a write is in no log.
  { name => 'write_past_trigger', do => 'ALTER TABLE T DISABLE TRIGGER ALL; UPDATE T SET v = -1 WHERE id = 300; ALTER TABLE T ENABLE TRIGGER ALL; '
      . 'ALTER TABLE T ENABLE ALWAYS TRIGGER backfill_capture_J; ALTER TABLE T ENABLE ALWAYS TRIGGER backfill_truncate_J', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'drop_trigger', do => 'DROP TRIGGER backfill_capture_J ON T', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'owner', do => 'ALTER TABLE T OWNER TO other', undo => 'ALTER TABLE T OWNER TO keeper', resumed => 'told', publish => '55000', back => '55000' },
  { name => 'drop_owned', owner => 'leaver', do => 'DROP OWNED BY leaver', resumed => 'failed', publish => '55000', back => '42P01' },
  { name => 'revoke', do => 'REVOKE SELECT ON T_names FROM keeper; UPDATE T SET v = 0 WHERE id = 390', undo => 'GRANT SELECT ON T_names TO keeper', resumed => 'denied',
    publish => '(42501|55000)', back => 'done' },
  { name => 'inherit', do => 'CREATE TABLE T_parent (id bigint, day date); ALTER TABLE T INHERIT T_parent', undo => 'ALTER TABLE T NO INHERIT T_parent', resumed => 'told', publish => '2BP01', back => '2BP01' },
  { name => 'attach', do => 'CREATE TABLE T_parent (LIKE T) PARTITION BY RANGE (id); ALTER TABLE T_parent ATTACH PARTITION T DEFAULT', undo => 'ALTER TABLE T_parent DETACH PARTITION T',
    resumed => 'told', publish => '2BP01', back => '2BP01' },
  { name => 'child', do => 'CREATE TABLE T_child () INHERITS (T)', undo => 'DROP TABLE T_child', resumed => 'told', publish => '2BP01', back => '2BP01' },
  { name => 'drop_shadow', do => 'DROP TABLE S', resumed => 'failed', publish => '(55000|42P01)' },
  { name => 'rename_shadow', do => 'ALTER TABLE S RENAME TO T_mine', undo => 'ALTER TABLE T_mine RENAME TO S', resumed => 'failed', publish => '(55000|42P01)' },
  { name => 'view_of_shadow', do => 'CREATE VIEW T_look AS SELECT id, label FROM S', undo => 'DROP VIEW T_look', resumed => 'ready', publish => 'done', held => 1 },
  { name => 'drop_log', do => 'DROP TABLE L', resumed => 'failed', publish => '55000', back => '55000' },
  { name => 'drop_archive', do => 'DROP TABLE A', back => '42P01' },
  { name => 'rename_archive', do => 'ALTER TABLE A RENAME TO T_mine', undo => 'ALTER TABLE T_mine RENAME TO A', back => '55000' },
  { name => 'view_of_archive', do => 'CREATE VIEW T_look AS SELECT id, label FROM A', back => 'done' },
  { name => 'drop_reverse_log', do => 'DROP TABLE R', back => '55000' },
);

# To look at some of them alone: DDL_ONLY='truncate|revoke'.
@ddl = grep { $_->{name} =~ /^(?:$ENV{DDL_ONLY})$/ } @ddl if $ENV{DDL_ONLY};

sub ddl_node
{
  my ($name) = @_;
  my $node = new_node($name, 'max_worker_processes = 200', 'max_connections = 300', 'autovacuum = off');
  value($node, q{
    CREATE EXTENSION backfill;
    CREATE ROLE other;
    CREATE ROLE keeper;
    CREATE ROLE leaver;
    CREATE SCHEMA elsewhere;
    GRANT ALL ON SCHEMA public, elsewhere TO keeper, leaver, other;
    CREATE FUNCTION gate(id bigint) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
      IF id = 250 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
      RETURN 'new ' || id;
    END $$});
  return $node;
}

# do_each($node, { NAME => SQL }): each in its turn, in one session; returns what psql said to each.
sub do_each
{
  my ($node, $sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', join("\n", map { "\\warn == $_\n$sql->{$_};" } sort keys %$sql),
    on_error_stop => 0, on_error_die => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  my %said = map { $_ => '' } keys %$sql;
  my $name;
  foreach my $line (split /\n/, $err)
  {
    if ($line =~ /^== (\w+)$/) { $name = $1; }
    elsif (defined $name) { $said{$name} .= "$line\n"; }
  }
  return \%said;
}

# names($node, $table, $sql): with the names of that table's job put in.
sub names
{
  my ($node, $table, $sql) = @_;
  $node->{ddl_ids} //= {};
  $node->{ddl_ids}{$table} //= value($node, "SELECT id FROM backfill.jobs WHERE name = '$table' ORDER BY id DESC LIMIT 1");
  my $id = $node->{ddl_ids}{$table};
  my %named = (S => "${table}_backfill_$id", A => "${table}_archive_$id", L => "backfill.log_$id", R => "backfill.reverse_$id");
  return $sql =~ s/\bT(_\w+)?\b/"$table" . ($1 \/\/ '')/ger =~ s/\b([SALR])\b/$named{$1}/gr =~ s/_J\b/_$id/gr;
}

sub plan_and_run
{
  my ($node, $label, $owner, @tables) = @_;
  my %sql;
  foreach my $table (@tables)
  {
    my $role = $owner->{$table} // 'keeper';
    my $spec = spec($table, label => "$label || coalesce((SELECT n.name FROM ${table}_names AS n WHERE n.id = $table.id), '')");
    $spec =~ s/2024-01-11/2024-01-05/;
    $spec =~ s/name:/publish: {give_up_after: 20s}, name:/;
    $sql{$table} = qq{
      CREATE TABLE ${table}_names AS SELECT 77::bigint AS id, '!' AS name;
      GRANT SELECT ON ${table}_names TO keeper, leaver;
      SET ROLE $role;
      CREATE TABLE $table (id bigint PRIMARY KEY, day date, v integer, label text, w integer);
      INSERT INTO $table SELECT i, date '2024-01-01' + ((i - 1) / 100)::integer, i, 'old', i FROM generate_series(1, 400) AS i;
      CREATE INDEX ON $table (day);
      ANALYZE $table;
      SELECT backfill_plan(\$\$$spec\$\$);
      SELECT backfill_run('$table');
      RESET ROLE};
  }
  my $said = do_each($node, \%sql);
  is(join('', values %$said) =~ s/^NOTICE.*\n|^LOCATION.*\n//gmr, '', 'planned and run: ' . scalar(@tables));
  return;
}

sub wait_until
{
  my ($node, $condition, $test) = @_;
  my $there = $node->poll_query_until('postgres', "SELECT $condition");
  ok($there, $test) or diag(value($node, 'SELECT name, state, phase, waiting_for, next_command, error FROM backfill.jobs'));
  return;
}

sub state_of
{
  my ($node) = @_;
  my %state;
  foreach my $line (split /\n/, value($node, q{SELECT DISTINCT ON (name) j.name, j.state, v.next_command, j.sqlstate, j.error, coalesce(j.error_detail, ''), coalesce(j.error_hint, '')
    FROM backfill.job AS j JOIN backfill.jobs AS v USING (id) ORDER BY j.name, j.id DESC}))
  {
    my ($name, @fields) = split /\|/, $line, 7;
    @{ $state{$name} }{qw(state next sqlstate error detail hint)} = @fields;
  }
  return \%state;
}

# What the jobs of these tables have failed with is an error of our own, with a way out.
sub told
{
  my ($node, $tables, $test) = @_;
  my $state = state_of($node);
  foreach my $table (@$tables)
  {
    my $job = $state->{$table};
    like($job->{next}, qr/backfill_cancel/, "$test, $table: the next command is to cancel");
    next if $job->{state} ne 'failed';
    isnt($job->{sqlstate}, 'XX000', "$test, $table: failed with an SQLSTATE that says something");
    like($job->{hint}, qr/backfill_cancel/, "$test, $table: and with a hint") or diag(explain($job));
  }
  return;
}

# right_content($node, { TABLE => QUERY }, $test): the tables hold what the queries yield.
sub right_content
{
  my ($node, $wanted, $test) = @_;
  my $sql = join(' UNION ALL ', map {
    my ($columns, $want) = ('id, day, v, label, w', $wanted->{$_});
    "SELECT '$_' FROM ((SELECT $columns FROM $_ EXCEPT ALL $want) UNION ALL ($want EXCEPT ALL SELECT $columns FROM $_)) AS d"
  } sort keys %$wanted);
  is(value($node, "SELECT string_agg(DISTINCT t, ', ') FROM ($sql) AS x (t)"), '', $test);
  return;
}

sub nothing_left
{
  my ($node, $test, $but) = @_;
  is( value($node, q{SELECT string_agg(thing, ', ' ORDER BY thing) FROM (
    SELECT relname::text FROM pg_class WHERE relname ~ '_(backfill|archive)_\d+' OR relname ~ '^(log|reverse)_\d+$'
    UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname ~ '^backfill_'
    UNION ALL SELECT conname::text FROM pg_constraint WHERE conname ~ '_retired_'
    UNION ALL SELECT 'job ' || name FROM backfill.jobs WHERE state NOT IN ('finished', 'cancelled')) AS found (thing)}),
    $but // '', $test);
  return;
}

# Nobody says the same thing to the log again and again.
sub quiet_log
{
  my ($node) = @_;
  my %said;
  foreach my $line (split /\n/, slurp_file($node->logfile))
  {
    $said{$1}++ if $line =~ /((?:ERROR|WARNING|LOG):  (?!statement).*backfill.*)/;
  }
  is(join("\n", grep { $said{$_} > 10 && !/automatic vacuum/ } sort keys %said), '', 'no message is repeated without end');
  return;
}

# The jobs of a matrix that stand in mid-copy, each in a batch of its own.  'paused': the statements come when they are paused, and
# they are resumed.  'at work': they come while the batches run, and what has to wait for a batch is done before the next one.
sub in_mid_copy
{
  my ($node, $prefix, $when) = @_;
  my %case = map { ("${prefix}_$_->{name}" => $_) } grep { $_->{resumed} } @ddl;
  my @tables = sort keys %case;
  my $n = @tables;
  my $ours = "name LIKE '$prefix\\_%'";
  value($node, q{BEGIN; SELECT pg_advisory_xact_lock(42); PREPARE TRANSACTION 'gate'});
  plan_and_run($node, 'gate(id)', { map { $_ => $case{$_}{owner} } @tables }, @tables);
  wait_until($node, "count(*) = $n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 'all are in mid-copy');
  if ($when eq 'paused') { stop_and_go($node, \%case, $ours); }
  else                   { go_on($node, \%case); }

  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE $ours AND state NOT IN ('ready', 'failed'))", "$when: every job comes to an end");
  my @told = grep { $case{$_}{resumed} =~ /told|failed/ } @tables;
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE name IN ('" . join("', '", @told) . "') AND next_command NOT LIKE '%cancel%')", "$when: who cannot be published says so");
  my $state = state_of($node);
  foreach my $table (@tables)
  {
    my $wanted = { told => '(ready|failed)', denied => 'failed' }->{ $case{$table}{resumed} } // $case{$table}{resumed};
    like($state->{$table}{state}, qr/^$wanted$/, "$when, $table: $wanted") or diag(explain($state->{$table}));
  }
  is($state->{"${prefix}_revoke"}{next}, "SELECT backfill_run('${prefix}_revoke');", "$when: a privilege that is lacking can be granted, so the next command is to run");
  like($state->{"${prefix}_revoke"}{hint}, qr/^Grant that role/, '- and the hint says so');
  told($node, \@told, $when);
  undo_publish_and_cancel($node, $when, \%case, [ grep { !$case{$_}{held} && ($case{$_}{undo} || $case{$_}{resumed} eq 'ready') } @tables ]);
  nothing_left($node, "$when: nothing is left");
  return;
}

sub stop_and_go
{
  my ($node, $case, $ours) = @_;
  my @tables = sort keys %$case;
  my $n = @tables;
  do_each($node, { map { $_ => "SELECT backfill_pause('$_')" } @tables });
  value($node, q{COMMIT PREPARED 'gate'});
  wait_until($node, "count(*) = $n FROM backfill.jobs WHERE $ours AND state = 'paused'", 'all are paused');
  my $said = do_each($node, { map { $_ => names($node, $_, $case->{$_}{do}) } @tables });
  unlike($said->{$_}, qr/ERROR/, "paused: $_") foreach @tables;
  $said = do_each($node, { map { $_ => "SELECT backfill_run('$_')" } @tables });
  foreach my $table (@tables)
  {
    my $noticed = $case->{$table}{resumed} !~ /ready|denied/;
    is(scalar($said->{$table} =~ /WARNING: .*\n(?:.*\n)*HINT: .*backfill_cancel/), $noticed ? 1 : '', "paused, $table: backfill_run says whether it is in vain") or diag($said->{$table});
  }
  return;
}

# Each in a session of its own: most wait for the batch that reads the table.
sub go_on
{
  my ($node, $case) = @_;
  my @tables = sort keys %$case;
  my (%session, %err);
  foreach my $table (@tables)
  {
    my @statements = map { ('-c', $_) } split /; /, names($node, $table, $case->{$table}{do});
    $session{$table} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), @statements ], '<', '/dev/null', '>', '/dev/null', '2>', \$err{$table});
  }
  wait_until($node, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock' AND pid <> pg_backend_pid())"
    . " AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event_type = 'Lock')", 'statements wait for batches');
  value($node, q{COMMIT PREPARED 'gate'});
  $session{$_}->finish foreach @tables;
  unlike($err{$_}, qr/ERROR/, "at work: $_") foreach @tables;
  return;
}

# The ready jobs of a matrix: $rolled_back or never published.
sub ready
{
  my ($node, $prefix, $rolled_back) = @_;
  my $when = $rolled_back ? 'rolled back' : 'ready';
  my %case = map { ("${prefix}_$_->{name}" => $_) } grep { $_->{publish} } @ddl;
  value($node, 'GRANT ALL ON SCHEMA public TO leaver');
  my @tables = sort keys %case;
  my $ours = "name LIKE '$prefix\\_%'";
  plan_and_run($node, q{'new ' || id}, { map { $_ => $case{$_}{owner} } @tables }, @tables);
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE $ours AND state <> 'ready')", 'all are ready');
  if ($rolled_back)
  {
    do_each($node, { map { $_ => "SELECT backfill_publish('$_'); SELECT backfill_rollback('$_')" } @tables });
    wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE $ours AND state <> 'ready')", 'all are rolled back');
  }

  my $said = do_each($node, { map { $_ => names($node, $_, $case{$_}{do}) } @tables });
  unlike($said->{$_}, qr/ERROR/, "$when: $_") foreach @tables;
  $said = do_each($node, { map { $_ => "SELECT backfill_publish('$_')" } @tables });
  my (@refused, @again);
  foreach my $table (@tables)
  {
    my $wanted = $case{$table}{publish};
    push @again, $table if $wanted eq 'again';
    push @refused, $table if $wanted !~ /^(again|done)$/;
    if ($wanted eq 'done') { unlike($said->{$table}, qr/ERROR/, "$when, $table: is published"); }
    elsif ($wanted ne 'again')  # may be published at once, where the coordinator was quicker
    {
      like($said->{$table}, qr/ERROR:  (?!XX000)$wanted:/, "$when, $table: the publish is refused");
      # Where the publish itself meets what the owner may not do, before the coordinator has, the server's error stands alone.
      like($said->{$table}, qr/^HINT: |ERROR:  42501:/m, "$when, $table: with a hint") or diag($said->{$table});
    }
  }
  my @told = grep { !/revoke/ } @refused;
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE name IN ('" . join("', '", @told) . "') AND next_command NOT LIKE '%cancel%')", "$when: who cannot be published says so");
  told($node, \@told, $when);
  undo_publish_and_cancel($node, $when, \%case, [ grep { $case{$_}{undo} || $case{$_}{publish} =~ /^(again|done)$/ } @tables ]);
  nothing_left($node, "$when: nothing is left");
  return;
}

# Those of @$mended are published in the end, with the right rows; all are cancelled.
sub undo_publish_and_cancel
{
  my ($node, $when, $case, $mended) = @_;
  my @tables = sort keys %$case;
  my @undone = grep { $case->{$_}{undo} && !$case->{$_}{held} } @$mended;
  my $said = do_each($node, { map { $_ => names($node, $_, $case->{$_}{undo}) } @undone });
  unlike($said->{$_}, qr/ERROR/, "$when, $_: undone") foreach @undone;
  my $state = state_of($node);
  do_each($node, { map { $_ => "SELECT backfill_run('$_')" } grep { $state->{$_}{state} eq 'failed' } @undone });
  my $early = $when =~ /^(paused|at work)$/;
  if ($early)    # the audit has seen what was undone since
  {
    wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE state = 'running')", "$when: who ran again is ready");
    do_each($node, { map { $_ => "SELECT backfill_audit('$_')" } @undone });
  }
  my $list = "'" . join("', '", @$mended) . "'";
  wait_until($node, "NOT EXISTS (SELECT FROM backfill.jobs WHERE name IN ($list) AND NOT (state = 'published' OR state = 'ready' AND next_command LIKE '%publish%'))", "$when: what was undone stands in nobody's way");
  $state = state_of($node);
  $said = do_each($node, { map { $_ => "SELECT backfill_publish('$_')" } grep { $state->{$_}{state} eq 'ready' } @$mended });
  unlike($said->{$_}, qr/ERROR/, "$when, $_: is published after all") foreach sort keys %$said;
  right_content($node, { map { $_ => names($node, $_, q{SELECT id, day, v, 'new ' || id || CASE WHEN id = 77 THEN '!' ELSE '' END, w FROM A}) } @$mended }, "$when: every row is as it should be");

  $said = do_each($node, { map { $_ => "SELECT backfill_rollback('$_')" } @$mended });
  unlike($said->{$_}, qr/ERROR/, "$when, $_: is rolled back") foreach @$mended;
  my @held = grep { $case->{$_}{held} && $early } @tables;
  $said = do_each($node, { map { $_ => "SELECT backfill_cancel('$_')" } @tables });
  unlike($said->{$_}, qr/ERROR/, "$when, $_: is cancelled") foreach grep { !($case->{$_}{held} && $early) } @tables;
  foreach my $table (@held)
  {
    like($said->{$table}, qr/ERROR:  2BP01:.*\nDETAIL:  view public.${table}_look .*\nHINT:  .*SELECT backfill_cancel/, "$when, $table: what somebody made on the new version is his to drop") or diag($said->{$table});
  }
  do_each($node, { map { $_ => names($node, $_, "$case->{$_}{undo}; SELECT backfill_cancel('$_')") } @held });
  return;
}

1;
