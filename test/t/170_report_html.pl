# The HTML report in a real browser: jobs in several states, at the width of a desk and of a phone, light and dark.
use strict;
use warnings;

use File::Path qw(make_path);
use IPC::Run;
use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my ($browser) = grep { -x $_ } map { my $dir = $_; map { "$dir/$_" } qw(chromium chromium-browser google-chrome) }
  split /:/, $ENV{PATH};
plan skip_all => 'no Chromium here (test/deps.sh installs it)' unless $browser;

my $work = $PostgreSQL::Test::Utils::tmp_check . '/report_html';
make_path($work);
my $runs = 0;

# browse($file, @arguments): what the browser says on its two outputs.
sub browse
{
  my ($file, @arguments) = @_;
  my ($out, $err) = ('', '');
  local $ENV{HOME} = $work;
  my $done = IPC::Run::run(
    [ $browser, qw(--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars
        --enable-logging=stderr --log-level=0), '--user-data-dir=' . $work . '/profile' . ++$runs, @arguments,
      "file://$file" ],
    '>', \$out, '2>', \$err, IPC::Run::timeout(60));
  ok($done, "the browser renders $file") or diag($err);
  return ($out, $err);
}

sub console { return join("\n", grep { /CONSOLE/ } split /\n/, shift) }

sub screenshot
{
  my ($name, $width, $height, @arguments) = @_;
  my $picture = "$work/$name-$width" . (@arguments ? '-dark' : '') . '.png';
  my (undef, $err) = browse("$work/$name.html", "--window-size=$width,$height", "--screenshot=$picture", @arguments);
  is(console($err), '', "$name at $width: nothing on the console");
  my $bytes = -e $picture ? slurp_file($picture) : '';
  my ($signature, $wide, $high) = unpack 'a8 x8 N N', $bytes . "\0" x 24;
  is("$signature$wide", "\x89PNG\r\n\x1a\n$width", "$name at $width: a picture of that width");
  cmp_ok(length $bytes, '>', 15_000, "$name at $width: the picture is not empty");
  return;
}

# How far the page is wider than the window; the copy may run a script, which the report's own policy forbids.
sub overhang
{
  my ($name, $width) = @_;
  my $page = slurp_file("$work/$name.html");
  $page =~ s/<meta http-equiv="Content-Security-Policy"[^>]*>//;
  $page =~ s{</body>}{<script>document.title = 'overhang ' + (document.documentElement.scrollWidth - innerWidth) + ' of ' + innerWidth</script></body>};
  append_to_file("$work/$name-measured.html", $page);
  my ($dom) = browse("$work/$name-measured.html", "--window-size=$width,800", '--dump-dom');
  return $dom =~ /<title>(overhang [^<]*)/ ? $1 : 'not measured';
}

my $node = new_node('report_html');
value($node, 'CREATE EXTENSION backfill');

sub write_report
{
  my ($name, $job) = @_;
  append_to_file("$work/$name.html", value($node, "SELECT backfill_report('" . ($job // $name) . "', 'html')"));
  return;
}

# Running: one chunk at the gate.
make_table($node, 'orders');
close_gate($node, 'orders');
value($node, 'SELECT backfill_plan($$' . spec('orders') . '$$)');
value($node, q{SELECT backfill_run('orders')});
at_gate($node);
write_report('running', 'orders');
open_gate($node, 'orders');

# Ready, and published, with the figures of a diff.
wait_state($node, 'orders', 'ready');
value($node, q{SELECT backfill_diff('orders')});
write_report('ready', 'orders');
value($node, q{SELECT backfill_publish('orders')});
write_report('published', 'orders');

# A failed chunk.
make_table($node, 'failing');
value($node, 'SELECT backfill_plan($$' . spec('failing', label => '(1 / (id - 450))::text') . '$$)');
value($node, q{SELECT backfill_run('failing')});
wait_state($node, 'failing', 'failed');
write_report('failing');

# A failed check.
make_table($node, 'wrong');
(my $wrong = spec('wrong', label => "nullif(id % 7, 0)::text")) =~ s/\}$/, checks: [{check: not_null, column: label}]}/;
value($node, "SELECT backfill_plan(\$\$$wrong\$\$)");
value($node, q{SELECT backfill_run('wrong')});
wait_state($node, 'wrong', 'ready');
write_report('wrong');
$node->stop;

screenshot($_, 1280, 1600) foreach qw(running ready published failing wrong);
screenshot('ready', 390, 2400);
screenshot('ready', 1280, 1600, '--force-dark-mode', '--blink-settings=preferredColorScheme=0');
like(overhang($_, 390), qr/^overhang -?0 of \d+$/, "$_ on a phone: nothing is wider than the page") foreach qw(ready failing wrong);

my ($dom) = browse("$work/failing.html", '--dump-dom');
like($dom, qr{<h1><bdi>failing</bdi></h1>}, 'the heading is in the document');
like($dom, qr{<svg [^>]*role="img"}, 'and a picture');
like($dom, qr{backfill_retry\('failing', \d+\)}, 'and the statement to type');

# The policy holds, and a violation would be seen.
(my $attacked = slurp_file("$work/ready.html")) =~ s{</body>}{<script>document.title = 'run'</script><img src="https://example.com/x.png"/></body>};
append_to_file("$work/attacked.html", $attacked);
my ($attacked_dom, $attacked_err) = browse("$work/attacked.html", '--dump-dom');
unlike($attacked_dom, qr/<title>run/, 'no script runs in a report');
like(console($attacked_err), qr/Content Security Policy/, 'and the console says so');

done_testing();
