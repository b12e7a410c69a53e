# What people do to a job, who may, and what may go wrong on the way without harm.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'wal_level = replica', 'max_wal_senders = 2');
value($node, 'CREATE EXTENSION backfill');

sub plan_job
{
  my ($table, %with) = @_;
  value($node, "SELECT backfill_plan(\$\$" . spec($table, %with) . "\$\$)");
  return;
}

sub run_job
{
  my ($table) = @_;
  value($node, "SELECT backfill_run('$table')");
  return;
}

# -- cancel at any stage leaves nothing

make_table($node, 'stages');
my $before = inventory($node);

plan_job('stages');
value($node, q{SELECT backfill_cancel('stages')});
same(inventory($node), $before, 'cancelled when planned: nothing is left');

close_gate($node, 'stages');
plan_job('stages', strategy => 'parallelism: 2');
run_job('stages');
at_gate($node);
value($node, q{SELECT backfill_cancel('stages')});
same(inventory($node), $before, 'cancelled in mid-copy: nothing is left, and no process');

plan_job('stages');
run_job('stages');
at_gate($node);
value($node, q{SELECT backfill_pause('stages')});
like(job($node, 'stages', 'waiting_for'), qr/pauses/, 'a job that is to pause says so');
open_gate($node, 'stages');
wait_state($node, 'stages', 'paused');
refused($node, q{SELECT backfill_pause('stages')}, '55000', 'paused twice: refused');
my $finished = finished_chunks($node, 'stages', '1, 2, 3, 4, 5');
run_job('stages');
wait_state($node, 'stages', 'ready');
is(finished_chunks($node, 'stages', '1, 2, 3, 4, 5'), $finished, 'resumed: no finished chunk was done again');
exact($node, 'stages');
refused($node, q{SELECT backfill_pause('stages')}, '55000', 'pausing a ready job: refused');
value($node, q{SELECT backfill_cancel('stages')});
same(inventory($node), $before, 'cancelled when ready: nothing is left');
is(value($node, q{SELECT backfill_cancel('stages')}), 'nothing was changed: backfill "stages" is cancelled already', 'cancelled twice: told');
refused($node, q{SELECT backfill_run('stages')}, '55000', 'run after the end: refused');

close_gate($node, 'stages');
plan_job('stages');
run_job('stages');
at_gate($node);
value($node, q{SELECT backfill_pause('stages')});
open_gate($node, 'stages');
wait_state($node, 'stages', 'paused');
value($node, q{SELECT backfill_cancel('stages')});
same(inventory($node), $before, 'cancelled when paused: nothing is left');

# -- a chunk that fails

make_table($node, 'failing');
value($node, q{UPDATE failing SET v = 0 WHERE id = 250});
$before = inventory($node);
plan_job('failing', label => "'new ' || id + 0 * (1 / v)");
run_job('failing');
wait_state($node, 'failing', 'failed');
is( value($node, q{SELECT string_agg(chunk || ' ' || sqlstate || ' ' || attempts, ',') FROM backfill.chunks
      WHERE name = 'failing' AND status = 'failed'}),
  '3 22012 1', 'the error of a chunk is kept, and is no reason to try again');
is( value($node, q{SELECT count(*) FROM backfill.chunks WHERE name = 'failing' AND status = 'done'}),
  '10', 'the other chunks went on');
is( value($node, q{SELECT next_command FROM backfill.chunks WHERE name = 'failing' AND status = 'failed'}),
  q{SELECT backfill_retry('failing', 3);}, 'the next command is there to be typed');
refused($node, q{CALL backfill_wait('failing')}, '22012', 'backfill_wait raises the error of the job');
$finished = finished_chunks($node, 'failing');
value($node, q{UPDATE failing SET v = 1 WHERE id = 250});
value($node, q{SELECT backfill_retry('failing', 3)});
wait_state($node, 'failing', 'ready', 'failing: retried after the repair, it becomes ready');
is(finished_chunks($node, 'failing', '1, 2, 4, 5, 6, 7, 8, 9, 10, 11'), $finished, 'failing: the others were not run again');
exact($node, 'failing');
value($node, q{SELECT backfill_cancel('failing')});

value($node, q{UPDATE failing SET v = 0 WHERE id = 250});
plan_job('failing', label => "'new ' || id + 0 * (1 / v)");
run_job('failing');
wait_state($node, 'failing', 'failed');
value($node, q{SELECT backfill_cancel('failing')});
same(inventory($node), $before, 'cancelled when failed: nothing is left');

# -- capture that was tampered with

