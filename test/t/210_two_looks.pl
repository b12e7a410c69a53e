# Races of two processes of the extension, each of which looks twice: one is held at a fault point between its looks, the other
# commits meanwhile.  What would go wrong is told before each.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Faults;
use Jobs;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_fault_node();
my $only = $ENV{BACKFILL_RACES};    # a pattern

sub race
{
  my ($name, $play) = @_;
  $play->() if !defined $only || $name =~ /$only/;
  return;
}

# A lock at which processes wait; it is a prepared transaction's.
sub hold    { my ($lock) = @_; value($node, "BEGIN; SELECT pg_advisory_xact_lock($lock); PREPARE TRANSACTION 'held $lock'"); return }
sub release { my ($lock) = @_; value($node, "COMMIT PREPARED 'held $lock'"); return }

# Until a process stands at the fault.
sub awaits { my ($fault) = @_; until_true(sub { return met($node, $fault) }) or die "nobody came to $fault"; return }

sub ready_job
{
  my ($table, %with) = @_;
  table_with_control($node, $table);
  plan_job($node, $table, %with);
  value($node, "SELECT backfill_run('$table')");
  settle($node, $table, 'ready');
  return;
}

# Another session; its output is in $$out and $$err.
sub start_session
{
  my ($sql, $out, $err) = @_;
  my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1', map { ('-c', $_) } split /; /, $sql);
  return IPC::Run::start(\@psql, '<', \undef, '>', $out, '2>', $err, IPC::Run::timeout(4 * $Faults::patience));
}

# Until a session of that application_name waits for a lock (of that kind).
sub session_waits
{
  my ($name, $kind) = @_;
  $node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE application_name = '$name' AND NOT granted" . (defined $kind ? " AND locktype = '$kind'" : '') . ')') or die "$name does not wait";
  return;
}

# The coordinator reads that the job is ready; a publish commits, which takes the capture triggers off the table that was
# live; the coordinator looks for them, and takes the publish for broken capture.
# Defence: it looks at both under the job's row lock, for which the publisher waits.
race published => sub {
  ready_job('published');
  hold(101);
  my $fault = arm($node, 'ready_looked', 'wait:101');
  awaits($fault);
  my ($out, $err) = ('', '');
  my $publisher = start_session(q{SELECT backfill_publish('published')}, \$out, \$err);
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
      WHERE a.query LIKE '%backfill_publish(%' AND a.pid <> pg_backend_pid() AND NOT l.granted)
    OR (SELECT state = 'published' FROM backfill.jobs WHERE name = 'published')});
  release(101);
  $publisher->finish;
  like($out, qr/^published published/, 'a publish between two looks of the coordinator: it is done');
  $node->poll_query_until('postgres', q{SELECT pending_keys = 0 FROM backfill.jobs WHERE name = 'published'});
  unlike(slurp_file($node->logfile), qr/tampered with/, '- nobody takes it for broken capture');
  is(job($node, 'published', q{concat_ws('; ', state, waiting_for, error)}), 'published', '- and the job is well');
  value($node, q{SELECT backfill_finish('published')});
};

