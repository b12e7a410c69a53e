# Progress messages reach a web server that is slow, fails, redirects or is gone; and the job does not care.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Endpoint;
use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $endpoint = Endpoint->start;
my $place = $endpoint->place;
my $node = new_node('webhook', 'autovacuum = off', "backfill.webhook_hosts = '$place'");
value($node, 'CREATE EXTENSION backfill');

sub allow
{
  my ($hosts) = @_;
  value($node, $_) foreach "LOAD 'backfill'; ALTER SYSTEM SET backfill.webhook_hosts = '$hosts'", 'SELECT pg_reload_conf()';
  $node->poll_query_until('postgres', "SELECT current_setting('backfill.webhook_hosts') = '$hosts'") or die 'no reload';
  return;
}

# Plans a backfill of a table of that name; the path of the URL is a secret.
sub planned
{
  my ($table, %with) = @_;
  make_table($node, $table) unless $with{again};
  my $url = $with{url} // "http://$place/s3cret/$table";
  my $frequency = $with{frequency} // 'per_chunk';
  my $spec = spec($table, %with) =~ s/\}$/, monitoring: {progress_webhook: "$url", update_frequency: $frequency}}/r;
  return $node->psql('postgres', 'SELECT backfill_plan($spec$' . $spec . '$spec$)');
}

sub run_to_ready
{
  my ($table, %with) = @_;
  planned($table, %with);
  value($node, "SELECT backfill_run('$table')");
  wait_state($node, $table, 'ready');
  return;
}

# Nothing of these is pending any more.
sub delivered
{
  my ($table, $test) = @_;
  my $there = $node->poll_query_until('postgres',
    "SELECT count(*) = 0 FROM backfill.deliveries WHERE name = '$table' AND status = 'pending'");
  ok($there, $test // "all messages of $table have ended");
  diag(value($node, "SELECT number, event, status, attempts, error FROM backfill.deliveries WHERE name = '$table'")) unless $there;
  return;
}

sub count_of
{
  my ($table, $where) = @_;
  return value($node, "SELECT count(*) FROM backfill.deliveries WHERE name = '$table' AND $where");
}

sub keys_of
{
  my ($table, $where) = @_;
  return value($node, "SELECT string_agg(key::text, ' ' ORDER BY number) FROM backfill.deliveries WHERE name = '$table' AND $where");
}

# -- all is well

my ($status, $plan, $complaint) = planned('fine');
like($plan, qr/^Webhook +\Q$place\E, of every event and phase, and of every chunk$/m, 'the plan tells the host');
value($node, q{SELECT backfill_run('fine')});
wait_state($node, 'fine', 'ready');
delivered('fine');
my @told = $endpoint->told('fine');
is(join(' ', map { $_->{key} } @told), keys_of('fine', "status = 'sent'"), 'all messages arrive, in order, once each');
is(join(', ', map { $_->{event} } grep { $_->{event} !~ /^(chunk done|phase|check .*)$/ } @told),
  'planned, started, audit begun, ready', 'every event is told');
is(join(', ', map { $_->{detail} } grep { $_->{event} eq 'phase' } @told), 'prepare, copy, build, catch up, audit', 'and every phase');
my @chunks = grep { $_->{event} eq 'chunk done' } @told;
is(scalar @chunks, value($node, q{SELECT count(*) FROM backfill.chunks WHERE name = 'fine'}), 'and every chunk');
like($chunks[4]{text}, qr/^fine: chunk 5 of 1[12] done, 100 rows, [0-9.]+ %/, 'as people read it, for Slack');
is("$chunks[4]{chunk}{lo} $chunks[4]{chunk}{hi} $chunks[4]{chunk}{rows}", '2024-01-05 2024-01-06 100', 'and as programs do');
is($chunks[4]{backfill}{target}, 'public.fine', 'with the job');
is($chunks[4]{database}, 'postgres', 'and the database');
is($told[0]{request}{'content-type'}, 'application/json', 'it is JSON');
is($told[0]{request}{'idempotency-key'}, $told[0]{key}, 'the key is in the header, too');
like($told[0]{request}{'user-agent'}, qr{^backfill/1}, 'says who it is');
is($told[0]{request}{expect}, undef, 'and does not ask first');

value($node, q{SELECT backfill_publish('fine')});
value($node, q{SELECT backfill_finish('fine')});
delivered('fine', 'what is told when the coordinator is gone arrives as well');
is(join(', ', map { $_->{event} } ($endpoint->told('fine'))[ -2, -1 ]), 'published, finished', 'to the end');

# -- a name that would be a command in Slack; phases only; a failure without its text

planned('odd', frequency => 'per_phase', label => "('<!channel> & ' || id::text || repeat('x', (id = 777)::integer))::integer::text");
value($node, q{SELECT backfill_run('odd')});
wait_state($node, 'odd', 'failed');
delivered('odd');
is(count_of('odd', "event = 'chunk done'"), '0', 'no chunk is told when only phases are asked for');
my ($failed) = grep { $_->{event} eq 'failed' } $endpoint->told('odd');
is($failed->{detail}, 'SQLSTATE 22P02', 'a failure is told by its SQLSTATE');
is($failed->{backfill}{next_command}, q{SELECT backfill_run('odd');}, 'with the statement to type');
ok(!(grep { $_->{raw} =~ /invalid input|channel/ } $endpoint->told('odd')), 'and without a message that quotes a value');
my $renamed = spec('odd', label => q('x')) =~ s/name: odd/name: '<!channel> & co'/r =~ s/\}$/, monitoring: {progress_webhook: "http:\/\/$place\/slack"}}/r;
value($node, q{SELECT backfill_cancel('odd')});
value($node, 'SELECT backfill_plan($spec$' . $renamed . '$spec$)');
delivered('<!channel> & co');
like(($endpoint->told('slack'))[0]{text}, qr/^&lt;!channel&gt; &amp; co: planned/, 'a name is no command to Slack');

