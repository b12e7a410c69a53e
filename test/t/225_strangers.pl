# Who sees what, and who may do what: views and functions are taken from the catalog, so that no new one is forgotten.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum = off', 'log_statement = none');
value($node, q{
  CREATE EXTENSION backfill;
  CREATE ROLE keeper;
  CREATE ROLE member LOGIN IN ROLE keeper;
  CREATE ROLE stranger LOGIN;
  CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
  CREATE ROLE statistician LOGIN IN ROLE pg_read_all_stats;
  CREATE ROLE planner LOGIN IN ROLE keeper;
  CREATE ROLE publisher LOGIN IN ROLE keeper;
  CREATE SCHEMA app AUTHORIZATION keeper;
  GRANT USAGE ON SCHEMA app TO PUBLIC;
  GRANT CREATE ON SCHEMA public TO stranger;
  SET ROLE keeper;
  CREATE FUNCTION app.refresh() RETURNS integer LANGUAGE sql AS 'SELECT 1'});
foreach my $job (qw(planned ready published))
{
  value($node, qq{
    SET ROLE keeper;
    CREATE TABLE app.$job (id bigint PRIMARY KEY, day date, label text);
    INSERT INTO app.$job SELECT i, date '2024-01-01' + i / 10, 'old' FROM generate_series(0, 29) AS i;
    CREATE VIEW app.v_$job AS SELECT * FROM app.$job;
    SELECT backfill_plan(\$\${name: $job, scope: {table: app.$job, column: day, start: 2024-01-01, stop: 2024-01-03}, transform: {set: {label: "'new'"}},
      strategy: {chunk_by: day}, checks: [{check: expression, sql: "id <> 7", store_failures: true, name: seven}, {check: expression, sql: "id <> 8", name: eight, severity: warn}],
      downstream: [{name: d, refresh: "SELECT app.refresh()"}]}\$\$)});
  value($node, qq{SELECT backfill_run('$job')}) if $job ne 'planned';
}
foreach my $job (qw(ready published))
{
  wait_state($node, $job, 'ready');
  value($node, qq{SELECT backfill_diff('$job')});
}
value($node, q{SELECT backfill_waive('published', 'seven', 'known'); SELECT backfill_publish('published')});
wait_state($node, 'published', 'published');
value($node, q{CALL backfill_wait('published')});
# What no job of this test comes to by itself: a replica, a message.
value($node, q{
  INSERT INTO backfill.delivery (job_id, event, status, ended_at) SELECT id, 'started', 'sent', now() FROM backfill.job;
  INSERT INTO backfill.replica (job_id, mark, marked_at) SELECT id, gen_random_uuid(), '0/1' FROM backfill.job;
  CREATE TABLE kept AS SELECT id, spec FROM backfill.job;
  UPDATE backfill.job SET spec = jsonb_set(spec::jsonb, '{read_from}', '"r"')::json WHERE name = 'planned';
  INSERT INTO backfill.suspension (job_id, cron_jobid, cron_job, cron_user, was_active) SELECT id, 1, 'c', 'u', true FROM backfill.job});

sub run_as
{
  my ($role, $sql) = @_;
  my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1' ]);
  return $status == 0 ? $out : $err;
}

# -- relations of the schema