# A worker has claimed a chunk and not committed; a cancel that asks the ledger who is at work does not see him, and drops the
# tables under his hands while he begins.
# Defence: cancel ends whoever is there by the processes there are.
race cancelled => sub {
  quiet($node);
  table_with_control($node, 'cancelled');
  my $before = leftovers($node);
  plan_job($node, 'cancelled');
  hold(102);
  my $fault = arm($node, 'claim_made', 'wait:102');
  value($node, q{SELECT backfill_run('cancelled')});
  awaits($fault);
  my ($status, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '20s'; SELECT backfill_cancel('cancelled')});
  like($out, qr/^cancelled cancelled/, 'a cancel while a worker has claimed and not committed: it is done');
  is(value($node, q{SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backfill worker%'}),
    '0', '- the worker is gone');
  release(102);
  fails('- and nothing is left', leftovers($node, $before));
};

# A row is changed while its chunk is being copied.  Were the log drained then, the change would go to the shadow first, and
# the copy would put the row there again as it was before.
# Defence: the log waits until every chunk is copied.
race in_passing => sub {
  table_with_control($node, 'in_passing');
  plan_job($node, 'in_passing');
  hold(103);
  my $fault = arm($node, 'batch_copied', 'wait:103');
  value($node, q{SELECT backfill_run('in_passing')});
  awaits($fault);
  my $writes = join ' ', map { "UPDATE $_ SET v = -v; DELETE FROM $_ WHERE id % 7 = 0;" } qw(in_passing control_of_in_passing);
  value($node, "BEGIN; $writes COMMIT");

  foreach (1 .. 2)    # rounds of the coordinator since
  {
    awaits(arm($node, 'coordinator_looked', 'sleep:0'));
  }
  isnt(job($node, 'in_passing', 'pending_keys'), '0', 'rows changed while their chunk is copied: the log waits');
  release(103);
  ok(settle($node, 'in_passing', 'ready'), '- the job becomes ready');
  fails('- and no change is lost', equals_transform($node, 'in_passing', job($node, 'in_passing', 'shadow')));
  value($node, q{SELECT backfill_cancel('in_passing')});
};

# -- a publisher, held between what it does while others work and the locks under which it swaps

sub publish_held_at
{
  my ($table, $lock, $point, %with) = @_;
  ready_job($table, %with);
  hold($lock);
  my %session = (out => '', err => '');
  my $fault = "publish_$point:wait:$lock#publish_of_$table";
  $session{handle} =
    start_session("LOAD 'backfill'; SET backfill.fault = '$fault'; SELECT backfill_publish('$table')", \$session{out}, \$session{err});
  awaits($fault);
  return \%session;
}

# A row is written after the last look at the log without locks.  Defence: the log is drained once more under the lock.
race written => sub {
  my $session = publish_held_at('written', 104, 'ahead');
  poke($node, 'written') foreach 1 .. 3;
  release(104);
  $session->{handle}->finish;
  like($session->{out}, qr/^published written/, 'writes before the last lock: published');
  fails('- and none is lost', equals_transform($node, 'written'));
  value($node, q{SELECT backfill_finish('written')});
};

# A view is made after the dependents were read; the swap does not know it, and it goes on to read the archive.  Defence: the
# dependents are compared under the lock, and the try gives way to one that knows it.
race viewed => sub {
  my $session = publish_held_at('viewed', 105, 'ahead');
  value($node, 'CREATE VIEW of_viewed AS SELECT id, label FROM viewed');
  release(105);
  $session->{handle}->finish;
  like($session->{out}, qr/^published viewed/, 'a view made before the last lock: published');
  is(value($node, q{SELECT count(*) FROM of_viewed WHERE label LIKE 'new%'}), '200', '- and the view reads the new version');
  value($node, q{SELECT backfill_finish('viewed')});
};

# Two publish the same job at once; the second has looked at the state before the first committed.  Defence: it looks again
# under the job's lock.
race twice => sub {
  my $session = publish_held_at('twice', 106, 'begun');
  value($node, q{SELECT backfill_publish('twice')});
  release(106);
  $session->{handle}->finish;
  like($session->{err}, qr/backfill "twice" is published by now/, 'published twice at once: the second is told');
  fails('- and nothing was swapped back', equals_transform($node, 'twice'));
  value($node, q{SELECT backfill_finish('twice')});
};

# A publish in place writes the rows that differ over one that somebody writes since the last drain; the archive has that row
# as it was before.  Defence: writers are locked out before the last drain.
race in_place => sub {
  my $session = publish_held_at('in_place', 112, 'drained', strategy => 'type: merge, chunk_by: 2 days');
  my %writer = (out => '', err => '');
  $writer{handle} = start_session(q{SET application_name = 'writer'; UPDATE in_place SET label = 'by hand' WHERE id = 3}, \$writer{out}, \$writer{err});
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'writer' AND NOT granted)
    OR (SELECT label = 'by hand' FROM in_place WHERE id = 3)});
  release(112);
  $_->{handle}->finish foreach $session, \%writer;
  like($session->{out}, qr/^published in_place/, 'a write before the rows are written in place: published');
  is(value($node, q{SELECT label FROM in_place WHERE id = 3}), 'by hand', '- the write comes after');
  value($node, q{SELECT backfill_rollback('in_place')});
  is(value($node, q{SELECT label FROM in_place WHERE id = 3}), 'by hand', '- and a rollback keeps it');
  is(value($node, q{SELECT count(*) FROM in_place WHERE label = 'old' AND id <> 3}), '200', '- and brings back the others');
  value($node, q{SELECT backfill_cancel('in_place')});
};

