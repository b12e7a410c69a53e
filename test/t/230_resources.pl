# Where something runs out: worker slots, locks, memory, connections.  The job waits or fails and says why and what to do;
# the table in service is what it was, and when there is room again the job goes on.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub planned
{
  my ($node, $spec) = @_;
  return value($node, 'SELECT backfill_plan($spec$' . $spec . '$spec$)');
}

sub waits_for
{
  my ($node, $name, $pattern, $test) = @_;
  my $there = $node->poll_query_until('postgres',
    "SELECT waiting_for ~ \$p\$$pattern\$p\$ FROM backfill.jobs WHERE name = '$name' ORDER BY id DESC LIMIT 1");
  ok($there, $test);
  diag(value($node, "SELECT state, phase, waiting_for, error FROM backfill.jobs WHERE name = '$name'")) unless $there;
  return;
}

# -- worker slots

{
  my $node = PostgreSQL::Test::Cluster->new('slots');
  $node->init;
  $node->append_conf('postgresql.conf', join("\n", 'max_worker_processes = 3', 'max_prepared_transactions = 10', 'max_locks_per_transaction = 10', 'max_connections = 10',
      'superuser_reserved_connections = 0', 'max_wal_senders = 0'));
  $node->start;
  value($node, 'CREATE EXTENSION backfill');
  make_table($node, $_) foreach qw(t u v);

  # The slots: one is the server's (logical replication), the others are a's and b's coordinators.
  my $slots = value($node, q{SELECT 3 - count(*) FROM pg_stat_activity WHERE backend_type = 'logical replication launcher'});
  close_gate($node, 't');
  like(planned($node, spec('t', strategy => 'parallelism: 4')), qr/max_worker_processes is 3/, 'the plan says that there are few slots');
  value($node, q{SELECT backfill_run('t')});
  waits_for($node, 't', '^a worker slot: \d of 4 workers run \(max_worker_processes\)$', 'with fewer workers than wanted it runs and says so');
  planned($node, spec('u'));
  my ($status, $out, $err) = $node->psql('postgres', q{SELECT backfill_run('u')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($err, qr/ERROR:  53000: no background worker could be started/, 'without a slot for its coordinator a job does not start');
  like($err, qr/HINT:  .*max_worker_processes/, 'and it is told what to do');
  is(value($node, q{SELECT state, next_command FROM backfill.jobs WHERE name = 'u'}), q{planned|SELECT backfill_run('u');}, 'it is planned as before');
  open_gate($node, 't');
  wait_state($node, 't', 'ready', 'the job with fewer workers gets there');
  is(job($node, 't', 'waiting_for'), '', 'and waits for no slot any more');
  exact($node, 't');
  value($node, q{SELECT backfill_run('u')});
  wait_state($node, 'u', 'ready', 'with a slot free the other one runs');
  planned($node, spec('v'));
  refused($node, q{SELECT backfill_run('v')}, '53000', 'two jobs that are ready keep their slots');
  value($node, "SELECT backfill_publish('t'); SELECT backfill_finish('t')");
  ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'backfill coordinator 1')}),
    'a finished one gives its slot back');
  value($node, q{SELECT backfill_run('v')});
  wait_state($node, 'v', 'ready', 'which the next one takes');
  value($node, qq{SELECT backfill_cancel('$_')}) foreach qw(u v);

  # -- locks: chunks take none, dependents do

  my $chunked = '{name: t, scope: {table: t, column: id, start: 0, stop: 10000}, transform: {set: {v: v + 1}}, strategy: {chunk_by: 1}}';
  like(planned($node, $chunked), qr/10,000 chunks by 1 key/, '10 000 chunks are planned with room for a few hundred locks');
  value($node, "SELECT backfill_cancel('t')");
  planned($node, spec('t', label => "'new ' || id"));
  # Coordinators that were told to end leave their slots some seconds later.
  ok($node->poll_query_until('postgres', q{SELECT backfill_run('t') ~ 'started'}), 'cancelled ones give their slots back');
  wait_state($node, 't', 'ready', 'a job is ready');
  my $before = value($node, 'SELECT string_agg(t::text, chr(10) ORDER BY id) FROM t');
  value($node, q{CREATE FUNCTION greedy(most integer) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE taken integer := 0;
    BEGIN
      WHILE taken < most LOOP
        BEGIN PERFORM pg_advisory_xact_lock_shared(7, taken); EXCEPTION WHEN out_of_memory THEN RETURN taken; END;
        taken := taken + 1;
      END LOOP;
      RETURN taken;
    END $$});
  my $room = value($node, 'SELECT greedy(1000000)');
  value($node, "BEGIN; SELECT greedy($room - 5); PREPARE TRANSACTION 'greedy'");
  my ($failed, $none, $told) = $node->psql('postgres', q{SELECT backfill_publish('t')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($told, qr/ERROR:  53200: .*HINT:  .*max_locks_per_transaction/s, 'no room for another lock: the publish says so, and what to raise');
  value($node, q{ROLLBACK PREPARED 'greedy'});
  is(value($node, 'SELECT string_agg(t::text, chr(10) ORDER BY id) FROM t'), $before, 'the table in service is what it was');
  is(value($node, q{SELECT state, next_command FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1}), q{ready|SELECT backfill_publish('t');}, 'the job is ready as before');
  value($node, q{SELECT backfill_publish('t')});
  is(value($node, 'SELECT count(*) FROM t WHERE label ~ $$^new$$'), '1000', 'with room again it is published');
  value($node, q{SELECT backfill_finish('t')});

  # -- history: views of one job read that job, whatever there is besides

  value($node, q{
    INSERT INTO backfill.job OVERRIDING SYSTEM VALUE
      SELECT (json_populate_record(j, json_build_object('id', 1000 + i, 'name', 'night ' || i))).*
        FROM generate_series(1, 1000) AS i, backfill.job AS j WHERE j.name = 't' AND j.id = (SELECT min(id) FROM backfill.job WHERE state = 'finished');
    INSERT INTO backfill.step (job_id, id, stage, phase, kind, title, chunk, lo, hi, status, started_at, finished_at, attempts)
      SELECT 1000 + i, n, 30, 'copy', 'range', 'a chunk', n, n::text, (n + 1)::text, 'done', now(), now(), 1
        FROM generate_series(1, 1000) AS i, generate_series(1, 100) AS n;
    ANALYZE backfill.job, backfill.step});
  planned($node, spec('u'));
  foreach my $question (q{backfill.jobs WHERE name = 'u'}, q{backfill.jobs WHERE state NOT IN ('finished', 'cancelled')}, q{backfill.chunks WHERE name = 'u'})
  {
    my $explained = value($node, "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) SELECT * FROM $question");
    my ($hit, $read) = $explained =~ /"Shared Hit Blocks": (\d+),\s+"Shared Read Blocks": (\d+)/;
    cmp_ok($hit + $read, '<', 700, "after a thousand nights of a hundred chunks: $question") or diag($explained);
  }
  value($node, q{SELECT backfill_cancel('u')});

  # -- temporary files

  value($node, q{ALTER DATABASE postgres SET temp_file_limit = '64kB'; ALTER DATABASE postgres SET maintenance_work_mem = '1MB'});
  value($node, q{SET temp_file_limit = -1; CREATE TABLE wide (id integer PRIMARY KEY, label text);
    INSERT INTO wide SELECT i, md5(i::text) || md5((-i)::text) FROM generate_series(1, 30000) AS i; CREATE INDEX wide_label ON wide (label); ANALYZE wide});
  planned($node, q~{name: wide, scope: {table: wide, column: id, start: 1, stop: 40000}, transform: {set: {label: "label || id"}}, strategy: {retries: 0}}~);
  value($node, q{SELECT backfill_run('wide')});
  wait_state($node, 'wide', 'failed', 'an index build beyond temp_file_limit fails');
  like(job($node, 'wide', 'error'), qr/temp_file_limit/, 'and says why');
  is(job($node, 'wide', 'next_command'), q{SELECT backfill_run('wide');}, 'and how to go on');
  value($node, q{ALTER DATABASE postgres RESET temp_file_limit});
  value($node, q{SELECT backfill_run('wide')});
  wait_state($node, 'wide', 'ready', 'with a higher limit it goes on');
  value($node, q{SELECT backfill_cancel('wide')});

  # -- huge rows: what a worker holds is some rows, not a batch.  Each row tells how much its worker has had until then.

  value($node, q{
    CREATE TABLE huge (id integer PRIMARY KEY, body text, kilobytes integer);
    ALTER TABLE huge ALTER body SET STORAGE EXTERNAL;
    INSERT INTO huge SELECT i, repeat(md5(i::text), 32768), 0 FROM generate_series(1, 150) AS i;
    CREATE FUNCTION peak() RETURNS integer LANGUAGE sql VOLATILE AS
      $$SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::integer - substring(pg_read_file('/proc/self/status') FROM 'RssShmem:\s+(\d+)')::integer$$;
    ANALYZE huge});
  planned($node, q~{name: huge, scope: {table: huge, column: id, start: 1, stop: 1000}, transform: {set: {body: "body || 'x'", kilobytes: "peak()"}},
    strategy: {parallelism: 1, chunk_by: 1000}}~);
  # A coordinator that was cancelled keeps its slot for 5 s, as one that rests after trouble does.
  $node->poll_query_until('postgres', q{SELECT backfill_run('huge') ~ 'started'}) or die 'no slot comes free';
  wait_state($node, 'huge', 'ready', 'rows of a megabyte');
  my $peak = value($node, 'SELECT max(kilobytes) FROM ' . job($node, 'huge', 'shadow'));
  cmp_ok($peak, '<', 100 * 1024, '150 of them in one chunk take far less memory than their size');
  is(value($node, 'SELECT count(*), min(length(body)), max(length(body)) FROM ' . job($node, 'huge', 'shadow')), '150|1048577|1048577', 'and are there');
  value($node, q{INSERT INTO huge VALUES (500, repeat('x', 100000000))});
  value($node, q{SELECT backfill_publish('huge')});
  is(value($node, 'SELECT length(body) FROM huge WHERE id = 500'), '100000001', 'a value of 100 MB is drained');
  value($node, q{SELECT backfill_finish('huge')});
  $node->stop;
}

done_testing();
