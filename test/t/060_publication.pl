# A subscriber of the target, with a row filter and a list of columns, goes on through run, publish, rollback and the end:
# it gets every write, none of the recomputed rows, and its apply worker never meets an error.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher', 'wal_level = logical', 'max_wal_senders = 8', 'max_replication_slots = 8');
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;

value($publisher, 'CREATE EXTENSION backfill');
make_table($publisher, 'sales');
value($publisher, 'CREATE TABLE beside (id integer PRIMARY KEY)');
value($publisher, 'CREATE PUBLICATION evens FOR TABLE sales (id, day, label) WHERE (id % 2 = 0), beside');
value($publisher, 'CREATE PUBLICATION inserted FOR TABLE sales (id, day, label) WHERE (id > 100000) WITH (publish = insert)');
value($subscriber, 'CREATE TABLE sales (id bigint PRIMARY KEY, label text, day date); CREATE TABLE beside (id integer PRIMARY KEY)');
value($subscriber, "CREATE SUBSCRIPTION sub CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION evens, inserted");
$subscriber->wait_for_subscription_sync($publisher, 'sub');

sub subscribed
{
  my ($where) = @_;
  $publisher->wait_for_catchup('sub');
  return value($subscriber, "SELECT string_agg(id || ' ' || label, ', ' ORDER BY id) FROM sales WHERE $where");
}

# Writes around `id` (even), and what of them must arrive: an insert, an update, a delete, a row that the filter keeps back,
# and updates that make a row leave the filter and enter it.
sub writes_arrive
{
  my ($id, $when) = @_;
  my ($second, $third, $odd, $far) = ($id + 2, $id + 4, $id + 1, $id + 100001);
  value($publisher, "INSERT INTO sales SELECT i, '2024-01-05', 1, '$when' FROM generate_series($id, $id + 5) AS i");
  value($publisher, "INSERT INTO sales VALUES ($far, '2024-01-05', 1, '$when')");
  value($publisher, "UPDATE sales SET label = 'again $when' WHERE id = $second");
  value($publisher, "DELETE FROM sales WHERE id = $third");
  value($publisher, "UPDATE sales SET id = id + 20 WHERE id = $odd");
  value($publisher, "UPDATE sales SET id = id + 7 WHERE id = $id");
  value($publisher, "UPDATE sales SET id = id + 9 WHERE id = $id + 3");
  is(subscribed("id BETWEEN $id AND $id + 25 OR id = $far"),
    join(', ', "$second again $when", ($id + 12) . " $when", "$far $when"),
    "writes $when arrive");
  return;
}

writes_arrive(2000, 'before');

close_gate($publisher, 'sales');
value($publisher, "SELECT backfill_plan(\$\$" . spec('sales') . "\$\$)");
value($publisher, q{SELECT backfill_run('sales')});
at_gate($publisher);
writes_arrive(2100, 'in mid-copy');
open_gate($publisher, 'sales');
wait_state($publisher, 'sales', 'ready');
writes_arrive(2200, 'when it is ready');

value($publisher, q{SELECT backfill_publish('sales')});
writes_arrive(2300, 'after the publish');
is(subscribed('id IN (10, 998)'), '10 old, 998 old', 'the recomputed rows are not sent');
value($publisher, q{UPDATE sales SET v = v + 1 WHERE id = 10});
is(subscribed('id IN (10, 998)'), '10 new 10, 998 old', 'but they are when somebody writes to them');

value($publisher, q{SELECT backfill_rollback('sales')});
writes_arrive(2400, 'after the rollback');
value($publisher, q{SELECT backfill_publish('sales')});
writes_arrive(2500, 'after the second publish');
value($publisher, q{SELECT backfill_finish('sales')});
writes_arrive(2600, 'after the end');

# What the operations manual says of copying the table anew.
value($publisher, 'ALTER PUBLICATION evens DROP TABLE sales; ALTER PUBLICATION inserted DROP TABLE sales');
value($subscriber, 'ALTER SUBSCRIPTION sub REFRESH PUBLICATION');
value($subscriber, 'TRUNCATE sales');
value($publisher, 'ALTER PUBLICATION evens ADD TABLE sales (id, day, label) WHERE (id % 2 = 0)');
value($subscriber, 'ALTER SUBSCRIPTION sub REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($publisher, 'sub');
my $rows = q{SELECT md5(string_agg(row(id, day, label)::text, ',' ORDER BY id)) FROM sales WHERE id % 2 = 0};
$publisher->wait_for_catchup('sub');
is(value($subscriber, $rows), value($publisher, $rows), 'copied anew the subscriber has the recomputed rows');

is(value($subscriber, q{SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats WHERE subname = 'sub'}),
  '0', 'the subscriber never met an error');
unlike(slurp_file($subscriber->logfile), qr/ERROR/, 'and logged none');

$subscriber->stop;
$publisher->stop;
done_testing();