# The coordinator looks whether the table is as it was planned, and finds nothing; DDL commits, a batch fails of it, and its worker
# says what is in the way; the coordinator says that nothing is.  The job fails with the advice to run it again, in vain.
# Defence: what was found is written only over what stood there before the look.
race obstacle => sub {
  make_table($node, 'obstacle');
  my $spec = spec('obstacle', strategy => 'parallelism: 1, retries: 0');
  value($node, "SELECT backfill_plan(\$\$$spec\$\$)");
  close_gate($node, 'obstacle');
  value($node, q{SELECT backfill_run('obstacle')});
  at_gate($node);
  hold(115);
  awaits(arm($node, 'obstacle_found', 'wait:115'));
  my %ddl = (out => '', err => '');
  $ddl{handle} = start_session(q{SET application_name = 'ddl'; ALTER TABLE obstacle DROP COLUMN v}, \$ddl{out}, \$ddl{err});
  session_waits('ddl');
  open_gate($node, 'obstacle');
  $ddl{handle}->finish;
  $node->poll_query_until('postgres', q{SELECT obstacle IS NOT NULL FROM backfill.job WHERE name = 'obstacle'}) or die 'no batch fails';
  release(115);
  wait_state($node, 'obstacle', 'failed');
  is(job($node, 'obstacle', 'next_command'), q{SELECT backfill_cancel('obstacle');}, '- and what is in the way is not forgotten');
  value($node, q{SELECT backfill_cancel('obstacle')});
};

# Two end a job at once, or somebody ends it as its retention does; the second has looked at the state before the first
# committed, and would tell a user who has what he asked for that it cannot be.  Defence: it looks again under the job's lock.
foreach my $end ([ 'finish', 'finished', 'dropped', 113 ], [ 'cancel', 'cancelled', 'taken_over', 114 ])
{
  my ($verb, $ended, $point, $lock) = @$end;
  race "ends_$verb" => sub {
    my $table = "ends_$verb";
    ready_job($table);
    value($node, "SELECT backfill_publish('$table')") if $verb eq 'finish';
    hold($lock);
    my $fault = "${verb}_$point:wait:$lock#first_$verb";
    my %first = (out => '', err => '');
    $first{handle} =
      start_session("LOAD 'backfill'; SET backfill.fault = '$fault'; SELECT backfill_$verb('$table')", \$first{out}, \$first{err});
    awaits($fault);
    my %second = (out => '', err => '');
    $second{handle} = start_session("SET application_name = 'second'; SELECT backfill_$verb('$table')", \$second{out}, \$second{err});
    session_waits('second', 'object');
    release($lock);
    $_->{handle}->finish foreach \%first, \%second;
    like($first{out}, qr/^$ended $table/, "$verb by two at once: it is done");
    is($second{out}, qq{nothing was changed: backfill "$table" is $ended already\n}, '- and the second is told that it is') or diag($second{err});
    is(value($node, "SELECT backfill_$verb('$table')"), qq{nothing was changed: backfill "$table" is $ended already}, '- as is who comes later');
    is(value($node, "SELECT count(*) FROM backfill.events WHERE name = '$table' AND event = '$ended'"), '1', '- it is in the record once');
  };
}

# The coordinator has not seen yet that the capture was switched off.  Defence: the publisher looks for himself.
race uncaptured => sub {
  ready_job('uncaptured');
  my $trigger = value($node, q{SELECT tgname FROM pg_trigger WHERE tgrelid = 'uncaptured'::regclass AND tgname LIKE 'backfill_capture%'});
  my ($status, $out, $err) = $node->psql('postgres',
    "BEGIN; ALTER TABLE uncaptured DISABLE TRIGGER $trigger; UPDATE uncaptured SET v = -v; SELECT backfill_publish('uncaptured')");
  like($err, qr/writes may have been missed/, 'published before anybody saw that capture was switched off: refused');
  value($node, q{SELECT backfill_cancel('uncaptured')});
};

