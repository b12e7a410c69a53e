# Row security on the target, and writers who may next to nothing: while a job runs, is ready and is published, what they may
# write they write, and it is in the version that comes; what they may read stays what they may read.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum = off', 'log_statement = none');
make_table($node, 't');
value($node, q{
  CREATE EXTENSION backfill;
  REVOKE USAGE ON SCHEMA backfill FROM PUBLIC;
  CREATE ROLE keeper;
  GRANT CREATE ON SCHEMA public TO keeper;
  GRANT USAGE ON SCHEMA backfill TO keeper;
  CREATE ROLE inserter LOGIN;
  CREATE ROLE columns LOGIN;
  CREATE ROLE guarded LOGIN;
  CREATE ROLE caller LOGIN;
  CREATE ROLE reader LOGIN;
  ALTER TABLE t OWNER TO keeper;
  SET ROLE keeper;
  CREATE FUNCTION write_for_others(n bigint) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public AS
    $$INSERT INTO t VALUES (n, '2024-01-05', 1, 'w'), (n + 1, '2024-01-05', 1, 'w'); UPDATE t SET day = '2024-01-06' WHERE id = n; DELETE FROM t WHERE id = n + 1$$;
  GRANT INSERT ON t TO inserter;
  GRANT INSERT (id, day), UPDATE (v), SELECT (id) ON t TO columns;
  GRANT ALL ON t TO guarded;
  GRANT SELECT ON t TO reader;
  CREATE POLICY adding ON t FOR INSERT TO inserter WITH CHECK (day > '2024-01-01');
  CREATE POLICY part ON t TO columns USING (id > 100) WITH CHECK (true);
  CREATE POLICY own ON t TO guarded USING (v = 77) WITH CHECK (v = 77);
  CREATE POLICY early ON t FOR SELECT TO reader USING (day < '2024-01-04');
  ALTER TABLE t ENABLE ROW LEVEL SECURITY});

