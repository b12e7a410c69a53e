# Pages of the documentation, run as they are printed.  A block ```sql is run; a block ```text right behind it is what psql
# answers, where … stands for anything in a line, or alone for any lines.  An error is expected where it is shown.
package Pages;

use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(blocks run_page page_outputs);

# The blocks of a page in their order: what is run, and what is shown of its output (undef: nothing).
sub blocks
{
  my ($page) = @_;
  my @blocks;
  while ($page =~ /^```sql\n(.*?)^```\n(?:\n*(`{3,})text\n(.*?)^\2\n)?/msg)
  {
    push @blocks, { sql => $1, shown => $3 };
  }
  return @blocks;
}

# Runs all blocks in one psql, from the top of the checkout, and gives each its output.
sub page_outputs
{
  my ($connection, $top, @blocks) = @_;
  my ($input, $mark, $number, $output) = ("\\set QUIET on\n\\pset pager off\n", 'end of block', 0, '');
  $input .= "$_->{sql}\n\\echo $mark\n" foreach @blocks;
  local $ENV{PGTZ} = 'UTC';
  IPC::Run::run([ 'psql', '-X', '-d', $connection ],
    '<', \encode('UTF-8', $input), '>&', \$output, 'init', sub { chdir $top or die "cannot enter $top" });
  my @outputs = split /^$mark\n/m, decode('UTF-8', $output), -1;
  $blocks[$_]{got} = plain($outputs[$_] // 'not run: the session had ended') foreach 0 .. $#blocks;
  return @blocks;
}

# As a page shows it: without notices of progress, and texts that functions return without a frame.
sub plain
{
  my ($output) = @_;
  $output =~ s/^NOTICE:  .*\n(?:(?:DETAIL|HINT):  .*\n)*//mg;
  $output =~ s/^ *backfill_\w+ *\n-+\n(.*?)^\(\d+ rows?\)\n\n?/unframed($1)/msge;
  $output =~ s/[ \t]+$//mg;
  $output =~ s/\A\n+|\n+\z//g;
  return $output eq '' ? '' : "$output\n";
}

sub unframed
{
  my ($lines) = @_;
  $lines =~ s/^ //mg;
  $lines =~ s/ *\+$//mg;
  return "$lines\n";
}

sub pattern
{
  my ($shown) = @_;
  my $pattern = '';
  foreach my $line (split /\n/, $shown)
  {
    $line =~ s/\s+$//;
    $pattern .= $line eq '…' ? '(?:.*\n)*?' : join('.*', map { quotemeta } split(/…/, $line, -1)) . '\n';
  }
  return qr/\A$pattern\z/;
}

# run_page($connection, $top, $file): every block of the page runs, and answers as the page shows.
sub run_page
{
  my ($connection, $top, $file) = @_;
  my @blocks = page_outputs($connection, $top, blocks(decode('UTF-8', slurp_file("$top/$file"))));
  cmp_ok(scalar(@blocks), '>', 0, "$file has SQL");
  my $number = 0;
  foreach my $block (@blocks)
  {
    $number++;
    my ($shown, $got) = ($block->{shown}, $block->{got});
    if ((!defined $shown || $shown !~ /^ERROR:/m) && $got =~ /^(?:ERROR|FATAL|not run):/m)
    {
      fail("$file: block $number runs");
      diag(encode('UTF-8', "$block->{sql}\n$got"));
      last;
    }
    next unless defined $shown;
    ok($got =~ pattern($shown), "$file: block $number answers as shown")
      or diag(encode('UTF-8', "$block->{sql}\n-- shown\n$shown\n-- got\n$got"));
  }
  return;
}

1;