# Two rows of different chunks change places in a unique column, and one of the chunks is run again in the same moment: its
# rows meet the other's old value in the shadow.  Defence: such a chunk is run again with the log drained in its snapshot.
race exchanged => sub {
  table_with_control($node, 'exchanged');
  value($node, 'ALTER TABLE exchanged ADD UNIQUE (v)');
  plan_job($node, 'exchanged');
  value($node, q{SELECT backfill_run('exchanged')});
  settle($node, 'exchanged', 'ready');
  my $writes = join ' ', map {
    "UPDATE $_ SET v = -1 WHERE id = 5; UPDATE $_ SET v = 5 WHERE id = 180; UPDATE $_ SET v = 180 WHERE id = 5;"
  } qw(exchanged control_of_exchanged);
  value($node, "BEGIN; $writes SELECT backfill_retry('exchanged', 1); COMMIT");
  settle($node, 'exchanged', 'ready');
  is( value($node, q{SELECT count(*) FROM backfill.events WHERE name = 'exchanged' AND event = 'step failed'}),
    '0', 'values change places while a chunk runs again: it gets through');
  fails('- with every row', equals_transform($node, 'exchanged', job($node, 'exchanged', 'shadow')));
  value($node, q{SELECT backfill_cancel('exchanged')});
};

# The table is altered after the plan and before the run.  Defence: its fingerprint is compared before anything is built.
race altered => sub {
  table_with_control($node, 'altered');
  plan_job($node, 'altered');
  value($node, q{ALTER TABLE altered ADD COLUMN w integer; SELECT backfill_run('altered')});
  until_true(sub { return job($node, 'altered', 'state') =~ /^(failed|ready)$/ });
  like(job($node, 'altered', 'error'), qr/has changed since the plan/, 'a table altered after its plan: nothing is built');
  value($node, q{SELECT backfill_cancel('altered')});
};

# A worker dies between two batches of a chunk.  Were the chunk begun anew, the rows of the first would be there twice.
# Defence: a batch commits with its checkpoint, and whoever goes on with the chunk begins there.
race in_batches => sub {
  table_with_control($node, 'in_batches');
  plan_job($node, 'in_batches', more => ', throttle: {rows_per_second: 100000}');    # so that a first batch is a part of a chunk
  my $fault = arm($node, 'batch_committed', 'terminate');
  value($node, q{SELECT backfill_run('in_batches')});
  awaits($fault);
  until_true(sub { return job($node, 'in_batches', 'state') =~ /^(failed|ready)$/ });
  is(value($node, q{SELECT string_agg(attempts || ' ' || batches || ' ' || rows, ', ') FROM backfill.chunks
      WHERE name = 'in_batches' AND status = 'failed'}), '1 1 25', 'a worker dies between two batches: the first is kept');
  value($node, q{SELECT backfill_run('in_batches')});
  until_true(sub { return job($node, 'in_batches', 'state') =~ /^(failed|ready)$/ });
  is(job($node, 'in_batches', 'error'), '', '- no row comes twice');
  is(value($node, q{SELECT string_agg(DISTINCT batches || ' ' || rows, ', ') FROM backfill.chunks
      WHERE name = 'in_batches' AND lo LIKE '2024%'}), '2 50', '- and no batch is done again');
  fails('- the rows are all there', equals_transform($node, 'in_batches', job($node, 'in_batches', 'shadow')));
  value($node, q{SELECT backfill_cancel('in_batches')});
};

# A worker validates a key under the job's lock while the job is finished.  Were the key validated by finish before it asks for
# that lock, each would wait for what the other has.
# Defence: finish, when it has waited long enough for what they do, keeps the workers out before it locks any table.
race validated => sub {
  table_with_control($node, 'validated');
  value($node, 'CREATE TABLE child (id bigint REFERENCES validated); INSERT INTO child VALUES (0)');
  plan_job($node, 'validated', more => ', publish: {give_up_after: 8s}');
  value($node, q{SELECT backfill_run('validated')});
  settle($node, 'validated', 'ready');
  hold(107);
  my $fault = arm($node, 'validate_locked', 'wait:107');
  value($node, q{SELECT backfill_publish('validated')});
  awaits($fault);
  my ($out, $err) = ('', '');
  my $finisher = start_session(q{SET application_name = 'finisher'; SELECT backfill_finish('validated')}, \$out, \$err);
  my $waits = q{SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'finisher'
    AND classid = 'backfill.job'::regclass AND objsubid = 2 AND NOT granted};
  $node->poll_query_until('postgres', "SELECT EXISTS ($waits)") or die 'finish does not wait';
  is(value($node, q{SELECT string_agg(relation::regclass || ' ' || mode, ', ') FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE application_name = 'finisher' AND relation IN ('validated'::regclass, 'child'::regclass) AND mode <> 'AccessShareLock'}),
    '', 'finished while a worker validates: who waits for the worker has no table locked');
  release(107);
  $finisher->finish;
  like($out, qr/^finished validated/, '- it is done');
  is(value($node, q{SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 'child'::regclass}), 't', '- and so is the key');
};