plan_job('failing', label => "'new ' || id");
run_job('failing');
wait_state($node, 'failing', 'ready');
my $trigger = value($node, q{SELECT tgname FROM pg_trigger WHERE tgrelid = 'failing'::regclass AND tgname LIKE 'backfill_capture%'});
value($node, "ALTER TABLE failing DISABLE TRIGGER $trigger");
wait_state($node, 'failing', 'failed', 'a job whose capture was switched off fails');
refused($node, q{SELECT backfill_publish('failing')}, '55000', 'and cannot be published');
value($node, q{SELECT backfill_cancel('failing')});
same(inventory($node), $before, 'cancelled then: nothing is left');

# -- errors that pass

make_table($node, 'passing');
value($node, q{
  CREATE SEQUENCE attempts;
  CREATE FUNCTION unlucky(id bigint) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    IF id = 450 AND nextval('attempts') <= 2 THEN
      RAISE EXCEPTION 'out of luck' USING ERRCODE = '40001';
    END IF;
    RETURN 'new ' || id;
  END $$});
plan_job('passing', label => 'unlucky(id)');
run_job('passing');
$node->poll_query_until('postgres',
  q{SELECT EXISTS (SELECT FROM backfill.chunks WHERE name = 'passing' AND waiting_for LIKE 'retry%')});
wait_state($node, 'passing', 'ready', 'a transient error is tried again');
is(value($node, q{SELECT attempts FROM backfill.chunks WHERE name = 'passing' AND chunk = 5}), '3', 'it took three attempts');
exact($node, 'passing');
value($node, q{SELECT backfill_cancel('passing')});

# -- a chunk that takes too long

make_table($node, 'slow');
close_gate($node, 'slow');
plan_job('slow', strategy => 'parallelism: 1, chunk_timeout: 200ms, retries: 0');
run_job('slow');
wait_state($node, 'slow', 'failed');
is( value($node, q{SELECT chunk || ' ' || sqlstate FROM backfill.chunks WHERE name = 'slow' AND status = 'failed'}),
  '5 57014', 'a chunk is stopped at its chunk_timeout');
open_gate($node, 'slow');
run_job('slow');
wait_state($node, 'slow', 'ready', 'slow: run again, it becomes ready');
exact($node, 'slow');
value($node, q{SELECT backfill_cancel('slow')});

# -- jobs and transactions

make_table($node, 'atomic');
$before = inventory($node);
value($node, "BEGIN; SELECT backfill_plan(\$\$" . spec('atomic') . "\$\$); SELECT backfill_run('atomic'); ROLLBACK");
is(value($node, q{SELECT count(*) FROM backfill.jobs WHERE name = 'atomic'}), '0', 'a plan rolled back never was');
quiet($node);
same(inventory($node), $before, 'nor did its worker do anything');
value($node, "BEGIN; SELECT backfill_plan(\$\$" . spec('atomic') . "\$\$); SELECT backfill_run('atomic'); COMMIT");
wait_state($node, 'atomic', 'ready', 'planned and run in one transaction, it becomes ready');
exact($node, 'atomic');
refused($node, q{BEGIN; CALL backfill_wait('atomic')}, '25001', 'backfill_wait refuses to hold a transaction open');
value($node, q{SELECT backfill_cancel('atomic')});

{
  my ($out, $err) = ('', '');
  $node->psql('postgres', "LISTEN backfill; SELECT backfill_plan(\$\$" . spec('atomic') . "\$\$); SELECT backfill_cancel('atomic')",
    stdout => \$out, stderr => \$err);
  like($out, qr/notification "backfill" with payload "\d+,planned"/, 'events are notified');
}

# -- who may

value($node, q{
  CREATE ROLE keeper NOLOGIN;
  CREATE ROLE member LOGIN IN ROLE keeper;
  CREATE ROLE stranger LOGIN;
  CREATE ROLE watcher LOGIN IN ROLE pg_monitor});
make_table($node, 'guarded');
value($node, 'ALTER TABLE guarded OWNER TO keeper');
my $plan = "SELECT backfill_plan(\$\$" . spec('guarded') . "\$\$)";
refused($node, $plan, '42501', 'planning needs membership in the owner', '-U', 'stranger');
$node->safe_psql('postgres', $plan, extra_params => [ '-U', 'member' ]);
refused($node, q{SELECT backfill_run('guarded')}, '42704', 'a stranger does not see the job', '-U', 'stranger');
refused($node, q{SELECT backfill_run('guarded')}, '42501', 'a monitor sees it and may not touch it', '-U', 'watcher');
refused($node, q{SELECT backfill_cancel('guarded')}, '42501', 'nor cancel it', '-U', 'watcher');
refused($node, q{DELETE FROM backfill.job}, '42501', 'a member may not write to the ledger', '-U', 'member');
my $count = q{SELECT count(*) > 0 FROM backfill.%s WHERE name = 'guarded'};
foreach my $view (qw(jobs chunks steps events))
{
  my $sql = sprintf $count, $view;
  is($node->safe_psql('postgres', $sql, extra_params => [ '-U', 'stranger' ]), 'f', "a stranger sees nothing in backfill.$view");
  is($node->safe_psql('postgres', $sql, extra_params => [ '-U', 'watcher' ]), 't', "a monitor sees it");
  is($node->safe_psql('postgres', $sql, extra_params => [ '-U', 'member' ]), 't', "and a member");
}
$node->safe_psql('postgres', q{SELECT backfill_run('guarded')}, extra_params => [ '-U', 'member' ]);
wait_state($node, 'guarded', 'ready', 'the work runs as an owner that cannot log in');
exact($node, 'guarded');
$node->safe_psql('postgres', q{SELECT backfill_cancel('guarded')}, extra_params => [ '-U', 'member' ]);

