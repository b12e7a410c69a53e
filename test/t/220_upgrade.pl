# ALTER EXTENSION UPDATE under jobs at work: a version of tomorrow is made of this one and of a script that changes the ledger, its
# views and a function, as upgrade scripts do.  What is upgraded in mid-job equals what is installed fresh; the job that was
# in the middle of a chunk, one that is ready and one that is published go on in the hands of the very workers that began them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# -- the version of tomorrow, in the throwaway tree of the test

my $node = new_node('main');
my ($now) = value($node, q{SELECT default_version FROM pg_available_extensions WHERE name = 'backfill'});
my $directory = `pg_config --sharedir` =~ s/\n//r . '/extension';
my $change = <<'SQL';
ALTER TABLE backfill.job ADD COLUMN tomorrow text NOT NULL DEFAULT 'new';
COMMENT ON COLUMN backfill.job.tomorrow IS 'Of the version of tomorrow.';
ALTER TABLE backfill.step ADD COLUMN tomorrow integer CHECK (tomorrow > 0);
ALTER TABLE backfill.event ADD COLUMN tomorrow boolean;
CREATE TABLE backfill.tomorrow (job_id integer REFERENCES backfill.job (id) ON DELETE CASCADE, note text);
SELECT pg_catalog.pg_extension_config_dump('backfill.tomorrow', '');
CREATE VIEW backfill.jobs_of_tomorrow AS SELECT id, name, tomorrow FROM backfill.job;
CREATE FUNCTION @extschema@.backfill_tomorrow() RETURNS text LANGUAGE sql AS $$ SELECT 'tomorrow' $$;
REVOKE ALL ON FUNCTION @extschema@.backfill_tomorrow() FROM PUBLIC;
SQL
my $install = slurp_file("$directory/backfill--$now.sql");
write_file("$directory/backfill--tomorrow.sql", $install . $change);
write_file("$directory/backfill--$now--tomorrow.sql", "\\echo Use \"ALTER EXTENSION backfill UPDATE\". \\quit\n" . $change);

sub write_file
{
  my ($path, $text) = @_;
  open my $file, '>', $path or die "cannot write $path: $!";
  print $file $text;
  close $file or die "cannot write $path: $!";
  return;
}

# -- three jobs at work

value($node, 'CREATE EXTENSION backfill');

sub begin
{
  my ($name, %with) = @_;
  make_table($node, $name);
  close_gate($node, $name) if $with{closed};
  value($node, "SELECT backfill_plan(\$\$" . spec($name) . "\$\$)");
  value($node, "SELECT backfill_run('$name')");
  return;
}

begin('resting');
wait_state($node, 'resting', 'ready');
begin('shown');
wait_state($node, 'shown', 'ready');
value($node, q{SELECT backfill_publish('shown')});
begin('flights', closed => 1);
my $worker = at_gate($node);

my $coordinators = q{SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity
  WHERE application_name LIKE 'backfill coordinator%'};
my $before = value($node, $coordinators);
is(scalar(split / /, $before), 3, 'three coordinators are at work');

# -- who does not want to wait for a chunk does not, and nothing has happened

refused($node, q{SET lock_timeout = '300ms'; ALTER EXTENSION backfill UPDATE TO 'tomorrow'}, '55P03',
  'an update waits for the chunk in work, no longer than lock_timeout');
is(value($node, q{SELECT extversion FROM pg_extension WHERE extname = 'backfill'}), $now, 'the version is what it was');

# -- the update in mid-job

my ($in, $out, $err) = ('', '', '');
my $update = IPC::Run::start(
  [ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', q{ALTER EXTENSION backfill UPDATE TO 'tomorrow'} ],
  '<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$node->poll_query_until('postgres',
  q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION%' AND wait_event_type = 'Lock')})
  or die 'the update did not come to wait';
value($node, q{UPDATE flights SET v = -v WHERE id IN (50, 950); DELETE FROM flights WHERE id = 250; UPDATE resting SET v = 0 WHERE id = 7});
open_gate($node, 'flights');
ok($update->finish, 'the extension is updated while three jobs are at work');
is($err, '', 'without a word of complaint');

wait_state($node, 'flights', 'ready', 'the job in the middle of a chunk becomes ready');
exact($node, 'flights');
is(value($node, $coordinators), $before, 'in the hands of the coordinators that began');
is(value($node, q{SELECT string_agg(attempts::text, ' ' ORDER BY chunk) FROM backfill.chunks WHERE name = 'flights' AND attempts > 1}),
  '', 'no chunk was begun twice');
$node->poll_query_until('postgres', q{SELECT pending_keys = 0 FROM backfill.jobs WHERE name = 'resting'}) or die 'nobody drains';
exact($node, 'resting', 'the one that is ready drains on');
value($node, q{SELECT backfill_rollback('shown')});
wait_state($node, 'shown', 'ready', 'the one that was published rolls back');
value($node, q{SELECT backfill_publish('flights')});
is(value($node, q{SELECT string_agg(DISTINCT tomorrow, ' ') FROM backfill.jobs_of_tomorrow}), 'new', 'what the update added is there');

# -- what is upgraded equals what is installed fresh

value($node, 'CREATE DATABASE fresh');
value($node, q{CREATE EXTENSION backfill VERSION 'tomorrow'}, 'fresh');

my $members = q{
  WITH member AS (
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'backfill'
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
  relation AS (SELECT c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid)
  SELECT line FROM (
    SELECT pg_describe_object(classid, objid, 0) || ': ' || coalesce(obj_description(objid, classid::regclass::text), '-') FROM member
    UNION ALL SELECT format('%s: %s %s', oid::regclass, relacl, CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END) FROM relation
    UNION ALL SELECT format('%s.%s: %s %s %s %s %s', c.oid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(f.adbin, f.adrelid), col_description(c.oid, a.attnum))
      FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
      LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
    UNION ALL SELECT format('%s: %s %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid))
      FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
    UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM relation c JOIN pg_index i ON i.indrelid = c.oid
    UNION ALL SELECT pg_get_triggerdef(t.oid) FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT tgisinternal
    UNION ALL SELECT pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') FROM member m
      JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid AND p.prokind IN ('f', 'p')
    UNION ALL SELECT 'dumped: ' || x.id::regclass || ' ' || x.condition FROM pg_extension e,
      unnest(e.extconfig, e.extcondition) AS x (id, condition) WHERE e.extname = 'backfill'
  ) AS found (line) ORDER BY line COLLATE "C"};
my $fresh = value($node, $members, 'fresh');
cmp_ok(scalar(split /\n/, $fresh), '>', 500, 'the extension has many objects');
same(value($node, $members), $fresh, 'an extension upgraded in mid-job equals one installed fresh');

$node->stop;
unlink "$directory/backfill--tomorrow.sql", "$directory/backfill--$now--tomorrow.sql";
done_testing();
