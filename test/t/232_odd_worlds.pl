# Odd settings and odd values.  Settings that somebody gave to a database or a role do not reach the work: a whole backfill in
# such a database is told, built and carried like one in a plain database.  And values, zones and shapes of tables that are
# seldom thought of.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'max_worker_processes = 24', 'allow_in_place_tablespaces = on');
my $newer = value($node, q{SELECT current_setting('server_version_num')::integer});

value($node, q{CREATE ROLE keeper NOLOGIN CONNECTION LIMIT 0; CREATE ROLE planner LOGIN IN ROLE keeper});
value($node, q{CREATE TABLESPACE aside LOCATION ''});
value($node, q{CREATE TABLESPACE home LOCATION ''});
value($node, 'GRANT CREATE ON TABLESPACE aside, home TO PUBLIC');
value($node, "CREATE DATABASE $_") foreach qw(plain odd);

# What a session says of itself, whatever the database and its role say: else no statement of the tests would run.
my $awake = join ' ', map { "-c $_" } 'statement_timeout=0', 'lock_timeout=0', 'idle_in_transaction_session_timeout=0', 'idle_session_timeout=0', 'exit_on_error=off',
  'default_transaction_read_only=off', 'default_transaction_isolation=read\\ committed', 'role=none', 'client_encoding=UTF8',
  ($newer >= 170000 ? 'transaction_timeout=0' : ());
$ENV{PGOPTIONS} = $awake;

