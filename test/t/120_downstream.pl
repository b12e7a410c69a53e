# What is downstream: real pg_cron jobs rest while a backfill is at work and run again whatever becomes of it; declared
# refreshes run in order after every swap, are tried again, and survive a crash.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
  'main',
  "shared_preload_libraries = 'pg_cron'",
  "cron.database_name = 'postgres'",
  'cron.use_background_workers = on');
value($node, 'CREATE EXTENSION backfill; CREATE EXTENSION pg_cron');
value($node, q{
  CREATE TABLE told (n integer GENERATED ALWAYS AS IDENTITY, what text);
  CREATE FUNCTION tell(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.told (what) VALUES ($1)';
  SELECT cron.schedule('nightly', '0 3 1 1 *', 'SELECT 1');
  SELECT cron.schedule('idle', '0 3 1 1 *', 'SELECT 1');
  UPDATE cron.job SET active = false WHERE jobname = 'idle'});

# Declared in an order that is not the one to run in.
my $declared = q~[{name: monthly, refresh: "SELECT tell('monthly')", depends_on: daily, cron_job: nightly}, ~
  . q~{name: daily, refresh: "SELECT tell('daily')", cron_job: idle}]~;

sub plan_job
{
  my ($table, $downstream, %with) = @_;
  my $spec = spec($table, %with);
  $spec =~ s/\}$/, downstream: $downstream}/;
  value($node, "SELECT backfill_plan(\$\$$spec\$\$)");
  return;
}

sub act
{
  my ($function, $name) = @_;
  return value($node, "SELECT backfill_$function('$name')");
}

# Which pg_cron jobs are on.
sub active
{
  return value($node, q{SELECT coalesce(string_agg(jobname, ' ' ORDER BY jobname), 'none') FROM cron.job WHERE active});
}

sub wait_active
{
  my ($expected, $test) = @_;
  $node->poll_query_until('postgres',
    "SELECT coalesce(string_agg(jobname, ' ' ORDER BY jobname), 'none') = '$expected' FROM cron.job WHERE active");
  is(active(), $expected, $test);
  return;
}

sub outcomes
{
  my ($name) = @_;
  return value($node, q{SELECT coalesce(string_agg(s.cron_job || ' ' || coalesce(s.outcome, 'rests'), ', ' ORDER BY s.id), '')}
      . qq{ FROM backfill.suspension s JOIN backfill.job j ON j.id = s.job_id WHERE j.name = '$name'});
}

sub wait_settled
{
  my ($name, $times) = @_;
  ok($node->poll_query_until('postgres',
      "SELECT count(*) = $times FROM backfill.events WHERE name = '$name' AND event = 'downstream_notice' AND detail LIKE 'after %'"),
    "$name: those affected are told when all is done");
  return;
}

sub told
{
  my $what = value($node, q{SELECT string_agg(what, ' ' ORDER BY n) FROM told});
  value($node, 'TRUNCATE told');
  return $what;
}

# -- from the first step to the last

make_table($node, 'sales');
close_gate($node, 'sales');
plan_job('sales', $declared);
is(active(), 'nightly', 'a plan changes nothing');
act('run', 'sales');
at_gate($node);
is(active(), 'none', 'at work: pg_cron jobs rest');
is(value($node, q{SELECT downstream || ' ' || (suspended_at IS NOT NULL) FROM backfill.downstream WHERE cron_job = 'nightly'}),
  'monthly true', 'and the view tells since when');
like(value($node, q{SELECT detail FROM backfill.events WHERE name = 'sales' AND event = 'downstream_notice'}),
  qr/^before start: declared: monthly, daily/, 'those affected were told before');
open_gate($node, 'sales');
wait_state($node, 'sales', 'ready');
is(active(), 'none', 'ready: still');
is(told(), '', 'nothing has been refreshed');
act('publish', 'sales');
wait_settled('sales', 1);
is(told(), 'daily monthly', 'after publish: in order, once each');
is(active(), 'nightly', 'and what was on is on again, what was off is off');
is(outcomes('sales'), 'nightly restored, idle was inactive', 'as the record says');

act('rollback', 'sales');
wait_settled('sales', 2);
is(told(), 'daily monthly', 'after a rollback they run again');
is(active(), 'nightly', 'pg_cron jobs too');
act('cancel', 'sales');
is(told(), '', 'a cancel after that runs nothing twice');

# -- cancelled, failed, paused

close_gate($node, 'sales');
plan_job('sales', $declared);
act('run', 'sales');
at_gate($node);
is(active(), 'none', 'a second backfill');
act('cancel', 'sales');
is(active(), 'nightly', 'cancelled: on again at once');
open_gate($node, 'sales');

make_table($node, 'broken');
value($node, q{
  CREATE TABLE stone (id bigint);
  INSERT INTO stone VALUES (450);
  CREATE FUNCTION stumble(id bigint) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    IF EXISTS (SELECT FROM public.stone AS s WHERE s.id = $1) THEN RAISE EXCEPTION 'a stone in the way'; END IF;
    RETURN public.gate_of_broken(id);
  END $$});