# -- settings of roles and databases do not reach the work

{
  local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c search_path=public -c datestyle=ISO -c default_transaction_isolation=read\ committed'
    . ' -c lock_timeout=0 -c timezone=UTC -c default_transaction_read_only=off';
  my @settings = ('statement_timeout = 1', 'lock_timeout = 1', q{timezone = 'Asia/Kolkata'}, q{datestyle = 'SQL, DMY'},
    'default_transaction_isolation = serializable', 'search_path = nowhere', 'default_transaction_read_only = on',
    'session_replication_role = replica', 'row_security = off');
  my $superuser = value($node, 'SELECT quote_ident(current_user)');
  foreach my $setting (@settings)
  {
    value($node, "ALTER DATABASE postgres SET $setting");
    value($node, "ALTER ROLE $_ SET $setting") foreach 'keeper', $superuser;
  }
  plan_job('guarded');
  run_job('guarded');
  wait_state($node, 'guarded', 'ready', 'with wild settings of the database and the roles it becomes ready');
  exact($node, 'guarded');
  value($node, q{SELECT backfill_cancel('guarded')});
  value($node, "ALTER ROLE $_ RESET ALL") foreach 'keeper', $superuser;
  value($node, 'ALTER DATABASE postgres RESET ALL');
}

# -- a standby

{
  $node->backup('base');
  my $standby = PostgreSQL::Test::Cluster->new('standby');
  $standby->init_from_backup($node, 'base', has_streaming => 1);
  $standby->start;
  my ($status, $out, $err) = $standby->psql('postgres', $plan, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($err, qr/ERROR:  25006:/, 'a standby plans nothing');
  ($status, $out, $err) = $standby->psql('postgres', q{SELECT backfill_run('guarded')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($err, qr/ERROR:  25006:/, 'and runs nothing');
  is($standby->safe_psql('postgres', q{SELECT count(*) > 0 FROM backfill.jobs}), 't', 'but it shows the jobs');
  $standby->stop;
}

# -- dump and restore

make_table($node, 'carried');
plan_job('carried');
run_job('carried');
wait_state($node, 'carried', 'ready');
{
  my $dump = "$PostgreSQL::Test::Utils::tmp_check/carried.dump";
  value($node, 'CREATE DATABASE restored');
  command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a database with a job at work is dumped');
  command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'and restored');
  is(value($node, q{SELECT count(*) FROM backfill.jobs WHERE name = 'carried'}, 'restored'), '1', 'the job came with it');
  my ($status, $out, $err) = $node->psql('restored', q{SELECT backfill_run('carried')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($err, qr/ERROR:  55000:.*suspended/, 'and is suspended');
  is(value($node, q{INSERT INTO carried VALUES (5000, NULL, 1, 'x'); DELETE FROM carried WHERE id = 1; SELECT count(*) FROM carried}, 'restored'),
    '1001', 'its table takes writes there');
  like(value($node, 'SELECT backfill_maintain()', 'restored'), qr/^0 coordinators/, 'nothing starts there');
  is(job($node, 'carried', 'state'), 'ready', 'here it is as it was');
}
value($node, q{SELECT backfill_cancel('carried')});

# -- fewer worker slots than wanted (the server's own launcher takes one)

$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
make_table($node, 'crowded');
close_gate($node, 'crowded');
plan_job('crowded', strategy => 'parallelism: 4');
run_job('crowded');
at_gate($node);
$node->poll_query_until('postgres', q{SELECT waiting_for LIKE '%worker slot%' FROM backfill.jobs WHERE name = 'crowded'});
like(job($node, 'crowded', 'waiting_for'), qr/a worker slot: 1 of 4/, 'out of worker slots, it runs with fewer and says so');
open_gate($node, 'crowded');
wait_state($node, 'crowded', 'ready');
exact($node, 'crowded');
value($node, q{SELECT backfill_cancel('crowded')});

$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
plan_job('crowded');
refused($node, q{SELECT backfill_run('crowded')}, '53000', 'with no slot at all it does not start');
is(job($node, 'crowded', 'state'), 'planned', 'and stays planned');

$node->stop;
done_testing();