# Finish has told those to stop who refresh a materialized view, and another claims the refresh before finish takes it away from
# him.  He would wait for the end of finish to enter what he made, with the table locked that finish wants.
# Defence: whoever has the refresh when it is taken away is told to stop.
race refreshed => sub {
  table_with_control($node, 'refreshed');
  value($node, q{
    CREATE FUNCTION gate(n bigint) RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN
      IF (SELECT backend_type = 'backfill' FROM pg_stat_activity WHERE pid = pg_backend_pid()) THEN
        PERFORM pg_advisory_xact_lock_shared(109);
      END IF;
      RETURN n;
    END $$;
    CREATE MATERIALIZED VIEW seen AS SELECT gate(count(*)) AS n FROM refreshed WHERE label LIKE 'new%'});
  plan_job($node, 'refreshed', more => ', publish: {give_up_after: 10s}');
  value($node, q{SELECT backfill_run('refreshed')});
  settle($node, 'refreshed', 'ready');
  hold($_) foreach 108 .. 110;
  my $claim = arm($node, 'claim_made', 'wait:108');
  value($node, q{SELECT backfill_publish('refreshed')});
  awaits($claim);
  my ($out, $err) = ('', '');
  my $fault = 'refresh_interrupted:wait:110#finish_of_refreshed';
  my $finisher =
    start_session("LOAD 'backfill'; SET backfill.fault = '$fault'; SELECT backfill_finish('refreshed')", \$out, \$err);
  awaits($fault);
  release(108);
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND objid = 109 AND NOT granted AND backend_type = 'backfill')}) or die 'nobody refreshes';
  release(110);
  $finisher->finish;
  like($out, qr/^finished refreshed/, 'a refresh claimed while finish takes it over: it is done') or diag($err);
  is(value($node, 'SELECT n FROM seen'), '200', '- and the view is fresh');
  release(109);
};

# Somebody finishes a job whose materialized views are being refreshed.  Were they refreshed in his transaction, the readers of
# the first would wait while the second is computed, for the lock under which its contents were put in place.
# Defence: while the coordinator is there to do it, he waits for it.
race refreshes_left => sub {
  table_with_control($node, 'chained');
  value($node, q{
    CREATE FUNCTION gate_of(lock integer, n bigint) RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock_shared(lock);
      RETURN n;
    END $$;
    CREATE MATERIALIZED VIEW link_one AS SELECT gate_of(118, count(*)) AS n FROM chained WHERE label LIKE 'new%';
    CREATE MATERIALIZED VIEW link_two AS SELECT gate_of(119, n) AS n FROM link_one});
  plan_job($node, 'chained');
  value($node, q{SELECT backfill_run('chained')});
  settle($node, 'chained', 'ready');
  hold($_) foreach 118, 119;
  value($node, q{SELECT backfill_publish('chained')});
  my $gate = q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %d AND NOT granted)};
  $node->poll_query_until('postgres', sprintf $gate, 118) or die 'nobody refreshes';
  my %finisher = (out => '', err => '');
  $finisher{handle} =
    start_session(q{SET application_name = 'finisher'; SELECT backfill_finish('chained')}, \$finisher{out}, \$finisher{err});
  until_true(sub { $finisher{handle}->pump_nb; return $finisher{err} ne '' || value($node, q{SELECT EXISTS (SELECT FROM pg_locks JOIN
    pg_stat_activity USING (pid) WHERE application_name = 'finisher' AND objid = 118 AND NOT granted)}) eq 't' });
  release(118);
  $node->poll_query_until('postgres', sprintf $gate, 119) or die 'nobody refreshes the second';
  my (undef, $read) = $node->psql('postgres', q{SET lock_timeout = '2s'; SELECT n FROM link_one});
  is($read, '200', 'finish while one view after the other is refreshed: the first can be read');
  release(119);
  $finisher{handle}->finish;
  like($finisher{out}, qr/^finished chained/, '- it is done when they are') or diag($finisher{err});
  like($finisher{err}, qr/finish chained waits for what follows the swap/, '- and had said what it waits for');
  is(value($node, 'SELECT n FROM link_two'), '200', '- the second is fresh as well');
};