sub ask
{
  my ($database, $sql, %with) = @_;
  local $ENV{PGOPTIONS} = "$awake -c jit=off -c max_parallel_workers_per_gather=0" unless $sql =~ /^SELECT public\.backfill/;
  return $node->safe_psql($database, $sql, extra_params => [ '-U', $with{user} // 'planner' ]);
}

# -- the table: columns out of order, dropped, generated, of identity; keys that are equal and not the same

my $collation = value($node, q{SELECT count(*) FROM pg_collation WHERE collprovider = 'i'});
my $nd = $collation > 0 ? 'COLLATE nd' : '';
my $table = qq~
  CREATE SCHEMA odd;
  GRANT ALL ON SCHEMA odd, public TO keeper;
  ~ . ($collation > 0 ? q~CREATE COLLATION public.nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false);~ : '') . qq~
  SET ROLE keeper;
  SET search_path = public;
  CREATE TABLE thing (
    gone1 integer,
    label text,
    total numeric GENERATED ALWAYS AS (amount * 2) STORED,
    amount numeric,
    gone2 text DEFAULT 'gone',
    at timestamptz,
    key text $nd,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    f float8,
    b bytea,
    span interval,
    doc xml,
    arr integer[],
    body text,
    PRIMARY KEY (key, f)) TABLESPACE home;
  INSERT INTO thing (gone1, label, amount, at, key, f, b, span, doc, arr, body)
    SELECT i, CASE WHEN i % 7 > 0 THEN 'label ' || i END, CASE WHEN i % 50 = 0 THEN 'NaN' ELSE i / 3.0 END,
           timestamptz '2020-01-01 00:00+00' + i * interval '9 hours', 'Key ' || i, i / 7.0::float8, decode(md5(i::text), 'hex'),
           i * interval '1 day 2 hours', '<a>1</a>', ARRAY[i, NULL], 'the running dogs of number ' || i
      FROM generate_series(1, 900) AS i;
  INSERT INTO thing (amount, at, key, f, body) VALUES
    ('NaN', NULL, 'no time', 0, ''), (1, 'infinity', 'for ever', 'NaN', ''), (2, '-infinity', 'never', 'Infinity', ''),
    (3, '4714-11-24 00:00:00+00 BC', 'first', '-Infinity', ''), (4, '294276-12-31 23:59:59.999999+00', 'last', '-0', ''),
    (5, '0044-03-15 12:00+00 BC', 'ides', 1e-308, ''), (6, '2020-06-01', 'in scope', 'NaN', '');
  ALTER TABLE thing DROP COLUMN gone1, DROP COLUMN gone2;
  CREATE INDEX thing_at ON thing (at) TABLESPACE home;
  CREATE INDEX thing_label ON thing (label);
  CREATE VIEW things AS SELECT * FROM thing;
  CREATE MATERIALIZED VIEW thing_counts TABLESPACE home AS SELECT isfinite(at) AS finite, count(*) AS n FROM thing GROUP BY 1;
  ANALYZE thing;~;
ask($_, $table . 'RESET ROLE; CREATE EXTENSION backfill', user => 'postgres') foreach qw(plain odd);

# -- the odd database: everything at once

sub available
{
  my ($setting, $value) = @_;
  my ($status) = $node->psql('plain', "SET $setting = $value");
  return $status == 0;
}

my @settings = (
  'TimeZone = ~Asia/Kolkata~', 'DateStyle = ~SQL, DMY~', 'IntervalStyle = sql_standard', 'bytea_output = escape', 'extra_float_digits = -15',
  'default_transaction_isolation = serializable', 'default_transaction_read_only = on', 'default_transaction_deferrable = on',
  'search_path = odd', 'standard_conforming_strings = off', 'backslash_quote = off', 'quote_all_identifiers = on',
  'default_tablespace = aside', 'temp_tablespaces = aside', 'default_table_access_method = heap2', 'default_toast_compression = lz4',
  'row_security = on', 'session_replication_role = replica', 'jit = on', 'jit_above_cost = 0', 'max_parallel_workers_per_gather = 8',
  'parallel_setup_cost = 0', 'parallel_tuple_cost = 0', 'min_parallel_table_scan_size = 0', 'min_parallel_index_scan_size = 0',
  'client_encoding = LATIN1', 'check_function_bodies = off', 'xmloption = document',
  'xmlbinary = hex', 'array_nulls = off', 'transform_null_equals = on', 'plan_cache_mode = force_generic_plan', 'synchronous_commit = off',
  'statement_timeout = 1', 'lock_timeout = 1', 'idle_in_transaction_session_timeout = 1', 'idle_session_timeout = 1', 'transaction_timeout = ~5s~',
  'constraint_exclusion = on', 'from_collapse_limit = 1', 'join_collapse_limit = 1', 'geqo_threshold = 2', 'default_statistics_target = 1',
  'work_mem = 64', 'maintenance_work_mem = 1024', 'client_min_messages = error', 'timezone_abbreviations = ~India~', 'exit_on_error = on',
  'lc_monetary = ~C~', 'lc_numeric = ~C~', 'lc_time = ~C~', 'default_text_search_config = ~pg_catalog.german~', 'synchronize_seqscans = on',
  'vacuum_cost_delay = 1', 'escape_string_warning = on', 'hash_mem_multiplier = 1', 'backend_flush_after = 8',
  map { "enable_$_ = off" } qw(seqscan indexscan bitmapscan indexonlyscan hashjoin hashagg mergejoin nestloop sort memoize material incremental_sort tidscan)
);
s/~/'/g foreach @settings;
ask($_, 'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler', user => 'postgres') foreach qw(plain odd);
my @given = grep { available(split / = /, $_, 2) } @settings;
cmp_ok(scalar @given, '>', @settings - 5, 'the odd database gets ' . @given . ' settings') or diag("@given");
value($node, join ';', map { ("ALTER DATABASE odd SET $_", "ALTER ROLE keeper IN DATABASE odd SET $_", "ALTER ROLE planner IN DATABASE odd SET $_") } @given);
value($node, q{ALTER DATABASE odd SET role = 'planner'; ALTER DATABASE odd CONNECTION LIMIT 3});

# -- what a session is told that cannot write, or whose snapshot cannot be as new as it has to be

my $spec = q~{name: n, scope: {table: public.thing, column: at, start: 2020-02-01, stop: 2020-12-01, time_zone: Australia/Lord_Howe},
  transform: {set: {label: "key || ' ' || at::text || ' ' || span::text || ' ' || b::text || f::text || to_char(amount, 'FM999D99') || to_char(at, 'Day')
                              || coalesce(arr::text, 'none') || '{1,NULL}' || (label = NULL IS NULL)::text || E'\\\\t' || '\\\\t' || (DATE '2020-02-01')::text",
                    amount: "CASE WHEN amount = 'NaN' THEN amount ELSE amount + 1 END"}},
  strategy: {chunk_by: month, parallelism: 2}, checks: [{check: exact, scope: both}]}~;
sub told
{
  my ($options, $sql) = @_;
  local $ENV{PGOPTIONS} = $awake . $options;
  my ($status, $out, $err) = $node->psql('odd', $sql, extra_params => [ '-U', 'planner', '-v', 'VERBOSITY=verbose' ]);
  return $err;
}
my $plan = 'SELECT public.backfill_plan($s$' . $spec . '$s$)';
foreach my $call ($plan, q{SELECT public.backfill_run('n')})
{
  my $err = told(' -c default_transaction_read_only=on', $call);
  like($err, qr/ERROR:  25006/, 'a session that may not write is told so');
  like($err, qr/default_transaction_read_only/, 'and how to be one that may') or diag($err);
}

# -- the same life in both

# The table and what hangs on it, as one session sees it whose settings are known.
my $plain = q{SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = postgres; SET bytea_output = hex; SET extra_float_digits = 3;
  SET search_path = public; SET quote_all_identifiers = off; SET xmloption = content; SET enable_seqscan = on; SET transform_null_equals = off;};
sub contents
{
  my ($database, $name) = @_;
  return ask($database, "$plain SELECT * FROM $name ORDER BY key COLLATE \"C\", f");
}

sub shape
{
  my ($database) = @_;
  return ask($database, $plain . q{
    SELECT c.relname, c.relkind, a.amname, t.spcname, c.reloptions, c.relpersistence, c.relreplident FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
      LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1;
    SELECT attname, atttypid::regtype, attnotnull, attgenerated, attidentity, attcompression, attstattarget, attcollation::regcollation FROM pg_attribute
     WHERE attrelid = 'thing'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
    SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'thing'::regclass ORDER BY 1;
    SELECT pg_get_viewdef('things'), pg_get_viewdef('thing_counts');
    SELECT count(*), sum(n) FROM thing_counts});
}

sub wait_odd
{
  my ($database, $state) = @_;
  ask($database, q{CALL public.backfill_wait('n', '3 min')});
  return ask($database, q{SELECT state FROM backfill.jobs WHERE name = 'n'}) eq $state;
}

my @writes = (
  q{UPDATE thing SET label = NULL WHERE f BETWEEN 20 AND 30},
  q{UPDATE thing SET key = 'KEY 401' WHERE key = 'Key 401'},
  q{DELETE FROM thing WHERE key = 'Key 402'},
  q{UPDATE thing SET f = 0 WHERE f = '-0'},
  q{UPDATE thing SET amount = 'NaN' WHERE f = 'NaN'},
  q{INSERT INTO thing (key, f, at) VALUES ('new ' || (SELECT count(*) FROM thing), 'NaN', '2020-03-01'), ('newer ' || (SELECT count(*) FROM thing), 1, 'infinity')});
sub write_all
{
  my ($database) = @_;
  ask($database, $plain . join(';', @writes));
  return;
}

sub life
{
  my ($database) = @_;
  my @story;
  my $tell = sub {
    my ($what, $text) = @_;
    $text =~ s/\d+(\.\d+)? ?(ms|s|kB|MB|bytes)\b/N/g;
    $text =~ s/\bpublic\.//g;
    push @story, "== $what\n$text\n";
  };
  my $call = sub {
    my ($sql) = @_;
    my $text = ask($database, "SELECT public.$sql");
    $tell->($sql, $text);
    return;
  };
  $tell->('plan', ask($database, $plan));
  $tell->('chunks', ask($database, "$plain SELECT chunk, lo, hi, kind, rows_estimated FROM backfill.chunks WHERE kind = 'range' ORDER BY chunk"));
  $call->(q{backfill_run('n')});
  ok(wait_odd($database, 'ready'), "$database: ready") or return join '', @story;
  my $shadow = ask($database, q{SELECT shadow FROM backfill.jobs WHERE name = 'n'});
  $tell->('shadow', contents($database, $shadow));
  write_all($database);
  $call->(q{backfill_audit('n')});
  ok(wait_odd($database, 'ready'), "$database: audited");
  $tell->('checks', ask($database, q{SELECT "check", scope, outcome, expected, actual, detail FROM backfill.checks WHERE name = 'n' ORDER BY audit, "check", chunk}));
  $node->poll_query_until($database, q{SELECT pending_keys = 0 FROM backfill.jobs WHERE name = 'n'});
  $tell->('diff', ask($database, q{SELECT public.backfill_diff('n', samples => 3)}));
  foreach my $act ('publish', 'rollback', 'publish')
  {
    write_all($database);
    ask($database, "SELECT public.backfill_$act('n')");
    ok(wait_odd($database, $act eq 'publish' ? 'published' : 'ready'), "$database: $act");
    $tell->("after $act", contents($database, 'thing'));
    $tell->('shape', shape($database));
  }
  write_all($database);
  $call->(q{backfill_finish('n')});
  $tell->('at the end', contents($database, 'thing'));
  $tell->('shape', shape($database));
  return join '', @story;
}

my ($control, $odd) = (life('plain'), life('odd'));
sub differing
{
  my ($got, $want) = @_;
  my @got = split /\n/, $got;
  my @want = split /\n/, $want;
  my ($section, @out) = ('');
  for (my $i = 0; $i < @got || $i < @want; $i++)
  {
    my ($g, $w) = ($got[$i] // '-', $want[$i] // '-');
    $section = $w if $w =~ /^==/;
    push @out, "$section\n  got:  $g\n  want: $w" if $g ne $w;
    last if @out == 8;
  }
  return join "\n", @out;
}
is(differing($odd, $control), '', 'settings of database and roles change nothing of what is told, built and kept');

# -- settings that a value depends on are those of the session that planned, whoever computes it

value($node, q{CREATE TABLE texts (id integer PRIMARY KEY, body text, words tsvector); INSERT INTO texts SELECT i, 'the running dogs' FROM generate_series(1, 50) AS i; ANALYZE texts}, 'plain');
{
  local $ENV{PGOPTIONS} = "$awake -c default_text_search_config=pg_catalog.simple";
  value($node, 'SELECT count(*) FROM public.backfill_plan($s$' . '{name: texts, scope: {table: texts}, transform: {set: {words: "to_tsvector(body)"}}, strategy: {chunk_by: blocks}}' . '$s$)', 'plain');
}
value($node, q{ALTER DATABASE plain SET default_text_search_config = 'pg_catalog.german'}, 'plain');
# The server's parallel workers are bound by it until they have their leader's settings, so not where all is done in parallel.
value($node, 'ALTER DATABASE plain SET transaction_timeout = 1', 'plain') if $newer >= 170000;
value($node, q{SELECT public.backfill_run('texts')}, 'plain');
value($node, q{CALL public.backfill_wait('texts', '1 min')}, 'plain');
{
  local $ENV{PGOPTIONS} = "$awake -c default_text_search_config=pg_catalog.english";
  value($node, q{BEGIN; UPDATE texts SET body = 'the walking cats' WHERE id = 7; SELECT public.backfill_publish('texts'); COMMIT}, 'plain');
}
is(value($node, 'SELECT DISTINCT words FROM texts ORDER BY 1', 'plain'), "'cats':3 'the':1 'walking':2\n'dogs':3 'running':2 'the':1",
  'a worker and the session that publishes compute alike, as the planner would');
value($node, q{SELECT public.backfill_finish('texts')}, 'plain');

done_testing();