# -- a server that fails half the time

$endpoint->mode('half');
run_to_ready('half', frequency => 'per_phase');
delivered('half');
is(join(' ', map { $_->{key} } grep { $_->{answered} == 200 } $endpoint->told('half')), keys_of('half', "status = 'sent'"),
  'every key is accepted once, in order');
cmp_ok(scalar(grep { $_->{answered} == 500 } $endpoint->told('half')), '>', 5, 'though half of the posts failed');
is(count_of('half', "status = 'dead'"), '0', 'none was given up');

# -- no server, a slow one, one that redirects: the job is ready all the same

my $closed = Endpoint::closed_place();
allow("$place, $closed");
run_to_ready('nobody', url => "http://$closed/s3cret");
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM backfill.deliveries WHERE name = 'nobody' AND attempts > 1)}),
  'it is tried again');
is(count_of('nobody', "status = 'sent'"), '0', 'nothing could be sent');
like(value($node, q{SELECT waiting_for FROM backfill.deliveries WHERE name = 'nobody' AND status = 'pending' ORDER BY number LIMIT 1}),
  qr/^another try: \w+/, 'the first message says why it waits');

$endpoint->mode('slow');

run_to_ready('slow');
ok(count_of('slow', "status = 'pending'") > 0, 'a job does not wait for a slow server');
$endpoint->mode('fine');

$endpoint->mode('redirect');
run_to_ready('elsewhere');
ok($node->poll_query_until('postgres',
    q{SELECT EXISTS (SELECT FROM backfill.deliveries WHERE name = 'elsewhere' AND error = 'HTTP 302: redirects are not followed')}),
  'a redirect is a failure');
is(scalar($endpoint->told('redirected')), 0, 'nobody goes there');
$endpoint->mode('busy');
ok($node->poll_query_until('postgres',
    q{SELECT EXISTS (SELECT FROM backfill.deliveries WHERE name = 'elsewhere' AND error = 'HTTP 429' AND next_at > now() + interval '100 s')}),
  'a server that asks for time gets it');
$endpoint->mode('fine');
value($node, qq{SELECT backfill_redeliver('$_')}) foreach 'elsewhere', 'slow';
delivered('elsewhere');
delivered('slow');

# -- given up