# A publisher waits for a table that refers to his.  Had he his own locked by then, its readers would wait as long.
# Defence: the table in service is locked last.
race ordered => sub {
  table_with_control($node, 'ordered');
  value($node, 'CREATE TABLE refers (id bigint REFERENCES ordered)');
  plan_job($node, 'ordered', more => ', publish: {lock_timeout: 20s, max_lock: 20s}');
  value($node, q{SELECT backfill_run('ordered')});
  settle($node, 'ordered', 'ready');
  hold(111);
  my %writer = (out => '', err => '');
  $writer{handle} = start_session('BEGIN; LOCK TABLE refers IN ROW EXCLUSIVE MODE; SELECT pg_advisory_xact_lock_shared(111); COMMIT',
    \$writer{out}, \$writer{err});
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 111 AND NOT granted)});
  my ($out, $err, $locked) = ('', '', '');
  my $publisher = start_session(q{SET application_name = 'publisher'; SET deadlock_timeout = '60s'; SELECT backfill_publish('ordered')},
    \$out, \$err);
  until_true(sub {
    $locked = value($node, q{
      SELECT bool_or(granted AND relation = 'ordered'::regclass AND mode = 'AccessExclusiveLock')
        FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'publisher'
      HAVING bool_or(NOT granted AND relation = 'refers'::regclass)});
    return $locked ne '';
  });
  is($locked, 'f', 'a publisher waits for a table that refers to his: his own is free');
  release(111);
  $writer{handle}->finish;
  $publisher->finish;
  like($out, qr/^published ordered/, '- he gets it in the end') or diag($err);
  value($node, q{SELECT backfill_finish('ordered')});
};

