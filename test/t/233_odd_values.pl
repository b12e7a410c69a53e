# Values, zones and shapes of tables that are seldom thought of: clocks that are set, moments at the edges of their types, tables
# of one column or of 1600, or without a row.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
value($node, 'CREATE EXTENSION backfill');

# Plans, runs and publishes; @between are statements before the publish.
sub life
{
  my ($name, $spec, @between) = @_;
  value($node, 'SELECT count(*) FROM backfill_plan($s$' . $spec . '$s$)');
  value($node, "SELECT backfill_run('$name')");
  value($node, "CALL backfill_wait('$name', '3 min')");
  value($node, $_) foreach @between;
  value($node, "SELECT backfill_publish('$name')");
  return;
}

# -- zones: whatever their clocks do, chunks follow each other and hold every moment once

value($node, q{
  CREATE TABLE moments (id bigint PRIMARY KEY, at timestamptz, local timestamp);
  INSERT INTO moments SELECT i, at, at AT TIME ZONE 'UTC' FROM (SELECT i, '-infinity'::timestamptz AS at FROM generate_series(1, 1) AS i
    UNION ALL SELECT 2, 'infinity' UNION ALL SELECT 3, NULL) AS x;
  CREATE INDEX ON moments (at); CREATE INDEX ON moments (local); ANALYZE moments});
my $chunked = q{
  WITH c AS (SELECT c.*, lag(hi) OVER (ORDER BY chunk) AS before FROM backfill.chunks c WHERE id = (SELECT max(id) FROM backfill.job) AND kind = 'range')
  SELECT count(*), bool_and(before IS NULL OR before::%1$s = lo::%1$s), bool_and(lo::%1$s < hi::%1$s), min(lo::%1$s) = '%2$s'::%1$s, max(hi::%1$s) = '%3$s'::%1$s FROM c};
foreach my $world (
  [ 'Europe/Berlin', '2024-03-30', '2024-04-02', 'day', 3 ], [ 'Europe/Berlin', '2024-03-31', '2024-04-01', 'hour', 23 ], [ 'Europe/Berlin', '2024-10-27', '2024-10-28', 'hour', 25 ],
  [ 'Australia/Lord_Howe', '2024-04-06', '2024-04-09', 'day', 3 ], [ 'Australia/Lord_Howe', '2023-09-01', '2023-12-01', 'month', 3 ],
  [ 'Asia/Kolkata', '2024-01-01', '2024-02-01', 'day', 31 ], [ 'Asia/Kathmandu', '2024-01-01', '2025-01-01', 'month', 12 ],
  [ 'America/St_Johns', '2008-11-01', '2008-11-05', 'day', 4 ], [ 'America/Sao_Paulo', '2017-10-14', '2017-10-17', 'day', 3 ], [ 'America/Havana', '2024-11-02', '2024-11-05', 'day', 3 ],
  [ 'Pacific/Apia', '2011-12-29', '2012-01-01', 'day', 2 ], [ 'America/New_York', '0044-03-01 BC', '0044-05-01 BC', 'month', 2 ],
  [ 'UTC', '4713-01-01 BC', '4712-01-01 BC', 'month', 12 ])
{
  my ($zone, $start, $stop, $by, $count) = @$world;
  my @told = split /\n/, value($node, "SELECT count(*) > 0 FROM backfill_plan(\$s\${name: moments, scope: {table: moments, column: at, start: '$start', stop: '$stop', time_zone: $zone}, transform: {set: {local: local}}, strategy: {chunk_by: $by}}\$s\$);"
      . "SET TimeZone = '$zone';" . sprintf($chunked, 'timestamptz', $start, $stop) . q{; SELECT backfill_cancel('moments')});
  is($told[1], "$count|t|t|t|t", "$zone, $start, by $by");
}

# -- values at the edges of their types are in one chunk each; what is far away takes no other way than what is near

value($node, q{
  CREATE TABLE edges (id bigint PRIMARY KEY, at timestamp, v integer);
  INSERT INTO edges VALUES (-9223372036854775808, '4714-11-24 00:00:00 BC', 0), (9223372036854775807, '294276-12-31 23:59:59.999999', 0), (0, '2000-01-01', 0), (1, NULL, 0), (2, 'infinity', 0);
  CREATE INDEX ON edges (at); ANALYZE edges});
