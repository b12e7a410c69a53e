# DDL in mid-run, before the table is published for the first time: the job is paused in mid-copy, or ready.  Refused, handled, or
# told with a way out; never wrong data, never a stuck object.  The matrix is in Ddl.pm.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Ddl;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ddl_node('main');
in_mid_copy($node, 'a', 'paused');
ready($node, 'b', 0);
membership();
quiet_log($node);
done_testing();

# The job belongs to the owner's role, not to who planned it.
sub membership
{
  my $spec = spec('f_table', label => q{'new ' || id});
  value($node, qq{
    CREATE ROLE planner IN ROLE keeper;
    SET ROLE keeper;
    CREATE TABLE f_table AS SELECT i::bigint AS id, date '2024-01-01' + (i / 100)::integer AS day, 'old' AS label FROM generate_series(1, 400) AS i;
    ALTER TABLE f_table ADD PRIMARY KEY (id);
    SET SESSION AUTHORIZATION planner;
    SELECT backfill_plan(\$\$$spec\$\$);
    RESET SESSION AUTHORIZATION;
    REVOKE keeper FROM planner;
    SET SESSION AUTHORIZATION keeper;
    SELECT backfill_run('f_table')});
  wait_state($node, 'f_table', 'ready', 'a job goes on when its planner has left the role of the owner');
  refused($node, "SET SESSION AUTHORIZATION planner; SELECT backfill_$_('f_table')", '42704', "who has left the role of the owner cannot $_ it") foreach qw(publish cancel);
  value($node, q{SET SESSION AUTHORIZATION keeper; SELECT backfill_publish('f_table'); SELECT backfill_finish('f_table')});
  is(value($node, q{SELECT count(*) FROM f_table WHERE label <> 'new ' || id}), '0', 'who is in it can');
  nothing_left($node, 'membership: nothing is left');
  return;
}
