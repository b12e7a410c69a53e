# Chunks read on a standby: whatever happens to it in the middle of a chunk, the shadow is the transform of live.
#
# Every job stops before a gate in the middle of its fifth chunk, on the standby: there it is a session that keeps the lock.
# Then rows are changed on the primary, some in chunks that are done, some in others.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', join("\n", 'max_worker_processes = 64', 'max_prepared_transactions = 10',
    'autovacuum = off', 'password_encryption = scram-sha-256'));
$primary->start;
my $standby;

value($primary, q{
  CREATE EXTENSION backfill;
  CREATE EXTENSION postgres_fdw;
  CREATE ROLE maker;
  CREATE ROLE reader LOGIN PASSWORD 'secret';
  CREATE SCHEMA shop AUTHORIZATION maker;
  GRANT USAGE ON SCHEMA shop TO reader;
  ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA shop GRANT SELECT ON TABLES TO reader;
  CREATE FOREIGN DATA WRAPPER other;
  CREATE SERVER of_another FOREIGN DATA WRAPPER other});

# A standby of the primary as it is now, and server "Replica 1" leading to it; reader needs his password there.
sub new_standby
{
  my ($name) = @_;
  $primary->backup($name);
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init_from_backup($primary, $name, has_streaming => 1);
  my $hba = slurp_file($node->data_dir . '/pg_hba.conf');
  open my $file, '>', $node->data_dir . '/pg_hba.conf' or die $!;
  print $file "local all reader scram-sha-256\n$hba";
  close $file;
  $node->append_conf('postgresql.conf', "log_statement = all\nwal_receiver_status_interval = 1s\nwal_retrieve_retry_interval = 100ms\nhot_standby_feedback = on");
  $node->start;
  my ($host, $port) = ($node->host, $node->port);
  value($primary, qq{
    DROP SERVER IF EXISTS "Replica 1" CASCADE;
    CREATE SERVER "Replica 1" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', fetch_size '10');
    GRANT USAGE ON FOREIGN SERVER "Replica 1" TO maker;
    CREATE USER MAPPING FOR maker SERVER "Replica 1" OPTIONS (user 'reader', password 'secret')});
  $primary->wait_for_catchup($node);
  return $node;
}