plan_job('broken', $declared, label => 'stumble(id)');
act('run', 'broken');
wait_state($node, 'broken', 'failed');
is(active(), 'nightly', 'failed: on again, as nobody may look until morning');
close_gate($node, 'broken');
value($node, 'DELETE FROM stone');
act('run', 'broken');
at_gate($node);
is(active(), 'none', 'resumed: off again');
act('pause', 'broken');
open_gate($node, 'broken');
wait_state($node, 'broken', 'paused');
is(active(), 'nightly', 'paused: on');
act('run', 'broken');
wait_state($node, 'broken', 'ready');
is(active(), 'none', 'resumed and ready: off');

# -- somebody changes it meanwhile

value($node, q{SELECT cron.alter_job(jobid, active => true) FROM cron.job WHERE jobname = 'nightly'});
value($node, q{SELECT cron.alter_job(jobid, schedule => '0 4 1 1 *') FROM cron.job WHERE jobname = 'idle'});
act('cancel', 'broken');
is(active(), 'nightly', 'switched on by hand: left as it is');
is( outcomes('broken'),
  'nightly restored, idle was inactive, nightly restored, idle was inactive, nightly already active, idle was inactive',
  'every rest is on record');

# -- two backfills at a time

make_table($node, 'other');
plan_job('sales', $declared);
plan_job('other', $declared);
act('run', $_) foreach qw(sales other);
wait_state($node, $_, 'ready') foreach qw(sales other);
act('cancel', 'sales');
is(active(), 'none', 'one of two has ended: the other still rests it');
act('publish', 'other');
wait_settled('other', 1);
is(active(), 'nightly', 'the last one switches it on');
is(told(), 'daily monthly', 'and only the published one refreshed');
act('finish', 'other');

# -- somebody holds its row: nobody waits, and maintenance ends the rest

plan_job('sales', $declared);
act('run', 'sales');
wait_state($node, 'sales', 'ready');
value($node, q{BEGIN; SELECT jobid FROM cron.job WHERE jobname = 'nightly' FOR UPDATE; PREPARE TRANSACTION 'holds it'});
act('cancel', 'sales');
is(active(), 'none', 'cancelled while its row is locked: not waited for');
value($node, q{COMMIT PREPARED 'holds it'});
like(value($node, 'SELECT backfill_maintain()'), qr/1 pg_cron jobs released/, 'maintenance ends the rest');
is(active(), 'nightly', 'and it is on again');

# -- crashes

make_table($node, 'crash');
close_gate($node, 'crash');
plan_job('crash', $declared);
act('run', 'crash');
my $worker = at_gate($node);
is(active(), 'none', 'at work');
$node->stop('immediate');
$node->start;
is(active(), 'none', 'after a crash of the server it still rests');
$node->poll_query_until('postgres', q{SELECT backfill_maintain() LIKE '1 coordinators%'});
$worker = at_gate($node);
crash($node, $worker);
$node->poll_query_until('postgres', q{SELECT state = 'running' FROM backfill.jobs WHERE name = 'crash'});
open_gate($node, 'crash');
value($node, 'SELECT backfill_maintain()');
wait_state($node, 'crash', 'ready');
is(active(), 'none', 'through two crashes it rested');