# A transaction that has read the table reads the old version, which a rollback has locked to bring it into shape; the rollback gives
# way to it, again and again, and it waits all the time.  The same befalls a prepared statement that is taking its locks as
# a publish commits: it has locked the view and goes on to a table that is the old version by then.
# Defence: between tries nothing is kept that somebody waits for.
race reads_both => sub {
  ready_job('reads_both', more => ', publish: {give_up_after: 20s}');
  value($node, q{SELECT backfill_publish('reads_both')});
  value($node, q{ALTER TABLE reads_both ALTER COLUMN label SET DEFAULT 'by default'});
  my $archive = job($node, 'reads_both', 'archive');
  hold(116);
  my $fault = 'rollback_aligned:wait:116#rollback_of_reads_both';
  my %session = (out => '', err => '');
  $session{handle} = start_session("LOAD 'backfill'; SET backfill.fault = '$fault'; SELECT backfill_rollback('reads_both')",
    \$session{out}, \$session{err});
  awaits($fault);
  my %reader = (out => '', err => '');
  $reader{handle} = start_session(
    "SET application_name = 'reader'; BEGIN; SELECT FROM reads_both LIMIT 1; SELECT count(*) FROM $archive; COMMIT",
    \$reader{out}, \$reader{err});
  session_waits('reader');
  release(116);
  $_->{handle}->finish foreach \%session, \%reader;
  like($session{out}, qr/^rolled back reads_both/, 'a reader of both versions waits for a rollback that gives way to it: it is done')
    or diag($session{err});
  is($reader{out} =~ s/\s//gr, '201', '- and he has read both') or diag($reader{err});
  fails('- and nothing is lost', equals_transform($node, 'reads_both', job($node, 'reads_both', 'shadow')));
  is(value($node, q{SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'reads_both'::regclass AND adnum =
    (SELECT attnum FROM pg_attribute WHERE attrelid = 'reads_both'::regclass AND attname = 'label')}),
    q{'by default'::text}, '- nor what was changed of the table since publish');
  value($node, q{SELECT backfill_cancel('reads_both')});
};

# An index is made concurrently, which waits for all who have a snapshot; the publisher has one as long as his statement lasts,
# and gives way to it, again and again.
# Defence: he ends when he has kept it waiting for long enough.
race indexed => sub {
  my $session = publish_held_at('indexed', 121, 'begun');
  my %index = (out => '', err => '');
  $index{handle} = start_session(q{SET application_name = 'index'; CREATE INDEX CONCURRENTLY late ON indexed (v)}, \$index{out}, \$index{err});
  session_waits('index', 'virtualxid');
  release(121);
  my $begun = time;
  $_->{handle}->finish foreach $session, \%index;
  cmp_ok(time - $begun, '<', 30, 'an index made concurrently while somebody publishes: nobody waits for long');
  like($session->{err}, qr/could not publish indexed: others wait for this transaction to end\n.*process \d+ \(postgres, active, /,
    '- he is told of whom');
  is($index{err}, '', '- the index is made');
  is(value($node, q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'late'::regclass}), 't', '- and valid');
  value($node, 'DROP INDEX late');
  like(value($node, q{SELECT backfill_publish('indexed')}), qr/^published indexed in 1 try/, '- and without it he publishes');
  value($node, q{SELECT backfill_finish('indexed')});
};

# Somebody alters the old version and rolls back in one transaction; the coordinator, at work to carry a row into the old version,
# waits for him, and he for it.  Whoever looks for a deadlock finds none, or gives way and comes again.
# Defence: a process of the extension that waits for him is told to stop.
race drained => sub {
  ready_job('drained', more => ', publish: {give_up_after: 20s}');
  value($node, q{SELECT backfill_publish('drained')});
  my $archive = job($node, 'drained', 'archive');
  hold(120);
  my %session = (out => '', err => '');
  $session{handle} = start_session(qq{SET application_name = 'altering'; BEGIN; ALTER TABLE $archive ALTER COLUMN label SET DEFAULT 'else';}
      . q{ SELECT pg_advisory_xact_lock_shared(120); SELECT backfill_rollback('drained'); COMMIT}, \$session{out}, \$session{err});
  session_waits('altering');
  poke($node, 'drained');
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE backend_type = 'backfill' AND locktype = 'relation' AND NOT granted)}) or die 'nobody drains';
  release(120);
  $session{handle}->finish;
  like($session{out}, qr/^rolled back drained/m, 'a rollback by whom the drain waits for: it is done') or diag($session{err});
  ok(settle($node, 'drained', 'ready'), '- the job goes on');
  fails('- and nothing is lost', equals_transform($node, 'drained', job($node, 'drained', 'shadow')));
  value($node, q{SELECT backfill_cancel('drained')});
};

# In one transaction a table is published and then another, which somebody has read who goes on to read the first.  Tries
# for the second would go on for as long as give_up_after, and all who read the first would wait.
# Defence: who has waited for longer than one try may keep him ends them.
race in_one_block => sub {
  ready_job($_) foreach qw(block_a block_b);
  hold(117);
  my %reader = (out => '', err => '');
  $reader{handle} = start_session(q{SET application_name = 'reader'; BEGIN; SELECT FROM block_b LIMIT 1; SELECT pg_advisory_xact_lock_shared(117);}
      . q{ SELECT count(*) FROM block_a; COMMIT}, \$reader{out}, \$reader{err});
  session_waits('reader');
  my %session = (out => '', err => '');
  $session{handle} = start_session(q{BEGIN; SELECT backfill_publish('block_a'); SELECT backfill_publish('block_b'); COMMIT},
    \$session{out}, \$session{err});
  $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%publish(''block_b'')%'
    AND pid <> pg_backend_pid())}) or die 'nobody publishes';
  release(117);
  my $begun = time;
  $_->{handle}->finish foreach \%session, \%reader;
  cmp_ok(time - $begun, '<', 30, 'two publishes in one transaction, the second behind a reader of the first: nobody waits for long');
  like($session{err}, qr/could not publish block_b: others wait for this transaction to end/, '- the transaction is told why');
  is($reader{out} =~ s/\s//gr, '201', '- the reader reads') or diag($reader{err});
  is(job($node, $_, 'state'), 'ready', "- $_ is not published") foreach qw(block_a block_b);
  value($node, q{SELECT backfill_publish('block_a', 'block_b')});
  is(job($node, $_, 'state'), 'published', "- in one call $_ is") foreach qw(block_a block_b);
  value($node, "SELECT backfill_finish('$_')") foreach qw(block_a block_b);
};

$node->stop;
done_testing();