value($node, q{UPDATE backfill.delivery SET give_up_at = now() WHERE status = 'pending'});
value($node, q{UPDATE backfill.delivery SET next_at = now() WHERE status = 'pending'});
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM backfill.deliveries WHERE name = 'nobody' AND status = 'dead')}),
  'a day of failures is enough');
is(value($node, q{SELECT DISTINCT next_command FROM backfill.deliveries WHERE status = 'dead'}),
  q{SELECT backfill_redeliver('nobody');}, 'what was given up says how to send it again');

# -- hosts that are not, or no longer, allowed

($status, my $out, my $error) = planned('stray', url => 'https://hooks.example.com/s3cret');
isnt($status, 0, 'a host that nobody allowed is refused');
like($error, qr/messages may not be sent to host "hooks\.example\.com"/, 'by name');
like($error, qr/ALTER SYSTEM SET backfill\.webhook_hosts = '\Q$place\E, \Q$closed\E, hooks\.example\.com'/, 'with what a superuser may do');
unlike($error =~ s/^(LINE|STATEMENT).*//mgr, qr/s3cret/, 'without the rest of the URL');

planned('banned', url => "http://$place/banned");
delivered('banned');
allow($closed);
value($node, q{SELECT backfill_run('banned')});
wait_state($node, 'banned', 'ready');
delivered('banned');
is(value($node, q{SELECT DISTINCT error FROM backfill.deliveries WHERE name = 'banned' AND status = 'dead'}),
  "host $place is not in backfill.webhook_hosts", 'a host taken off the list hears no more');
is(scalar(grep { $_->{event} ne 'planned' } $endpoint->told('banned')), 0, 'not a word');
allow("$place, $closed");
value($node, q{SELECT backfill_redeliver('banned')});
delivered('banned');
is(join(' ', sort map { $_->{key} } $endpoint->told('banned')), join(' ', sort split / /, keys_of('banned', "status = 'sent'")),
  'and hears all when it is back, once');
is(count_of('banned', "status = 'dead'"), '0', 'nothing is left out');

# -- the server is restarted while a message is on its way

$endpoint->mode('hang');
planned('restarted');
ok($node->poll_query_until('postgres', q{SELECT attempts = 1 FROM backfill.deliveries WHERE name = 'restarted'}), 'on its way');
my $key = keys_of('restarted', 'true');
my $began = time;
$node->restart;
cmp_ok(time - $began, '<', 8, 'the notifier does not hold up a shutdown');
$endpoint->mode('fine');
value($node, 'SELECT backfill_maintain()');
delivered('restarted');
is(join(' ', sort { $a cmp $b } keys %{ { map { $_->{key} => 1 } $endpoint->told('restarted') } }), $key, 'sent again under the same key');

# -- TLS

SKIP:
{
  my $secure = Endpoint->start_tls or skip 'no openssl', 2;
  my $there = $secure->place;
  allow("$place, $there");
  planned('tls', url => "https://$there/s3cret");
  ok($node->poll_query_until('postgres',
      q{SELECT EXISTS (SELECT FROM backfill.deliveries WHERE name = 'tls' AND error ~* 'certificate')}),
    'a certificate that nobody vouches for is refused');
  is(count_of('tls', "status = 'sent'"), '0', 'nothing is sent');
  $secure->stop;
}

# -- the secret stays one

my $shown = value($node, q{SELECT (SELECT string_agg(e::text, '') FROM backfill.events AS e), (SELECT string_agg(e::text, '') FROM backfill.deliveries AS e),
  (SELECT string_agg(e::text, '') FROM backfill.jobs AS e), (SELECT string_agg(e::text, '') FROM backfill.steps AS e), backfill_report('fine')});
unlike($shown . $plan, qr/s3cret/, 'no view, report or plan shows the path of a webhook');
my @log = grep { /s3cret/ && !/STATEMENT|backfill_plan/ } split /\n/, slurp_file($node->logfile);
is("@log", '', 'nor does the log, but for the statement that plans');

# -- nothing is left running

value($node, q{UPDATE backfill.delivery SET status = 'dead', error = 'test', ended_at = now() WHERE status = 'pending'});
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'backfill notifier')}),
  'a notifier with nothing to do leaves');

$endpoint->stop;
done_testing();