# A refresh dies with the server in its middle: it is undone, and done again.
value($node, q{
  CREATE OR REPLACE FUNCTION tell(what text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO public.told (what) VALUES ($1);
    PERFORM pg_advisory_xact_lock_shared('public.told'::regclass::integer);
  END $$});
close_gate($node, 'told');
act('publish', 'crash');
$worker = at_gate($node);
crash($node, $worker);
open_gate($node, 'told');
value($node, 'SELECT backfill_maintain()');
wait_settled('crash', 1);
is(told(), 'daily monthly', 'refreshes run once each, through a crash in the first');
is(active(), 'nightly', 'and pg_cron jobs are back');

# -- a rollback does not wait for a refresh that reads the table: it has it interrupted, and done again

value($node, q{
  CREATE OR REPLACE FUNCTION tell(what text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO public.told (what) SELECT $1 FROM public.sales WHERE id = 1;
    PERFORM pg_advisory_xact_lock_shared('public.told'::regclass::integer);
  END $$});
plan_job('sales', $declared);
act('run', 'sales');
wait_state($node, 'sales', 'ready');
close_gate($node, 'told');
act('publish', 'sales');
at_gate($node);
is(active(), 'none', 'while refreshes run, pg_cron jobs rest');
act('rollback', 'sales');
at_gate($node);
is(value($node, 'SELECT count(*) FROM told'), '0', 'rolled back although a refresh was reading the table');
open_gate($node, 'told');
wait_settled('sales', 3);
is(told(), 'daily monthly', 'and the refreshes are those of the rollback');
is(value($node, q{SELECT string_agg(attempts::text, ' ') FROM backfill.steps WHERE kind = 'downstream'
    AND id = (SELECT max(id) FROM backfill.jobs WHERE name = 'sales')}), '1 1', 'no attempt was spent');
is(active(), 'nightly', 'pg_cron jobs are on again');
act('cancel', 'sales');

# -- an error that passes is tried again; one that does not holds back only what depends on it

value($node, q{
  CREATE SEQUENCE tries;
  CREATE OR REPLACE FUNCTION tell(what text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    IF what = 'daily' AND nextval('public.tries') < 3 THEN
      RAISE EXCEPTION 'not yet' USING ERRCODE = '40001';
    END IF;
    IF what = 'never' THEN RAISE EXCEPTION 'never'; END IF;
    INSERT INTO public.told (what) VALUES ($1);
  END $$});
plan_job('sales', q~[{name: monthly, refresh: "SELECT tell('monthly')", depends_on: daily, cron_job: nightly}, ~
    . q~{name: daily, refresh: "SELECT tell('daily')"}, {name: never, refresh: "SELECT tell('never')"}, ~
    . q~{name: held, refresh: "SELECT tell('held')", depends_on: [never, daily]}]~);
act('run', 'sales');
wait_state($node, 'sales', 'ready');
act('publish', 'sales');
wait_settled('sales', 4);
is(told(), 'daily monthly', 'tried again until it passes; independent ones go on');
is( value($node, q{SELECT string_agg(downstream || ' ' || status || ' ' || coalesce(error, ''), '; ' ORDER BY position)
    FROM backfill.downstream d WHERE name = 'sales' AND kind = 'declared' AND id = (SELECT max(id) FROM backfill.jobs WHERE name = 'sales')}),
  'daily done ; never failed never; monthly done ; held failed held back: "refresh never" failed, on which it depends',
  'the failed one holds back what depends on it');
is(value($node, q{SELECT attempts FROM backfill.steps WHERE name = 'sales' AND title = 'refresh daily' ORDER BY id DESC LIMIT 1}),
  '3', 'the third attempt passed');
is(active(), 'nightly', 'pg_cron jobs are back although one failed');
value($node, q{CREATE OR REPLACE FUNCTION tell(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.told (what) VALUES ($1)'});
act('run', 'sales');
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM told});
is(told(), 'never held', 'put right, the two go on');
wait_active('nightly', 'with the pg_cron job on again');
act('finish', 'sales');

# -- it is gone when the work ends

plan_job('other', $declared);
act('run', 'other');
wait_state($node, 'other', 'ready');
value($node, q{SELECT cron.unschedule('nightly')});
act('cancel', 'other');
is(outcomes('other') =~ s/.*, //r, 'idle was inactive', 'one is gone, the other is not');
like(outcomes('other'), qr/nightly gone/, 'no error');

# -- who may, and where

value($node, q{
  CREATE ROLE analyst LOGIN;
  CREATE TABLE hers (id int PRIMARY KEY, v int);
  ALTER TABLE hers OWNER TO analyst;
  GRANT USAGE ON SCHEMA cron TO analyst;
  SET ROLE analyst;
  SELECT cron.schedule('hers', '0 3 1 1 *', 'SELECT 1');
  RESET ROLE;
  CREATE DATABASE elsewhere});
my $hers = q{{name: hers, scope: {table: hers}, transform: {set: {v: v + 1}}, strategy: {chunk_by: blocks}, downstream: [{name: x, cron_job: %s}]}};
refused($node, 'SET ROLE analyst; SELECT backfill_plan($$' . sprintf($hers, 'idle') . '$$)', '42501', 'a pg_cron job of somebody else');
refused($node, 'SET ROLE analyst; SELECT backfill_plan($$' . sprintf($hers, 'her') . '$$)', '42704', 'one that does not exist');
value($node, 'SET ROLE analyst; SELECT backfill_plan($$' . sprintf($hers, 'hers') . '$$)');
act('run', 'hers');
wait_state($node, 'hers', 'ready');
is(active(), 'none', 'her own rests');
value($node, q{SET ROLE analyst; SELECT backfill_cancel('hers')});
is(active(), 'hers', 'and is back, by her own cancel, who may not change cron.job');
value($node, 'CREATE EXTENSION backfill; CREATE TABLE hers (id int PRIMARY KEY, v int)', 'elsewhere');
my ($status, $out, $err) = $node->psql('elsewhere', 'SELECT backfill_plan($$' . sprintf($hers, 'hers') . '$$)');
like($err, qr/there is no pg_cron in database "elsewhere".*"postgres" \(cron.database_name\)/s, 'another database: it says which');
# A schema that only looks like it.
value($node, q{CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint, jobname text, username text, active boolean)}, 'elsewhere');
($status, $out, $err) = $node->psql('elsewhere', 'SELECT backfill_plan($$' . sprintf($hers, 'hers') . '$$)');
like($err, qr/there is no pg_cron in database/, 'a table that only looks like it is not touched');

$node->stop;
done_testing();
