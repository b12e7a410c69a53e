# The reference cannot drift: functions, views, keys of the spec, checks, settings and events in it are those that there are,
# no more and no less.
use strict;
use warnings;
use utf8;

use Encode qw(decode);
use File::Find;
use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my %section = sections(decode('UTF-8', slurp_file("$top/docs/reference.md")));
my $node = new_node('reference');
value($node, 'CREATE EXTENSION backfill; CREATE TABLE t (id int PRIMARY KEY, v int)');

# -- reading the page

# Its sections by their headings, those of third level included.
sub sections
{
  my ($page) = @_;
  my %text;
  $text{$1} = $2 while $page =~ /^\#\# (.*)\n((?:(?!\#\# ).*\n)*)/mg;
  return %text;
}

# The rows of the table under that heading whose header begins with a word: lists of cells.
sub rows
{
  my ($heading, $header) = @_;
  my @rows;
  foreach my $table (($section{$heading} // '') =~ /((?:^\|.*\n)+)/mg)
  {
    my ($first, $rule, @lines) = split /\n/, $table;
    next unless $first =~ /^\| $header\b/;
    push @rows, map { s/^\|\s*//r =~ s/\s*\|$//r } @lines;
  }
  return map { [ split /\s*\|\s*/, $_, -1 ] } @rows;
}

sub quoted
{
  my ($text) = @_;
  return $text =~ /`([^`]+)`/g;
}

# Words in backticks, and those in lists there; remarks in parentheses, or before a colon, are left out.
sub words
{
  my ($text) = @_;
  1 while $text =~ s/\([^()]*\)//g;
  $text =~ s/^.*?: (?=`)//;
  return grep { $_ ne '' } map { s/"//gr } map { split /,\s*/ } quoted($text);
}

sub agree
{
  my ($written, $known, $what) = @_;
  my %written = map { $_ => 1 } @$written;
  my %known = map { $_ => 1 } @$known;
  my @difference = ((map { "missing in the reference: $_" } grep { !$written{$_} } sort keys %known),
    (map { "only in the reference: $_" } grep { !$known{$_} } sort keys %written));
  cmp_ok(scalar(keys %known), '>', 0, "$what: there are some");
  is(join("\n", @difference), '', $what);
  return;
}

# -- what there is

# A function by its name and the names of its arguments; types are for \df.
my @functions = split /\n/, value($node, q{
  SELECT proname || '(' || coalesce(array_to_string(proargnames[1:pronargs], ', '), '') || ')' FROM pg_proc
  WHERE proname LIKE 'backfill\_%' AND pronamespace = 'public'::regnamespace});
my @written = map { (quoted($_->[0]))[0] } rows('Functions', 'call');
foreach (@written)
{
  s/^CALL //;
  s/VARIADIC //;
  s{(\w+) (?:text|interval|jsonb|int)\b(?:\[\])?}{$1}g;
}
agree(\@written, \@functions, 'functions');

# Views, and their columns; id and name are in all of them, job_status and message are not for people.
my %view_rows = map { (quoted($_->[0]))[0] => $_->[1] } rows('Views', 'view');
my %columns;
foreach (split /\n/, value($node, q{
  SELECT 'backfill.' || relname || ' ' || attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
  WHERE relnamespace = 'backfill'::regnamespace AND relkind = 'v' AND relname NOT IN ('job_status', 'message')}))
{
  my ($view, $column) = split / /;
  push @{ $columns{$view} }, $column unless $column =~ /^(?:id|name)$/;
}
agree([ keys %view_rows ], [ keys %columns ], 'views');
foreach my $view (sort keys %columns)
{
  my @listed = words($view_rows{$view} // '');
  push @listed, grep { $_ ne 'kind' } words($view_rows{'backfill.chunks'}) if ($view_rows{$view} // '') =~ /the columns of chunks/;
  agree(\@listed, $columns{$view}, "columns of $view");
}

# What the parser says it knows, asked with a key that it does not.
sub known
{
  my ($spec) = @_;
  my ($out, $err);
  $node->psql('postgres', "SELECT backfill_plan(\$spec\$$spec\$spec\$)", stdout => \$out, stderr => \$err);
  my ($list) = $err =~ /^DETAIL:  Known (?:keys here|checks) are (.*)\.$/m;
  diag($err) unless defined $list;
  return ($list // '') =~ /"([^"]+)"/g;
}

my $job = 'name: x, scope: {table: t}, transform: {set: {v: "1"}}, strategy: {chunk_by: blocks}';
my %keys = ('' => '{zzz: 1}', 'scope' => '{name: x, scope: {zzz: 1}}', 'transform' => '{name: x, scope: {table: t}, transform: {zzz: 1}}',
  'strategy' => '{name: x, scope: {table: t}, transform: {set: {v: "1"}}, strategy: {zzz: 1}}');
$keys{$_} = "{$job, $_: {zzz: 1}}" foreach qw(throttle publish monitoring read_from);
my %sub = map { $_ => 1 } keys %keys;
my @paths;
foreach my $part (sort keys %keys)
{
  push @paths, map { $part eq '' ? $_ : "$part.$_" } known($keys{$part});
}
my @spellings = qw(scope.end scope.date_range strategy.preserve_existing post_checks);  # told beside the key they stand for
my %other = map { $_ => 1 } @spellings, qw(scope transform strategy throttle publish monitoring execution rollback);
my $record = join "\n", grep { /^(?:Kept for the record|Refused in this version)/ } split /\n/, $section{'The spec'};
$other{$_} = 1 foreach quoted($record);
foreach my $spelling (@spellings)
{
  my ($last) = $spelling =~ /(\w+)$/;
  ok((grep { /`(?:\w+\.)?\Q$last\E\b/ } split /\n/, $section{'The spec'}), "$spelling is told");
}
agree([ grep { !$other{$_} } map { words($_->[0]) } rows('The spec', 'key') ],
  [ grep { !$other{$_} && $_ ne 'read_from.server' } @paths ], 'keys of the spec');
agree([ map { words($_->[0]) } rows('Downstream', 'key') ], [ known("{$job, downstream: [{zzz: 1}]}") ], 'keys of downstream');

# Checks: the words, what each can be given, and what all can.
my @words = known("{$job, checks: [zzz]}");
my @common = map { words($_->[0]) } rows('Checks', 'key');
my (%parameters, @in_table, $last);
foreach my $row (rows('Checks', 'check'))
{
  my @named = quoted($row->[0]);
  @named = ($last) unless @named;
  push @in_table, @named;
  $last = $named[-1];
  $parameters{$_} .= " $row->[2]" foreach @named;
}
agree(\@in_table, \@words, 'checks');
foreach my $word (@words)
{
  my %common = map { $_ => 1 } 'check', 'description', 'against', @common;
  my @missing = grep { !$common{$_} && ($parameters{$word} // '') !~ /`(?:[^`]*\W)?\Q$_\E(?:s?\b)/ } known("{$job, checks: [{check: $word, zzz: 1}]}");
  is("@missing", '', "parameters of $word are told") unless $word =~ /_exists$|^baseline_metrics$/;
}
my %some = map { $_ => 1 } known("{$job, checks: [{check: exact, zzz: 1}]}");
is(join(' ', grep { !$some{$_} && $_ ne 'max_percent' } @common), '', 'common parameters are known to a check that has no other');

# Settings.
agree([ map { words($_->[0]) } rows('Settings', 'setting') ],
  [ split /\n/, value($node, "LOAD 'backfill'; SELECT name FROM pg_settings WHERE name LIKE 'backfill.%' AND name <> 'backfill.fault'") ], 'settings');

# Events: the words with which the source records them.  One that ends in a blank has a word behind it.
my ($source, %event) = ('');
find({ no_chdir => 1, wanted => sub { $source .= slurp_file($_) if /\.cpp$/ && !/testing/ } }, "$top/src");
while ($source =~ /\b(?:record_event\(|set_state\(\s*[\w.]+,)\s*[^,;]+,\s*((?:[^,;()"]|"[^"]*"|\([^()]*\))+)/g)
{
  my $argument = $1 =~ s/==\s*"[^"]*"//gr;
  $event{$_} = 1 foreach $argument =~ /"([^"]+)"/g;
}
my @told = map { words($_->[0]) } rows('Events', 'event');
my %told = map { $_ => 1 } @told;
cmp_ok(scalar(keys %event), '>', 15, 'events are found in the source');
foreach my $name (sort keys %event)
{
  ok($name =~ / $/ ? scalar(grep { index($_, $name) == 0 } @told) : $told{$name}, "event \"$name\" is in the reference");
}
foreach my $name (@told)
{
  ok($source =~ /"\Q$name\E"/ || (grep { / $/ && index($name, $_) == 0 } keys %event), "event \"$name\" of the reference is recorded");
}

done_testing();