# As Jobs::make_table, in schema shop, with types of every kind: one without a binary form where asked for.
sub make_shop
{
  my ($table, $more) = @_;
  value($primary, qq{
    SET ROLE maker;
    CREATE TABLE shop.$table (id bigint GENERATED ALWAYS AS IDENTITY (START 5000) PRIMARY KEY, gone integer, day date, v integer, label varchar(12) NOT NULL,
      twice integer GENERATED ALWAYS AS (v * 2) STORED, price numeric(8,2) CHECK (price >= 0), tags text[] @{[ $more // '' ]});
    INSERT INTO shop.$table (id, day, v, label, price, tags) OVERRIDING SYSTEM VALUE
      SELECT i, date '2024-01-01' + ((i - 1) / 100)::integer, i, 'old', i / 7.0, ARRAY['a', NULL, i::text] FROM generate_series(1, 1000) AS i;
    INSERT INTO shop.$table (id, day, v, label) OVERRIDING SYSTEM VALUE VALUES (0, NULL, 0, 'old');
    ALTER TABLE shop.$table DROP COLUMN gone;
    CREATE INDEX ON shop.$table (day);
    ANALYZE shop.$table;
    CREATE FUNCTION shop.gate_of_$table(id bigint) RETURNS text LANGUAGE plpgsql AS \$\$
    BEGIN
      IF id = 450 THEN
        PERFORM pg_advisory_lock_shared(4711);
        PERFORM pg_advisory_unlock_shared(4711);
      END IF;
      RETURN 'new ' || id;
    END \$\$});
  return;
}

sub plan_read
{
  my ($table, $read_from, $more) = @_;
  return value($primary, "SET search_path = shop; SELECT backfill_plan FROM public.backfill_plan(\$\$"
    . "{name: $table, scope: {table: $table, column: day, start: 2024-01-01, stop: 2024-01-11}, "
    . "transform: {set: {label: \"gate_of_$table(id)\"}}, strategy: {chunk_by: day, parallelism: 1}, read_from: $read_from @{[ $more // '' ]}}\$\$)");
}

my $gatekeeper;

sub close_replica_gate
{
  $gatekeeper = $standby->background_psql('postgres');
  $gatekeeper->query_safe('SELECT pg_advisory_lock(4711)');
  return;
}

sub open_replica_gate
{
  $gatekeeper->quit;
  return;
}

sub at_replica_gate
{
  $standby->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
    or die 'nobody came to the gate of the replica';
  return;
}

sub write_rows
{
  my ($table) = @_;
  value($primary, "DELETE FROM shop.$table WHERE id IN (150, 950); UPDATE shop.$table SET v = -v WHERE id IN (250, 850);
    UPDATE shop.$table SET day = '2024-01-09' WHERE id = 350; UPDATE shop.$table SET day = '2024-01-01' WHERE id = 750;
    UPDATE shop.$table SET id = DEFAULT WHERE id = 650;
    INSERT INTO shop.$table (id, day, v, label) OVERRIDING SYSTEM VALUE VALUES (3000, '2024-01-02', 1, 'old'), (4000, NULL, 1, 'old')");
  return;
}

sub run_to_gate
{
  my ($table, $read_from) = @_;
  make_shop($table);
  plan_read($table, $read_from);
  $primary->wait_for_catchup($standby);
  close_replica_gate();
  value($primary, "SELECT backfill_run('$table')");
  at_replica_gate();
  write_rows($table);
  return;
}

# The shadow is the transform of live, row by row.
sub is_exact
{
  my ($table) = @_;
  my $shadow = job($primary, $table, 'shadow');
  my $others = join ', ', split /\n/, value($primary, "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'shop.$table'::regclass
    AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('id', 'day', 'v', 'label') ORDER BY attname");
  my $want = "SELECT id, day, v, CASE WHEN day IS NULL THEN 'old' ELSE 'new ' || id END, ROW($others)::text FROM shop.$table";
  my $have = "SELECT id, day, v, label, ROW($others)::text FROM $shadow";
  is(value($primary, "SELECT count(*) FROM (($have EXCEPT ALL $want) UNION ALL ($want EXCEPT ALL $have)) AS d"), '0',
    "$table: every row is there, and once");
  is(value($primary, "SELECT string_agg(DISTINCT outcome, ' ') FROM backfill.checks WHERE name = '$table' AND \"check\" LIKE 'exact%'"),
    'pass', "$table: and the check says so");
  is(value($primary, "SELECT max(attempts) FROM backfill.chunks WHERE name = '$table'"), '1', "$table: no attempt was spent on the replica");
  return;
}

sub is_ready_and_exact
{
  my ($table) = @_;
  wait_state($primary, $table, 'ready');
  is_exact($table);
  value($primary, "SELECT backfill_cancel('$table')");
  return;
}

sub reads
{
  my ($table, $columns) = @_;
  return value($primary, "SELECT $columns FROM backfill.replica_reads WHERE name = '$table'");
}

sub waits_for
{
  my ($table, $pattern, $test) = @_;
  $primary->poll_query_until('postgres', "SELECT waiting_for ~ '$pattern' FROM backfill.jobs WHERE name = '$table' ORDER BY id DESC LIMIT 1")
    or diag(job($primary, $table, 'waiting_for'));
  like(job($primary, $table, 'waiting_for'), qr/$pattern/, $test);
  return;
}

sub plan_refused
{
  my ($read_from, $sqlstate, $message, $test, $more) = @_;
  my ($status, $out, $err) = $primary->psql('postgres', "SET search_path = shop; SELECT public.backfill_plan(\$\$"
      . "{name: refused, scope: {table: refused, column: day, start: 2024-01-01, stop: 2024-01-11}, "
      . "transform: {set: {label: \"'x'\"} @{[ $more // '' ]}}, read_from: $read_from}\$\$)", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
  like($err, qr/ERROR:  $sqlstate: .*$message/, $test);
  return;
}

# -- what cannot work is refused by the plan

$standby = new_standby('first');
make_shop('refused');
plan_refused('nowhere', '42704', 'server "nowhere" does not exist', 'a server that is not there');
plan_refused('of_another', '42809', 'not a server of postgres_fdw', 'a server of another kind');
value($primary, 'REVOKE USAGE ON FOREIGN SERVER "Replica 1" FROM maker');
plan_refused('Replica 1', '42501', 'permission denied', 'a server the owner may not use');
value($primary, 'GRANT USAGE ON FOREIGN SERVER "Replica 1" TO maker; ALTER USER MAPPING FOR maker SERVER "Replica 1" OPTIONS (DROP password)');
plan_refused('Replica 1', '2F003', 'password is required', 'an owner without password would borrow the identity of the server');
value($primary, 'DROP USER MAPPING FOR maker SERVER "Replica 1"');
plan_refused('Replica 1', '42704', 'user mapping not found', 'no mapping');
value($primary, q{CREATE USER MAPPING FOR maker SERVER "Replica 1" OPTIONS (user 'reader', password 'secret');
  SET ROLE maker; CREATE UNLOGGED TABLE shop.rates (day date, rate numeric); CREATE VIEW shop.seen_rates AS TABLE shop.rates});
plan_refused('Replica 1', '0A000', 'shop.rates, which a replica does not have', 'an unlogged table below a view',
  ', join: "LEFT JOIN seen_rates s ON s.day = refused.day"');

# -- all chunks are read there, and writes meanwhile are not lost

make_shop('items', ', who aclitem, mood point');
value($primary, "UPDATE shop.items SET who = 'reader=r/maker', mood = point(id, 0.1) WHERE id % 3 = 0");
like(plan_read('items', 'Replica 1'), qr/Reads       chunks on replica "Replica 1" \(dbname=postgres host=.*as\s+"reader"/, 'the plan says where chunks are read');
$primary->wait_for_catchup($standby);
close_replica_gate();
value($primary, "SELECT backfill_run('items')");
at_replica_gate();
write_rows('items');
open_replica_gate();
wait_state($primary, 'items', 'ready');
is_exact('items');
is(reads('items', "reads, rows_from_primary, rows_from_replica BETWEEN 990 AND 1010, server"), 'replica|0|t|Replica 1',
  'all rows of chunks came from the replica');
like(slurp_file($standby->logfile), qr/COPY \(SELECT .*gate_of_items/s, 'where they were asked for');
is(value($primary, "SELECT detail FROM backfill.events WHERE name = 'items' AND event = 'reads from replica'"), 'Server Replica 1.', 'and an event tells of it');
value($primary, "SELECT backfill_retry('items', 3)");
ok($primary->poll_query_until('postgres', "SELECT rows_from_primary > 0 FROM backfill.replica_reads WHERE name = 'items'"),
  'a chunk that runs again is read on the primary');
wait_state($primary, 'items', 'ready');
is_exact('items');
value($primary, "SELECT backfill_publish('items')");
is(value($primary, "SELECT count(*) FROM shop.items WHERE label LIKE 'new %'"), '999', 'published');

# -- a replica behind the beginning of capture is waited for

make_shop('behind');
plan_read('behind', '{server: Replica 1}');
$primary->wait_for_catchup($standby);
pause_replay($standby);
value($primary, "SELECT backfill_run('behind')");
waits_for('behind', 'replica "Replica 1" to replay past [0-9A-F/]+, where capture began: it is at [0-9A-F/]+, .* behind', 'a replica that is behind is waited for');
is(job($primary, 'behind', 'rows_done'), '0', 'and not read');
write_rows('behind');
resume_replay($standby);
is_ready_and_exact('behind');

# -- what the transform does wrong there fails the chunk as it would here

make_shop('wrong');
value($primary, 'SET ROLE maker; CREATE TABLE shop.secret (id bigint); REVOKE ALL ON shop.secret FROM reader; CREATE SEQUENCE shop.numbers; GRANT USAGE ON SEQUENCE shop.numbers TO reader;
  CREATE FUNCTION shop.secrets() RETURNS bigint LANGUAGE sql STABLE AS $$SELECT count(*) FROM shop.secret$$');
foreach my $case (
  [ 'divides', 'id / (id - 250)', '22012', 'division by zero', 'It was raised on the replica.', '' ],
  [ 'secrets', 'secrets()', '42501', 'permission denied for table secret', 'It was raised on the replica.', 'Grant it to the role' ],
  [ 'counts', q{nextval('numbers')}, '25006', 'cannot execute nextval\(\) in a read-only transaction', 'It was raised on the replica.', 'plan the backfill without read_from' ])
{
  my ($name, $expression, $sqlstate, $message, $detail, $hint) = @$case;
  value($primary, "SET search_path = shop, public; SELECT backfill_plan('$name', 'wrong', set => jsonb_build_object('label', \$\$$expression\$\$),
    chunk_column => 'day', start => '2024-01-01', stop => '2024-01-11', chunk_by => 'day', options => '{\"read_from\": \"Replica 1\"}')");
  $primary->wait_for_catchup($standby);
  value($primary, "SELECT backfill_run('$name')");
  wait_state($primary, $name, 'failed');
  like(value($primary, "SELECT sqlstate, error, error_detail, error_hint FROM backfill.steps WHERE name = '$name' AND status = 'failed' LIMIT 1"),
    qr/^$sqlstate\|$message\|$detail\|.*$hint/, "$name: the error is the replica's");
  value($primary, "SELECT backfill_cancel('$name')");
}

# -- a query that restricts itself may not stray

make_shop('strays');
foreach my $case ([ 'tidy', 'day', 'ready' ], [ 'stray', 'day + (id = 333)::integer', 'failed' ])
{
  my ($name, $day, $state) = @$case;
  value($primary, "SET search_path = shop, public; SELECT backfill_plan('$name', 'strays', query => \$\$SELECT id, $day AS day, v, 'new ' || id AS label, price, tags
    FROM strays WHERE strays.day >= :chunk_start AND strays.day < :chunk_stop -- to the end\$\$,
    chunk_column => 'day', start => '2024-01-01', stop => '2024-01-11', chunk_by => 'day', options => '{\"read_from\": \"Replica 1\"}')");
  $primary->wait_for_catchup($standby);
  value($primary, "SELECT backfill_run('$name')");
  wait_state($primary, $name, $state);
  is(value($primary, "SELECT sqlstate, error_detail FROM backfill.steps WHERE name = '$name' AND status = 'failed'"),
    '21000|1 of 100 rows are not within [2024-01-04, 2024-01-05) of the chunk column.', 'a stray is refused') if $state eq 'failed';
  is(value($primary, "SELECT rows_from_primary, rows_from_replica FROM backfill.replica_reads WHERE name = '$name'"), '0|1001', 'a query is read there') if $state eq 'ready';
  value($primary, "SELECT backfill_cancel('$name')");
}

# -- rows that have changed places, or are gone, are read again only from a replica that knows it

foreach my $case ([ 'rewritten', 'VACUUM FULL shop.%s' ], [ 'truncated', 'BEGIN; TRUNCATE shop.%1$s; INSERT INTO shop.%1$s (id, day, v, label) OVERRIDING SYSTEM VALUE VALUES (1, $$2024-01-01$$, 1, $$old$$); COMMIT' ])
{
  my ($table, $change) = @$case;
  run_to_gate($table, 'Replica 1');
  my $from = value($primary, "SELECT mark FROM backfill.replica JOIN backfill.job ON job.id = job_id WHERE name = '$table'");
  pause_replay($standby);
  value($primary, sprintf($change, $table));
  open_replica_gate();
  waits_for($table, 'to replay past', "$table: the replica is behind the change");
  isnt(value($primary, "SELECT mark FROM backfill.replica JOIN backfill.job ON job.id = job_id WHERE name = '$table'"), $from, "$table: and has to show a new mark");
  resume_replay($standby);
  wait_state($primary, $table, 'ready');
  is(value($primary, "SELECT count(*) FROM backfill.events WHERE name = '$table' AND event = '$table'"), '1', "$table: it began again");
  is_exact($table);
  value($primary, "SELECT backfill_cancel('$table')");
}

# -- what the replica has to replay cancels its queries

$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 0');
$standby->reload;
run_to_gate('conflict', 'Replica 1');
my $log_from = -s $standby->logfile;
value($primary, 'BEGIN; LOCK TABLE shop.conflict IN ACCESS EXCLUSIVE MODE; COMMIT');
$standby->wait_for_log(qr/conflict with recovery/, $log_from);
at_replica_gate();
open_replica_gate();
is_ready_and_exact('conflict');
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 30s');
$standby->reload;

# -- it dies: who wants to wait waits

run_to_gate('dies', 'Replica 1');
$standby->stop('immediate');
waits_for('dies', 'replica "Replica 1": ', 'a replica that is gone is waited for');
$standby->start;
eval { $gatekeeper->quit };
wait_state($primary, 'dies', 'ready');
is_exact('dies');
value($primary, "SELECT backfill_cancel('dies')");

# -- the other way to go on is here

run_to_gate('falls', '{server: Replica 1, fallback: primary, fallback_after: 500ms}');
$standby->stop('immediate');
wait_state($primary, 'falls', 'ready');
eval { $gatekeeper->quit };
is(reads('falls', 'reads, rows_from_replica > 300, rows_from_primary > 300'), 'primary|t|t', 'some rows came from there, the others from here');
is(value($primary, "SELECT string_agg(event, ', ' ORDER BY number) FROM backfill.events WHERE name = 'falls' AND event LIKE 'reads%'"),
  'reads from replica, reads from primary', 'each switch is an event');
is_exact('falls');
value($primary, "SELECT backfill_cancel('falls')");
$standby->start;

# -- promoted, it is no replica any more: what it read meanwhile is thrown away

run_to_gate('promoted', '{server: Replica 1, fallback: primary, fallback_after: 1s}');
$standby->promote;
value($standby, "UPDATE shop.promoted SET v = 12345, label = 'wrong'");
open_replica_gate();
wait_state($primary, 'promoted', 'ready');
like(reads('promoted', 'problem'), qr/it was promoted/, 'and that is said');
is_exact('promoted');
value($primary, "SELECT backfill_cancel('promoted')");

# -- a server that is no standby of this one is not read, and nobody gets in for being this server

make_shop('strange');
plan_read('strange', 'Replica 1');
value($primary, "SELECT backfill_run('strange')");
waits_for('strange', 'it was promoted', 'a promoted server is not read');
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
value($other, "CREATE ROLE reader LOGIN PASSWORD 'secret'");
value($primary, "ALTER SERVER \"Replica 1\" OPTIONS (SET host '@{[ $other->host ]}', SET port '@{[ $other->port ]}')");
waits_for('strange', 'did not ask for a password', 'a password that is not asked for proves nothing');
value($primary, 'ALTER USER MAPPING FOR maker SERVER "Replica 1" OPTIONS (ADD password_required $$false$$)');
waits_for('strange', 'not a standby of this server', 'another server is not read');
is(value($primary, "SELECT backfill_alter('strange', read_from => 'null')"), 'backfill strange altered: reads from Replica 1 → this server',
  'who waits can be sent elsewhere');
is_ready_and_exact('strange');

plan_read('strange', 'Replica 1');
value($primary, "SELECT backfill_run('strange')");
waits_for('strange', 'not a standby of this server', 'it waits');
value($primary, "SELECT backfill_pause('strange')");
wait_state($primary, 'strange', 'paused', 'who waits can be paused');
value($primary, "SELECT backfill_cancel('strange')");

done_testing();