foreach my $scope (q{column: id, start: -9223372036854775808, stop: 9223372036854775807}, q{column: at, start: '4712-01-01 BC', stop: '200000-01-01'})
{
  life('edges', "{name: edges, scope: {table: edges, $scope}, transform: {set: {v: v + 1}}, strategy: {chunk_by: "
      . ($scope =~ /id/ ? '1_000_000_000_000_000_000' : '10000 years') . '}}');
  value($node, q{SELECT backfill_finish('edges')});
}
is(value($node, 'SELECT string_agg(v::text, $$ $$ ORDER BY id) FROM edges'), '1 2 1 1 0', 'keys and times at the edges of their types');

# -- shapes: one column, no row, as many columns as there may be

value($node, q{CREATE TABLE narrow (id integer PRIMARY KEY); INSERT INTO narrow VALUES (1), (2), (3); CREATE TABLE void (id integer PRIMARY KEY, v integer); ANALYZE narrow, void});
life('narrow', '{name: narrow, scope: {table: narrow}, transform: {set: {more: "id * 2"}, add_columns: {more: integer}}, strategy: {chunk_by: blocks}}',
  'DELETE FROM narrow WHERE id = 2');
is(value($node, 'SELECT string_agg(narrow::text, $$ $$ ORDER BY id) FROM narrow'), '(1,2) (3,6)', 'a table of one column');
life('void', '{name: void, scope: {table: void, column: id, start: 1, stop: 10}, transform: {set: {v: "1"}}, strategy: {chunk_by: 5}, pre_checks: [], checks: []}',
  'INSERT INTO void VALUES (3), (30)');
is(value($node, 'SELECT string_agg(void::text, $$ $$ ORDER BY id) FROM void'), '(3,1) (30,)', 'an empty table, written to in between');
value($node, q{DO $$ BEGIN EXECUTE 'CREATE TABLE broad (id integer PRIMARY KEY, ' || (SELECT string_agg('c' || i || ' smallint', ', ') FROM generate_series(1, 1599) AS i) || ')'; END $$;
  INSERT INTO broad (id, c1, c1599) SELECT i, i, i FROM generate_series(1, 20) AS i; ANALYZE broad});
life('broad', '{name: broad, scope: {table: broad, column: id, start: 1, stop: 21}, transform: {set: {c1599: "c1599 + 1"}}, strategy: {chunk_by: 10}, checks: [{check: exact, scope: both}]}',
  'UPDATE broad SET c1 = 100 WHERE id = 5', q{SELECT count(*) FROM backfill_diff('broad')});
value($node, q{UPDATE broad SET c2 = 7 WHERE id = 6; SELECT backfill_rollback('broad')});
is(value($node, 'SELECT sum(c1), sum(c2), sum(c1599) FROM broad'), '305|7|210', 'a table of 1600 columns, there and back');

# -- a database without encoding cuts names within a character

value($node, q{CREATE DATABASE raw TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'});
my $cut = ('i' x 62) . "\xc3\xa9";
value($node, qq{CREATE EXTENSION backfill; CREATE TABLE t (id integer PRIMARY KEY, v integer); CREATE INDEX "$cut" ON t (v); ANALYZE t}, 'raw');
my $plan = q{SELECT count(*) FROM backfill_plan('t', 't', set => '{"v": "id"}', chunk_by => 'blocks')};
my ($status, $out, $err) = $node->psql('raw', $plan, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/ERROR:  22021: a name that step \d+ \(index\) needs is not valid UTF-8\n.*\nHINT:  .*RENAME/, 'an index whose name was cut within a character: the plan is refused');
is(value($node, 'SELECT count(*) FROM backfill.jobs', 'raw'), '0', '- and nothing is left of it');
value($node, q{DO $$ BEGIN EXECUTE format('ALTER INDEX %I RENAME TO shorter', (SELECT relname FROM pg_class WHERE relname LIKE 'iii%')); END $$}, 'raw');
ok(value($node, $plan, 'raw') > 0, '- renamed, it is planned');

$node->stop;
done_testing();