my @relations = split /\n/, value($node, q{
  SELECT c.oid::regclass || ' ' || c.relkind::text FROM pg_class AS c WHERE c.relnamespace = 'backfill'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') ORDER BY 1});
cmp_ok(scalar @relations, '>', 25, 'the relations of the schema');
my $for_people = 0;
foreach (@relations)
{
  my ($relation, $kind) = split / /;
  my $count = "SELECT count(*) > 0 FROM $relation";
  my $stranger = run_as('stranger', $count);
  if ($stranger =~ /42501/)
  {
    my @others = grep { run_as($_, $count) !~ /42501/ } qw(member monitor statistician);
    is("@others", '', "$relation: only the extension reads it");
  }
  else
  {
    $for_people++;
    is(join(' ', map { run_as($_, $count) } qw(stranger statistician member monitor postgres)), 'f f t t t', "$relation: strangers see no row, members and pg_monitor do");
    is(run_as('stranger', "SELECT count(*) FROM $relation WHERE name || random()::text <> ''"), '0', '- nor through a condition');
  }
  next if $kind eq 'S';
  like(run_as('member', $_), qr/42501|55000|0A000/, "- nobody writes to it: $_") foreach "DELETE FROM $relation", "UPDATE $relation SET " . value($node, "SELECT quote_ident(attname) || ' = NULL' FROM pg_attribute WHERE attrelid = '$relation'::regclass AND attnum > 0 AND attidentity = '' ORDER BY attnum LIMIT 1");
}
cmp_ok($for_people, '>=', 11, 'views for people');

# -- functions

my %job_of = (backfill_run => 'planned', backfill_rollback => 'published', backfill_finish => 'published', backfill_sample => 'planned');
my %value_of = (target => q('app.ready'), spec => q($${name: mine, scope: {table: app.ready, column: day, start: 2024-01-01, stop: 2024-01-03}, transform: {set: {label: "'x'"}}}$$),
  check => q('seven'), reason => q('because'), value => q('2024-01-01'), chunk => '1', samples => '1', chunks => '1', set => q('{"label": "''x''"}'), parallelism => '3');
my @functions = map { [ split /\|/ ] } split /\n/, value($node, q{
  SELECT concat_ws('|', p.proname, p.prokind, p.provariadic <> 0, p.proargnames[:greatest(p.pronargs - p.pronargdefaults, 1)]::text)
    FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
   WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'backfill') AND p.pronamespace = 'public'::regnamespace
   ORDER BY p.proname, p.pronargs});
my $state_sql = q{SELECT string_agg(x, E'\n' ORDER BY x) FROM (SELECT concat_ws(' ', id, name, state, request, parallelism, retention, audit, spec) FROM backfill.job
  UNION ALL SELECT e::text FROM backfill.event AS e UNION ALL SELECT w::text FROM backfill.waiver AS w UNION ALL SELECT d::text FROM backfill.delivery AS d UNION ALL SELECT y::text FROM backfill.difference AS y) AS a (x)};
my $state = value($node, $state_sql);
my $objects = inventory($node);
my $refused = 0;
foreach (@functions)
{
  my ($function, $kind, $variadic, $names) = @$_;
  my @names = split /,/, $names =~ s/[{}"]//gr;
  push @names, 'parallelism' if $function eq 'backfill_alter';
  push @names, qw(set chunk_column start stop) if "@names" eq 'name target';
  my %more = (chunk_column => q('day'), start => q('2024-01-01'), stop => q('2024-01-03'));
  my $job = $job_of{$function} // 'ready';
  my @given = map { $_ eq 'name' ? "name => '" . ("@names" =~ /target/ ? 'mine' : $job) . "'" : $_ eq 'names' ? "'$job'" : defined($value_of{$_} // $more{$_}) ? "\"$_\" => " . ($value_of{$_} // $more{$_}) : () } @names;
  my $call = ($kind eq 'p' ? 'CALL ' : 'SELECT * FROM ') . "$function(" . join(', ', @given) . ')';
  if ($function eq 'backfill_maintain')
  {
    like(run_as('stranger', $call), qr/^0 coordinators restarted, 0 archives dropped/, "a stranger's backfill_maintain does nothing");
    next;
  }
  if ($function eq 'backfill_provenance')
  {
    is(run_as('stranger', "SELECT * FROM backfill_provenance('app.published', '2024-01-01')"), '', 'a stranger is told of no provenance');
    next;
  }
  # Where there is nothing to see, nobody is told that there is anything.
  my $plans = $function eq 'backfill_plan';
  like(run_as('stranger', $call), $plans ? qr/42501: .*HINT:  \S/s : qr/42704: .*HINT:  \S/s, "$function is refused to a stranger");
  like(run_as('monitor', $call), qr/42501: .*HINT:  \S/s, '- and to a monitor') if $function !~ /^backfill_(report|runbook|wait)$/;
  $refused++;
}
cmp_ok($refused, '>=', 18, 'all functions were called');
unlike(run_as('monitor', q{SELECT backfill_report('ready')}), qr/ERROR/, 'a monitor reads the report');
like(run_as('stranger', "SELECT * FROM backfill.$_"), qr/^$/, "and nothing is told by backfill.$_")
  foreach q{pending_keys((SELECT 2)) AS k WHERE k IS NOT NULL}, q{look_back(3)};
same(value($node, $state_sql), $state, 'nothing of the jobs was changed');
same(inventory($node), $objects, 'nor anything else');

# A name is not taken from those who used it by somebody who uses it for a table of his own.
value($node, q{SELECT backfill_finish('published')});
is(run_as('stranger', q~CREATE TABLE public.mine (id bigint PRIMARY KEY, day date, label text);
  SELECT count(*) > 1 FROM backfill_plan($${name: published, scope: {table: mine, column: day, start: 2024-01-01, stop: 2024-01-03}, transform: {set: {label: "'x'"}}}$$)~), 't', 'a stranger plans by a name that was used');
like(run_as('member', q{SELECT backfill_report('published')}), qr/app\.published/, '- and its last job is still told to those whose it was');
like(run_as('member', q{SELECT backfill_cancel('published')}), qr/55000/, '- who cannot touch the other');
like(run_as('stranger', q{SELECT backfill_report('published')}), qr/public\.mine/, '- as he cannot theirs');
like(run_as('stranger', q{SELECT backfill_cancel('published')}), qr/^cancelled/, '- but his own');

# -- planner and publisher

value($node, q{
  UPDATE backfill.job AS j SET spec = k.spec FROM kept AS k WHERE k.id = j.id AND j.name = 'planned';
  REVOKE EXECUTE ON FUNCTION backfill_publish(text[]), backfill_rollback(text, text[]), backfill_waive(text, text, text) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION backfill_publish(text[]), backfill_rollback(text, text[]), backfill_waive(text, text, text) TO publisher;
  REVOKE EXECUTE ON FUNCTION backfill_plan(text), backfill_run(text) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION backfill_plan(text), backfill_run(text) TO planner});
like(run_as('publisher', q{SELECT backfill_plan('{name: x}')}), qr/42501/, 'who publishes does not plan');
like(run_as('publisher', q{SELECT backfill_run('planned')}), qr/42501/, '- nor run');
like(run_as('planner', $_), qr/42501/, "who plans is refused: $_") foreach q{SELECT backfill_publish('ready')}, q{SELECT backfill_waive('ready', 'seven', 'x')}, q{SELECT backfill_rollback('ready')};
like(run_as('planner', q{SELECT backfill_run('planned')}), qr/started/, 'who plans runs');
wait_state($node, 'planned', 'ready');
like(run_as('publisher', q{SELECT backfill_waive('ready', 'seven', 'known'); SELECT backfill_publish('ready')}), qr/published ready/, 'who publishes waives and publishes');

$node->stop;
done_testing();