sub run_as
{
  my ($role, $sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1' ]);
  return $status == 0 ? $out : $err;
}

my $round = 0;
sub all_write
{
  my ($when) = @_;
  my $n = 2000 + 100 * $round++;
  my @writes = (
    inserter => "INSERT INTO t VALUES ($n, '2024-01-03', 1, 'w')",
    columns => "INSERT INTO t (id, day) VALUES (@{[ $n + 10 ]}, '2024-01-04'); UPDATE t SET v = -id WHERE id IN (@{[ $n + 10 ]}, 110, @{[ 900 + $round ]})",
    guarded => "INSERT INTO t VALUES (@{[ $n + 20 ]}, '2024-01-05', 77, 'w'), (@{[ $n + 21 ]}, '2024-01-05', 77, 'w'); UPDATE t SET id = id + 2, day = '2024-01-02' WHERE id = @{[ $n + 20 ]}; DELETE FROM t WHERE id = @{[ $n + 21 ]}",
    caller => 'SELECT write_for_others(' . ($n + 30) . ')',
    postgres => "SET session_replication_role = replica; UPDATE t SET v = v + 1 WHERE id = 500; DELETE FROM t WHERE id = @{[ 600 + $round ]};\nCOPY t FROM STDIN;\n@{[ $n + 40 ]}\t2024-01-03\t1\tw\n\\.\n");
  while (my ($role, $sql) = splice @writes, 0, 2)
  {
    $role = value($node, 'SELECT current_user') if $role eq 'postgres';
    unlike(run_as($role, $sql), qr/ERROR/, "$when: $role writes");
  }
  like(run_as('guarded', "INSERT INTO t VALUES (@{[ $n + 90 ]}, '2024-01-05', 1, 'w')"), qr/42501/, '- and no policy is gone round');
  like(run_as('inserter', "INSERT INTO t VALUES (@{[ $n + 91 ]}, '2024-01-01', 1, 'w')"), qr/42501/, '- none at all');
  like(run_as('caller', 'SELECT FROM t'), qr/42501/, '- nor a privilege gained');
  return;
}

# What each may see, row by row but for the label.
sub seen { return join ' ', map { value($node, "SET ROLE $_->[0]; SELECT count(*) || '/' || coalesce(md5(string_agg($_->[1], ',' ORDER BY id)), '-') FROM t") } ([ 'guarded', q(concat(id, day, v)) ], [ 'reader', q(concat(id, day, v)) ], [ 'columns', 'id::text' ]) }

sub drained
{
  $node->poll_query_until('postgres', q{SELECT pending_keys = 0 FROM backfill.jobs WHERE name = 't'}) or diag('not drained');
  return;
}

close_gate($node, 't');
value($node, 'SELECT backfill_plan($$' . spec('t') . '$$)');
value($node, q{SELECT backfill_run('t')});
at_gate($node);
all_write('running');
open_gate($node, 't');
wait_state($node, 't', 'ready');
all_write('ready');
drained();
exact($node, 't', 'the new version has what they wrote');
my $shown = seen();
my $policies = value($node, q{SELECT string_agg(p::text, E'\n' ORDER BY policyname) FROM pg_policies AS p WHERE tablename = 't'});
like(value($node, q{SELECT backfill_publish('t')}), qr/^published/, 'published');
is(seen(), $shown, 'each reader sees the rows that he saw before');
is(value($node, q{SELECT string_agg(p::text, E'\n' ORDER BY policyname) FROM pg_policies AS p WHERE tablename = 't'}), $policies, '- by the same policies');
is(value($node, q{SELECT count(*) FROM t WHERE label = 'new ' || id}), value($node, q{SELECT count(*) FROM t WHERE day IS NOT NULL}), '- of the new version');
wait_state($node, 't', 'published');
all_write('published');
drained();
$shown = seen();
my $rows = 'SELECT md5(string_agg(concat_ws(\',\', id, day, v), E\'\n\' ORDER BY id)) FROM t';
my $before = value($node, $rows);
like(value($node, q{SELECT backfill_rollback('t')}), qr/^rolled back/, 'rolled back');
is(value($node, $rows), $before, 'what they wrote since is in the old version');
is(seen(), $shown, '- and each sees what he saw');
wait_state($node, 't', 'ready');
all_write('rolled back');
drained();

# FORCE binds the owner, as whom the work is done: from then on it cannot see all rows, and must not go on as if it did.
value($node, 'BEGIN; ALTER TABLE t FORCE ROW LEVEL SECURITY; UPDATE t SET v = v + 1 WHERE id = 700; COMMIT');
my $published = run_as(value($node, 'SELECT current_user'), q{SELECT backfill_publish('t')});
like($published, qr/ERROR:  (42501|55000): /, 'forced since, and the owner is bound: not published') or diag($published);
like(value($node, q{SELECT backfill_cancel('t')}), qr/^cancelled/, '- but cancelled');
refused($node, 'SELECT backfill_plan($$' . spec('t') . '$$)', '0A000', 'FORCE with an owner whom it binds is refused at plan time');
value($node, 'ALTER ROLE keeper BYPASSRLS');
value($node, 'REVOKE USAGE ON SCHEMA backfill FROM keeper');
like(run_as(value($node, 'SELECT current_user'), 'SELECT backfill_plan($$' . spec('t') . '$$)'), qr/42501: .*HINT: .*GRANT USAGE ON SCHEMA backfill TO "keeper"/s, 'the owner must be able to use the schema of the checks');
value($node, 'GRANT USAGE ON SCHEMA backfill TO keeper');
like(value($node, 'SELECT backfill_plan($$' . spec('t') . '$$)'), qr/backfill_run/, '- with one whom it does not bind it is planned');
value($node, q{SELECT backfill_run('t')});
wait_state($node, 't', 'ready');
$shown = seen();
value($node, q{SELECT backfill_publish('t')});
is(seen(), $shown, '- and published');
is(value($node, q{SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = 't'::regclass}), 't', '- and still forced');
value($node, q{SELECT backfill_finish('t')});

$node->stop;
done_testing();
