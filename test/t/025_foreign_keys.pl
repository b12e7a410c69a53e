# Foreign keys under load: eight clients insert, delete and cascade through the keys between two tables all the time, while
# both are published and rolled back, together and one by one.  Nobody may see an error; at the end every key is what
# it was, valid, and holds; nothing else is left.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('keys', 'max_connections = 40', 'log_statement = none');
my $rows = 3000;

value($node, qq{
  CREATE EXTENSION backfill;
  CREATE TABLE parent (id int PRIMARY KEY, v int NOT NULL, favourite bigint);
  CREATE TABLE child (id bigserial PRIMARY KEY, parent int NOT NULL REFERENCES parent ON DELETE CASCADE, v int NOT NULL);
  CREATE TABLE toy (parent int REFERENCES parent ON DELETE SET NULL, child bigint REFERENCES child ON DELETE CASCADE);
  CREATE INDEX ON child (parent);
  CREATE INDEX ON toy (parent);
  CREATE INDEX ON toy (child);
  INSERT INTO parent SELECT i, i FROM generate_series(1, $rows) i;
  INSERT INTO child (parent, v) SELECT i % $rows + 1, i FROM generate_series(1, 3 * $rows) i;
  INSERT INTO toy SELECT parent, id FROM child;
  ALTER TABLE parent ADD FOREIGN KEY (favourite) REFERENCES child ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
  CREATE TABLE keys_before AS SELECT conrelid::regclass::text AS r, conname, pg_get_constraintdef(oid) AS d FROM pg_constraint
   WHERE contype = 'f' AND connamespace = 'public'::regnamespace;
  VACUUM ANALYZE});
value($node, "SELECT backfill_plan('parents', 'parent', set => '{\"v\": \"v + 1\"}', chunk_by => 'blocks')");
value($node, "SELECT backfill_plan('children', 'child', set => '{\"v\": \"v + 1\"}', chunk_by => 'blocks')");
value($node, "SELECT backfill_run(name) FROM backfill.jobs");

# What users do, each in one transaction.  A parent that is to get a child is locked first, or it may be deleted in between.
my %work = (
  'child@8' => "\\set p random(1, $rows)\n"
    . "WITH c AS (INSERT INTO child (parent, v) SELECT id, 0 FROM parent WHERE id = :p FOR KEY SHARE RETURNING id, parent)\n"
    . "INSERT INTO toy SELECT parent, id FROM c;\n",
  'two_steps@1' => "\\set p random(1, $rows)\nBEGIN;\n"
    . "INSERT INTO parent VALUES (:p, 0) ON CONFLICT (id) DO UPDATE SET v = parent.v + 1;\n"
    . "INSERT INTO child (parent, v) VALUES (:p, 1);\nEND;\n",
  'parent@2' => "\\set p random(1, $rows)\nINSERT INTO parent VALUES (:p, 0) ON CONFLICT DO NOTHING;\n",
  'bury@1' => "\\set p random(1, $rows)\nDELETE FROM parent WHERE id = :p;\n",
  'like@2' => "\\set p random(1, $rows)\nUPDATE parent SET v = v + 1 WHERE id = :p;\n",
  'read@2' => "\\set p random(1, $rows)\nSELECT count(*) FROM parent JOIN child ON child.parent = parent.id WHERE parent.id = :p;\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
foreach my $name (sort keys %work)
{
  my ($file, $weight) = split /@/, $name;
  append_to_file("$dir/$file.sql", $work{$name});
  push @files, '-f', "$dir/$file.sql\@$weight";
}

wait_state($node, $_, 'ready') foreach qw(parents children);
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
  [ 'pgbench', '-n', '-c', 8, '-j', 8, '-R', 200, '-T', 3600, '-M', 'prepared', '-l', "--log-prefix=$dir/client", @files, $node->connstr('postgres') ],
  '>', \$out, '2>', \$err);

sub work_done { return value($node, "SELECT last_value FROM child_id_seq"); }

sub let_clients_work
{
  my $until = work_done() + 100;
  $node->poll_query_until('postgres', "SELECT last_value >= $until FROM child_id_seq") or die 'the clients do not work';
  return;
}

my $held = 0;
foreach my $call (
  "publish('parents', 'children')", "rollback('children')", "rollback('parents')", "publish('parents')",
  "publish('children')", "rollback('parents')")
{
  let_clients_work();
  my ($status, $said, $message) = $node->psql('postgres', "SELECT backfill_$call");
  is($status, 0, "$call while clients work") or diag($message);
  note($said);
  $held = $1 if $said =~ /held them (\d+) ms/ && $1 > $held;
}
let_clients_work();
ok($load->pumpable, 'the clients worked until they were stopped');
$load->kill_kill;
is(join("\n", grep { /error|abort|fail/i } split /\n/, $err), '', 'no client saw an error');

my $longest = 0;
foreach my $log (glob "$dir/client*")
{
  foreach my $line (split /\n/, slurp_file($log))
  {
    my $micros = (split / /, $line)[2];
    $longest = $micros if $micros =~ /^\d+$/ && $micros > $longest;
  }
}
note(sprintf 'locks were held for %d ms at most; the longest transaction took %.0f ms', $held, $longest / 1000);

$node->poll_query_until('postgres',
  "SELECT count(*) = 0 FROM backfill.steps WHERE phase = 'after' AND status <> 'done'") or diag('steps are left');
is(value($node, q{SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
   WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conname !~ '^backfill' EXCEPT TABLE keys_before}), '',
  'every key is what it was, and valid');
is(value($node, q{SELECT (SELECT count(*) FROM child WHERE parent NOT IN (SELECT id FROM parent))
   + (SELECT count(*) FROM toy WHERE parent NOT IN (SELECT id FROM parent) OR child NOT IN (SELECT id FROM child))
   + (SELECT count(*) FROM parent WHERE favourite NOT IN (SELECT id FROM child))}), 0, 'and holds');
value($node, "SELECT backfill_finish('children'), backfill_cancel('parents')");
is(value($node, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"), 4,
  'no other key is left');
$node->stop;
done_testing();
