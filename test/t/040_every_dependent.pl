# A publish and a rollback leave the catalog as it was, whatever a table has and whatever is bound to it; and all of it works.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Exactly 63 bytes, the longest that the server keeps.  (Names are bytes here: this file does not say "use utf8".)
sub long_name
{
  my ($name) = @_;
  return $name . 'x' x (63 - length $name);
}

my %name = (
  t => long_name('Aufträge "aller" Länder — '),
  pk => long_name('schlüssel '),
  check => long_name('prüfung "alle" '),
  map({ ("long_$_" => long_name("$_ für \"alle\" Aufträge ")) }
      qw(index statistics trigger rule policy reference view matview)));

sub quoted
{
  my ($name) = @_;
  return '"' . ($name =~ s/"/""/gr) . '"';
}

my $table = 'shop.' . quoted($name{t});
my $view = 'shop.' . quoted($name{long_view});

my $node = new_node('main', 'wal_level = logical', 'autovacuum = off');
value($node, 'CREATE EXTENSION backfill');
my @variables = map { ('-v', "$_=$name{$_}") } sort keys %name;
my $complaints = '';
IPC::Run::run(
  [ 'psql', '-XqAt', '-d', $node->connstr('postgres'), @variables, '-f', "$FindBin::RealBin/every_dependent.sql" ],
  '2>', \$complaints);
is($complaints, '', 'a table with everything');

# -- what is compared

# The dump of the schema without what backfill keeps beside it, its pieces sorted, and the options in them.  What stands
# between two pieces depends on which come next to each other.
sub dump_of_schema
{
  my $dump = '';
  IPC::Run::run([ 'pg_dump', '-s', '--exclude-schema=backfill', '-d', $node->connstr('postgres') ], '>', \$dump)
    or die 'pg_dump failed';
  $dump =~ s/^(?:SET default_tablespace|\\(?:un)?restrict) .*\n//mg;
  $dump =~ s/^WITH \((.*)\)/'WITH (' . join(', ', sort split(', ', $1)) . ')'/mge;
  my @pieces = split /^--\n-- (?=Name: )/m, $dump;
  shift @pieces;
  my $ours = qr/_(?:backfill|archive)_\d+\b|\bbackfill_(?:capture|truncate|guard|guard_truncate)_\d+\b/;
  return join "\n", sort grep { $_ !~ $ours } @pieces;
}

# What a dump does not tell.
my $catalog = q{
  WITH shop AS (SELECT * FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relname !~ '_(archive|backfill)_\d+$')
  SELECT thing FROM (
    SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relispopulated, relreplident, relrowsecurity, relforcerowsecurity,
                     reltablespace, relam, relpersistence, relhasrules, relhastriggers,
                     (SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o)) FROM shop
    UNION ALL
    SELECT concat_ws(' ', 'column', c.oid::regclass, attname, attstattarget, attstorage, attcompression, attislocal, attinhcount,
                     (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_attver%'), attacl)
      FROM shop c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'index', indrelid::regclass, indexrelid::regclass, indisvalid, indisready, indisclustered,
                     indisreplident, indimmediate, indnullsnotdistinct, pg_get_indexdef(indexrelid)) FROM pg_index
     WHERE indrelid IN (SELECT oid FROM shop)
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, condeferrable, condeferred, connoinherit,
                     confrelid::regclass, conindid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
     WHERE conrelid IN (SELECT oid FROM shop)
    UNION ALL
    SELECT concat_ws(' ', 'trigger', tgrelid::regclass, CASE WHEN tgisinternal THEN tgfoid::regproc::text ELSE tgname END,
                     tgenabled, tgconstrrelid::regclass, tgconstrindid::regclass, tgdeferrable, tginitdeferred)
      FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM shop) AND tgname NOT LIKE 'backfill\_%'
    UNION ALL
    SELECT concat_ws(' ', 'rule', ev_class::regclass, rulename, ev_enabled, is_instead) FROM pg_rewrite
     WHERE ev_class IN (SELECT oid FROM shop)
    UNION ALL
    SELECT concat_ws(' ', 'sequence', seqrelid::regclass, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle)
      FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM shop)
    UNION ALL
    SELECT concat_ws(' ', 'depends', pg_describe_object(classid, objid, objsubid), deptype,
                     pg_describe_object(refclassid, refobjid, refobjsubid)) FROM pg_depend
     WHERE classid <> 'pg_type'::regclass AND refclassid IN ('pg_class'::regclass, 'pg_constraint'::regclass)
       AND refobjid >= 16384 AND pg_describe_object(classid, objid, objsubid)
           || pg_describe_object(refclassid, refobjid, refobjsubid) !~ '_(archive|backfill)_\d+|backfill[._]|_ConstraintTrigger|pg_toast'
  ) AS found (thing) ORDER BY thing COLLATE "C"};

sub state_of_catalog
{
  return dump_of_schema() . "\n" . value($node, "SET search_path = pg_catalog; $catalog");
}

