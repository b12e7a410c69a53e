# The runbook is true: every block of SQL in it runs as printed, at the time that is written above it.  The sample is honest: the
# run is within its projection, by and large, and nothing of it is left.
use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use Test::More;

# Nobody answers there; that must not matter.
my $node = new_node('runbook', "backfill.webhook_hosts = 'hooks.example.org'");
value($node, 'CREATE EXTENSION backfill');

# The blocks of a runbook: under which headings, when, what.
sub blocks
{
  my ($runbook) = @_;
  my ($section, $title, $when, @blocks) = ('', '', '');
  while ($runbook =~ /\G(?:\#\# (.*)\n|\#\#\# (.*)\n|\*\*When:\*\* (.*)\n|(`{3,})(\w+)\n([\s\S]*?)^\4\n|.*\n)/mgc)
  {
    my ($heading, $part, $time, $language, $code) = ($1, $2, $3, $5, $6);
    if (defined $heading) { ($section, $title, $when) = ($heading, '', '') }
    elsif (defined $part) { ($title, $when) = ($part, '') }
    elsif (defined $time) { $when = $time }
    elsif (defined $code && $language eq 'sql')
    {
      push @blocks, { section => $section, title => $title, when => $when, sql => $code };
      $when = '';
    }
  }
  return @blocks;
}

sub runbook
{
  my ($name) = @_;
  my $text = decode('UTF-8', value($node, encode('UTF-8', 'SELECT backfill_runbook($name$' . $name . '$name$)')));
  return "$text\n";
}

# Runs the blocks whose section and title match, in one session (and as that role, where one is set); returns the output.
my $role = '';
sub run_blocks
{
  my ($test, $wanted, @blocks) = @_;
  my ($section, $title) = split /\//, $wanted;
  my @chosen = grep { $_->{section} =~ /(?:$section)/ && (!defined $title || $_->{title} =~ /(?:$title)/) } @blocks;
  my $sql = join("\n", map { $_->{sql} } @chosen);
  if ($sql eq '') { fail("$test: there is a block $wanted"); return ''; }
  $sql = "SET ROLE $role;\n$sql" if $role ne '';
  my ($out, $err);
  my $status = $node->psql('postgres', encode('UTF-8', $sql), stdout => \$out, stderr => \$err, on_error_stop => 1);
  is($status, 0, "$test: $wanted runs") or diag($err, $sql);
  return $out;
}

# Follows the runbook of a planned job from the first block to the last.
sub follow
{
  my ($test, $name) = @_;
  my $first = runbook($name);
  my @blocks = blocks($first);
  cmp_ok(scalar @blocks, '>', 20, "$test: the runbook has blocks of SQL");
  is(join(', ', map { "$_->{section}/$_->{title}" } grep { $_->{when} eq '' } @blocks), '', "$test: each says when it runs");
  like($first, qr/### 3\. Run – ➡️ now/, "$test: a planned job is to be run");

  run_blocks($test, 'Rollback/Before', @blocks);
  run_blocks($test, 'script/Plan', @blocks);
  @blocks = blocks(runbook($name));
  quiet($node);
  my $before = inventory($node);
  like(run_blocks($test, 'script/Sample', @blocks), qr/^Sample of backfill .*Whole  .*backfill_run/s, "$test: a sample");
  same(inventory($node), $before, "$test: nothing is left of it");

  run_blocks($test, 'script/^3. Run', @blocks);
  run_blocks($test, "script/$_", @blocks) foreach '^4. Wait', 'Watch';
  run_blocks($test, 'fails/', @blocks);
  like(runbook($name), qr/### 8\. Publish – ➡️ now/, "$test: a ready job is to be published");
  my $new = run_blocks($test, 'Validation/Before', @blocks);
  run_blocks($test, "script/$_", @blocks) foreach 'Audit', 'Diff', 'Publish';
  run_blocks($test, "script/$_", @blocks) foreach 'Refresh';
  run_blocks($test, 'Refresh order/', @blocks) if grep { $_->{section} =~ /Refresh order/ } @blocks;
  run_blocks($test, 'Validation/After', @blocks);
  like(runbook($name), qr/### 10\. Finish or roll back – ➡️ now/, "$test: a published job is to be finished");
  run_blocks($test, 'Rollback/After the publish', @blocks);
  run_blocks($test, 'Validation/Before', @blocks);
  run_blocks($test, "script/$_", @blocks) foreach 'Publish', 'Finish';
  run_blocks($test, 'Rollback/After the end', @blocks);
  run_blocks($test, 'fails/', @blocks);
  unlike(runbook($name), qr/➡️/, "$test: nothing is due for a finished job");
  return $new;
}

# -- everything that hangs on a table, and each check that is a query

value($node, q{
  CREATE TABLE customers (customer_id int PRIMARY KEY, spend numeric NOT NULL);
  INSERT INTO customers SELECT n, 25 * (n % 80) FROM generate_series(1, 100) AS n;
  CREATE TABLE orders (
    order_id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, ordered_at timestamptz NOT NULL,
    amount numeric(10, 2) NOT NULL, weight float8, follows bigint REFERENCES orders, tier text);
  INSERT INTO orders SELECT n, 1 + n % 100, timestamptz '2022-12-20 00:00+01' + n * interval '1 hour', n % 97 + 0.99, n, NULL, NULL
    FROM generate_series(1, 4000) AS n;
  UPDATE orders SET follows = order_id - 1 WHERE order_id % 100 = 5;
  CREATE INDEX ON orders (ordered_at);
  CREATE TABLE parcels (parcel_id int PRIMARY KEY, order_id bigint REFERENCES orders);
  INSERT INTO parcels SELECT n, n * 7 FROM generate_series(1, 500) AS n;
  CREATE VIEW gold AS SELECT * FROM orders WHERE tier = 'gold';
  CREATE MATERIALIZED VIEW daily AS SELECT ordered_at::date AS day, sum(amount) AS amount FROM orders GROUP BY 1;
  CREATE MATERIALIZED VIEW monthly AS SELECT date_trunc('month', day) AS month, sum(amount) AS amount FROM daily GROUP BY 1;
  CREATE UNIQUE INDEX ON daily (day);
  ANALYZE});
value($node, q{SELECT backfill_plan($$
name: tiers
description: "Tiers for | historical *orders*"
requested_by: data-team
owner: analytics
reason: the column was never filled
success_criteria: no order of the year is without a tier
scope: {table: orders, column: ordered_at, start: 2023-01-01, stop: 2023-05-01, exclude: [2023-02-03], time_zone: Europe/Berlin}
transform:
  set: {tier: "CASE WHEN c.spend > 1000 THEN 'gold' ELSE 'standard' END"}
  join: LEFT JOIN customers c ON c.customer_id = orders.customer_id
strategy: {chunk_by: month}
checks:
  - {check: not_null, columns: [tier, amount]}
  - {check: accepted_values, column: tier, values: [gold, standard, "it's"]}
  - {check: accepted_range, column: amount, min: 0, max: 1000}
  - {check: expression, sql: "orders.tier = any ('{gold,standard}') -- the two", name: "two tiers"}
  - {check: row_count, min: 1}
  - {check: unique, columns: [order_id, ordered_at], where: amount > 1}
  - {check: failed_rows, name: amounts stay, query: "SELECT o.order_id FROM orders n JOIN public.orders o USING (order_id) WHERE n.amount <> o.amount"}
monitoring: {progress_webhook: "https://hooks.example.org/secret"}
$$)});
unlike(runbook('tiers'), qr/secret/, 'no address of a webhook is told');
my $out = follow('orders', 'tiers');
like($out, qr/^1\|2023-01-01 00:00:00\+01\|2023-02-01 00:00:00\+01\|744\|744\|0$/m, 'orders: rows of a chunk');
like($out, qr/^2023-01-01\|24\|24\|/m, 'orders: totals of a day');
is(value($node, q{SELECT count(*) FROM orders WHERE tier IS NOT NULL}), '2855', 'orders: filled as the runbook said');

# -- names that need quotes, 63 bytes, Unicode; a column that is added

my $table = 'täble "x" ' . ('ü' x 25) . ' z';
my $column = 'cölumn \'q\' ' . ('ß' x 24) . 'ab';
my $quoted = join('.', map { my $n = $_; $n =~ s/"/""/g; qq{"$n"} } 'Sché ma', $table);
value($node, encode('UTF-8', qq~
  CREATE SCHEMA "Sché ma";
  CREATE TABLE $quoted ("Id 1" int, "Id`2" text, "da y" date NOT NULL, "rows" int, "$column" numeric, PRIMARY KEY ("Id 1", "Id`2"));
  INSERT INTO $quoted SELECT n, 'k' || n % 3, date '2024-01-01' + n / 10, n, n FROM generate_series(1, 600) AS n;
  CREATE INDEX ON $quoted ("da y");
  ANALYZE $quoted~));
my $name = q{it's "a" ünïcode `job` | *x*};
my $json_table = $quoted;
$json_table =~ s/"/\\"/g;
value($node, encode('UTF-8', qq~SELECT backfill_plan(\$y\$
{"name": "it's \\"a\\" ünïcode `job` | *x*", "scope": {"table": "$json_table", "column": "da y", "start": "2024-01-05", "stop": "2024-02-10"},
 "transform": {"set": {"$column": "\\"$column\\" * 2", "a `new` one": "\\"rows\\" + 1"}, "add_columns": {"a `new` one": "numeric(12, 2)"}},
 "strategy": {"chunk_by": "week"},
 "checks": [{"check": "not_null", "columns": ["$column", "a `new` one"]}, {"check": "expression", "sql": "\\"rows\\" > 0"}]}
\$y\$)~));
$out = follow('names', $name);
like($out, qr/^2\|2024-01-08\|2024-01-15\|70\|70\|0$/m, 'names: rows of a chunk');

# -- blocks only; a query; keys that are numbers

value($node, q{
  CREATE TABLE plain (id int PRIMARY KEY, v int, label text);
  INSERT INTO plain SELECT n, n, 'old' FROM generate_series(1, 3000) AS n;
  ANALYZE plain;
  CREATE ROLE clerk;
  ALTER TABLE plain OWNER TO clerk;
  SELECT backfill_plan('plain', 'plain', set => '{"v": "v + 1"}', chunk_by => 'blocks')});
$role = 'clerk';    # the owner of the table, and nothing else
$out = follow('blocks', 'plain');
$role = '';
like($out, qr/^3000\|3000$/m, 'blocks: rows');

value($node, q{
  CREATE TABLE revenue (day date PRIMARY KEY, orders bigint NOT NULL, revenue numeric NOT NULL);
  INSERT INTO revenue SELECT d, 0, 0 FROM generate_series(date '2022-12-25', '2023-06-10', '1 day') AS d;
  ANALYZE revenue;
  SELECT backfill_plan('revenue', 'revenue', query => $$
    SELECT ordered_at::date AS day, count(*) AS orders, sum(amount) AS revenue FROM orders
    WHERE ordered_at >= :chunk_start::timestamptz AND ordered_at < :chunk_stop::timestamptz GROUP BY 1 -- by day$$,
    chunk_column => 'day', start => '2023-01-01', stop => '2023-05-01', chunk_by => 'month',
    checks => '[{"check": "expression", "sql": "revenue >= 0"}, {"check": "row_count_delta", "warn_if": "!= 0"}]')});
follow('query', 'revenue');

value($node, q{
  CREATE TABLE items (id bigint PRIMARY KEY, price money, amount int);
  INSERT INTO items SELECT n, n, n FROM generate_series(1, 5000) AS n;
  ANALYZE items;
  SELECT backfill_plan('items', 'items', set => '{"amount": "amount * 2"}', chunk_column => 'id', start => '1000', stop => '4000',
    chunk_by => '1000')});
$out = follow('numbers', 'items');
like($out, qr/^1\|1000\|1000\|2999000\|1499500$/m, 'numbers: totals of a chunk');

# -- a job that failed tells what, and a check in the way is marked

value($node, q{
  SELECT backfill_plan('breaks', 'items', set => '{"amount": "1 / (id - 2500)::int"}', chunk_column => 'id', start => '1000', stop => '4000',
    chunk_by => '1000')});
refused($node, q{SELECT backfill_sample('breaks')}, '22012', 'a sample meets what the run would meet');
value($node, q{SELECT backfill_run('breaks')});
wait_state($node, 'breaks', 'failed');
my $failed = runbook('breaks');
like($failed, qr/### 3\. Run – ➡️ now/, 'a failed job is to be run again');
like($failed, qr/\*\*chunk 2\*\*: division by zero \(SQLSTATE 22012\)/, 'and says what failed');
like(run_blocks('failed', 'fails/', blocks($failed)), qr/backfill_retry\('breaks', 2\)/, 'with the statement to type');
run_blocks('failed', 'Rollback/Before', blocks($failed));
like(runbook('breaks'), qr/CANCELLED/, 'a cancelled job has a runbook');

value($node, q{
  SELECT backfill_plan('refused', 'items', set => '{"amount": "-1"}', chunk_column => 'id', start => '1000', stop => '4000',
    chunk_by => '1000', checks => '[{"check": "accepted_range", "column": "amount", "min": 0}]');
  SELECT backfill_run('refused')});
wait_state($node, 'refused', 'ready');
like(runbook('refused'), qr/### 6\. Audit – ➡️ now/, 'a check in the way: the audit is due');
run_blocks('refused', 'script/Audit', blocks(runbook('refused')));
value($node, q{SELECT backfill_cancel('refused')});

# -- the projection holds, by and large

value($node, q{
  CREATE TABLE big (id bigint PRIMARY KEY, day date NOT NULL, v int, label text);
  INSERT INTO big SELECT n, date '2024-01-01' + (n / 3000)::int, n, repeat('x', 40) FROM generate_series(1, 180000) AS n;
  CREATE INDEX ON big (day);
  CREATE INDEX ON big (v);
  VACUUM ANALYZE big});
value($node, q{SELECT backfill_plan('big', 'big', set => '{"v": "v + 1"}', chunk_column => 'day', start => '2024-01-11', stop => '2024-02-20',
  chunk_by => 'week')});
my $sample = decode('UTF-8', value($node, q{SELECT backfill_sample('big', 3)}));
note(encode('UTF-8', $sample));
my ($low, $high) = $sample =~ /^Whole +time +(\S.*?) – (.*?):/m;
my %unit = (ms => 0.001, s => 1, m => 60, h => 3600);
sub seconds { my $sum = 0; $sum += $1 * $unit{$2} while $_[0] =~ /([\d.]+)(ms|s|m|h)/g; return $sum; }
value($node, q{SELECT backfill_run('big')});
wait_state($node, 'big', 'ready');
my $took = value($node, q{SELECT extract(epoch FROM elapsed) FROM backfill.jobs WHERE name = 'big'});
cmp_ok($took, '>', seconds($low) / 5, "the run took $took s: not far below $low");
cmp_ok($took, '<', seconds($high) * 5 + 5, "not far above $high, on a machine that has other things to do");
my %size = (B => 1, kB => 1024, MB => 1024**2, GB => 1024**3);
my ($least, $least_unit, $most, $most_unit) = $sample =~ /disk +([\d.]+) (\w+) – ([\d.]+) (\w+) beside/;
my $size = value($node, q{SELECT pg_total_relation_size(shadow::regclass) FROM backfill.jobs WHERE name = 'big'});
cmp_ok($size, '>', $least * $size{$least_unit} * 0.8, "the new version has $size bytes: not far below $least $least_unit");
cmp_ok($size, '<', $most * $size{$most_unit} * 1.2, "not far above $most $most_unit");
is(value($node, q{SELECT count(*) FROM backfill.events WHERE name = 'big' AND event = 'sampled'}), '1', 'an event tells of the sample');
refused($node, q{BEGIN; SELECT backfill_publish('big'); SELECT backfill_sample('big')}, '55000', 'a published job is not sampled');
value($node, q{SELECT backfill_cancel('big')});

# -- while it samples nobody waits, and it can be cancelled

make_table($node, 'gated');
value($node, 'SELECT backfill_plan($$' . spec('gated') . '$$)');
close_gate($node, 'gated');
my $before = inventory($node);
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/begun/, "\\echo begun\nSELECT backfill_sample('gated', 10);\n");
ok($node->poll_query_until('postgres',
    q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}), 'a sample stands before the gate');
is(value($node, q{SELECT string_agg(DISTINCT mode, ', ') FROM pg_locks WHERE relation = 'gated'::regclass}), 'AccessShareLock',
  'it holds ACCESS SHARE on the table');
is(value($node, q{UPDATE gated SET v = v + 1 WHERE id = 1 RETURNING v}), '2', 'writers go on');
value($node, q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT backfill_sample%' AND wait_event = 'advisory'});
ok($node->poll_query_until('postgres',
    q{SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}), 'it can be cancelled');
$session->quit;
same(inventory($node), $before, 'nothing is left of a cancelled sample');
value($node, q{SELECT backfill_run('gated')});
at_gate($node);
like(runbook('gated'), qr/### 4\. Wait – ➡️ now/, 'a running job is to be waited for');
refused($node, q{SELECT backfill_sample('gated')}, '55000', 'a running job is not sampled');
open_gate($node, 'gated');
wait_state($node, 'gated', 'ready');
value($node, q{SELECT backfill_cancel('gated')});

# -- what a name meant to the planner is looked up, not run: his functions must not get the extension's rights

value($node, q{
  CREATE ROLE mallory;
  CREATE SCHEMA his AUTHORIZATION mallory;
  SET SESSION AUTHORIZATION mallory;
  CREATE TABLE his.partners (id int PRIMARY KEY);
  CREATE TABLE his.rows (id int PRIMARY KEY, v int);
  CREATE FUNCTION his.only_his() RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    IF current_user <> 'mallory' THEN RAISE EXCEPTION 'run as %', current_user; END IF;
  END $$;
  CREATE FUNCTION his.to_regtype(text) RETURNS regtype LANGUAGE sql AS 'SELECT his.only_his(); SELECT pg_catalog.to_regtype($1)';
  CREATE FUNCTION his.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT his.only_his(); SELECT pg_catalog.to_regclass($1)';
  SET search_path = his, pg_catalog, public;
  SELECT backfill_plan($$ {name: names, scope: {table: rows}, strategy: {chunk_by: blocks},
    transform: {set: {v: v, w: v}, add_columns: {w: integer}},
    checks: [{check: relationships, column: v, to_table: partners}]} $$)});
my $named = runbook('names');
like($named, qr/AS "w, new"/, 'the type of an added column is known');
like($named, qr/FROM partners AS partner/, 'and the table of a check');
unlike($named, qr/xmloption/, 'what the session has as the planner had it is not set');
value($node, q{SELECT backfill_cancel('names')});

# -- what values depend on is as it was when the job was planned

value($node, q{SET xmloption = document; SELECT backfill_plan($$ {name: settings, scope: {table: his.rows}, strategy: {chunk_by: blocks},
  transform: {set: {v: v + 1}}} $$)});
value($node, q{SELECT backfill_run('settings')});
wait_state($node, 'settings', 'ready');
my @set = blocks(runbook('settings'));
like(run_blocks('settings of the planner', 'Validation/Before', @set, { section => 'Validation', title => 'Before', sql => 'SHOW xmloption;' }),
  qr/\bcontent\n?\z/, 'they are set, and afterwards the session has its own');
like(join('', map { $_->{sql} } @set), qr/SET xmloption = 'document';[\s\S]*RESET xmloption;/, 'for the queries between');
value($node, q{SELECT backfill_cancel('settings')});

$node->stop;
done_testing();