# Nothing but its own parts is bound to the version that is out of service.
sub nothing_bound_to
{
  my ($relation, $test) = @_;
  is( value($node, qq{
    WITH own AS (SELECT '$relation'::regclass::oid AS oid UNION SELECT indexrelid FROM pg_index WHERE indrelid = '$relation'::regclass)
    SELECT string_agg(pg_describe_object(classid, objid, objsubid), E'\n') FROM pg_depend d
     WHERE refclassid = 'pg_class'::regclass AND refobjid IN (SELECT oid FROM own)
       AND pg_describe_object(classid, objid, objsubid) !~ '_(archive|backfill)_\\d+|^toast table'}),
    '',
    $test);
  return;
}

sub after_steps_done
{
  my ($test) = @_;
  my $done = $node->poll_query_until('postgres', q{
    SELECT NOT EXISTS (SELECT FROM backfill.steps WHERE phase = 'after' AND status NOT IN ('done', 'skipped'))});
  ok($done, $test);
  diag(value($node, q{SELECT kind, title, status, error, waiting_for FROM backfill.steps WHERE phase = 'after'})) unless $done;
  return;
}

# -- everything works: each line is one way to use the table; the answer must not depend on the version in service

sub uses
{
  my ($test) = @_;
  my ($status, $out, $err) = $node->psql('postgres', qq{
    SET search_path = shop; SET ROLE shop_owner;
    BEGIN;
    INSERT INTO $table (customer, code, amount) VALUES (1, 'new', 13) RETURNING (id - 1000) % 5, tier, gross;
    SELECT what FROM note ORDER BY what COLLATE "C";
    ROLLBACK;
    BEGIN;
    UPDATE $view SET amount = amount + 1 WHERE amount = 7;
    ROLLBACK;
    BEGIN;
    INSERT INTO item VALUES (100001, 3000);
    DELETE FROM $table WHERE id = 3000;
    SET CONSTRAINTS ALL IMMEDIATE;
    SELECT count(*) FROM item WHERE order_id = 3000;
    ROLLBACK;
    SELECT sales() > 0;
    BEGIN; CALL close_month('2024-01-02'); SELECT count(*) FROM $table WHERE tier = 'closed'; ROLLBACK;
    BEGIN; INSERT INTO ruled VALUES (1150); SELECT boss IS NULL FROM $table WHERE id = 1150; ROLLBACK;
    SELECT count(*) FROM chain;
    SELECT count(*), sum(n) FROM above, through;
    SELECT count(*) FROM twice;
    BEGIN; UPDATE $table SET customer = 20 WHERE id = 3000; DELETE FROM customer WHERE id = 20;
    SELECT count(*) FROM $table WHERE customer = 20; ROLLBACK;
    SET ROLE shop_reader;
    SELECT count(*) FROM item;
    SELECT count(*) FROM $table;});
  is($err, '', "$test: no error");
  return $out;
}

my $uses = uses('as it was');
my $before = state_of_catalog();
cmp_ok(length $before, '>', 20000, 'there is something to compare');

value($node, 'SELECT backfill_plan($$' . "{name: all, scope: {table: '" . ($table =~ s/'/''/gr)
    . "', column: At, start: 2024-01-02, stop: 2024-01-10, time_zone: UTC}, "
    . 'transform: {set: {tier: "\'tier \' || region"}}, strategy: {chunk_by: day}}$$)');
is(value($node, q{SELECT count(*) FROM backfill.dependents WHERE fate = 'blocks'}), '0', 'nothing blocks');
value($node, q{SELECT backfill_run('all')});
wait_state($node, 'all', 'ready');
is(uses('ready'), $uses, 'ready: everything works');

for my $time (1 .. 2)
{
  value($node, q{SELECT backfill_publish('all')});
  my $at_once = uses("published $time, at once");
  is($at_once, $uses, "published $time: everything works at once");
  after_steps_done("published $time: the steps after it are done");
  same(state_of_catalog(), $before, "published $time: the catalog is as it was");
  nothing_bound_to('shop.' . value($node, q{SELECT quote_ident(relname) FROM pg_class JOIN backfill.job ON archive = pg_class.oid}),
    "published $time: nothing is bound to the archive");
  is(uses("published $time"), $uses, "published $time: everything works");

  value($node, q{SELECT backfill_rollback('all')});
  is(uses("rolled back $time, at once"), $uses, "rolled back $time: everything works at once");
  after_steps_done("rolled back $time: the steps after it are done");
  same(state_of_catalog(), $before, "rolled back $time: the catalog is as it was");
  nothing_bound_to('shop.' . value($node, q{SELECT quote_ident(relname) FROM pg_class JOIN backfill.job ON shadow = pg_class.oid}),
    "rolled back $time: nothing is bound to the rejected version");
}

value($node, q{SELECT backfill_publish('all')});
after_steps_done('published once more: the steps after it are done');
value($node, q{SELECT backfill_finish('all')});
same(state_of_catalog(), $before, 'finished: the catalog is as it was');
is(uses('finished'), $uses, 'finished: everything works');
is(value($node, q{SELECT count(*) FROM pg_class WHERE relname ~ '_(archive|backfill)_\d+$'}), '0', 'finished: nothing is left');

done_testing();
