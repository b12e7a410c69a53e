# Joins what the parts have left in BENCH_OUT into bench.md and bench.json.  Named a document, puts the table of budgets there
# instead, between the lines "<!-- measured -->" and "<!-- end of measured -->":
#
#   BENCH_OUT=build/bench/full perl -Itest/bench test/bench/report.pl docs/operations.md
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;
use JSON::PP;

my @parts = grep {defined} map { told($_) } qw(copy capture stalls drain growth memory);
if (@ARGV)
{
  fill($ARGV[0]);
  exit;
}
write_file('bench.json', JSON::PP->new->canonical->pretty->encode({ parts => \@parts }));
write_file('bench.md', join "\n", head(), budgets(), map { part($_) } @parts);

sub write_file
{
  my ($name, $text) = @_;
  my $file = "$ENV{BENCH_OUT}/$name";
  open(my $out, '>:encoding(UTF-8)', "$file.new") or die "$file: $!";
  print $out $text;
  close $out;
  rename "$file.new", $file or die "$file: $!";
  return;
}

sub head
{
  my $machine = $parts[0]{machine} // die "nothing was measured\n";
  return ("# Bench: $parts[0]{size}", '',
    sprintf('%s, %d cores, %s memory, %s; %s; backfill %s; %s.', $machine->{processor}, $machine->{cores},
      bytes($machine->{memory_bytes}), $machine->{kernel}, $machine->{server} =~ s/ on .*//r, $machine->{backfill}, $machine->{pg_repack}),
    '');
}

sub budgets
{
  my @rows = map { my $part = $_; map { [ $part->{part}, budget_row($_) ] } @{ $part->{budgets} } } @parts;
  return ('## Budgets', '', table([ 'part', 'what', 'budget', 'measured', '', 'how' ], \@rows), '');
}

# For people who read the document: budgets with what was measured, and of what and where.
sub fill
{
  my ($file) = @_;
  my @rows = map { my $part = $_; map { [ (budget_row($_))[ 0 .. 3 ] ] } @{ $part->{budgets} } } @parts;
  my $measured = join "\n", (head())[2], '', table([ 'what', 'budget', 'measured', '' ], \@rows);
  open(my $in, '<:encoding(UTF-8)', $file) or die "$file: $!";
  my $text = do { local $/; <$in> };
  close $in;
  $text =~ s/^<!-- measured -->\n\K.*?^(?=<!-- end of measured -->$)/$measured\n/ms or die "$file has no place for what was measured\n";
  open(my $out, '>:encoding(UTF-8)', $file) or die "$file: $!";
  print $out $text;
  close $out;
  return;
}

sub budget_row
{
  my ($budget) = @_;
  return ($budget->{what}, ($budget->{relation} eq '>=' ? '≥ ' : '≤ ') . $budget->{shown_limit}, $budget->{shown},
    $budget->{met} ? '✓' : '✗', $budget->{how});
}

sub part
{
  my ($part) = @_;
  my @text = ("## $part->{title}", '', "Part `$part->{part}`, $part->{size}, $part->{measured_at}, "
      . sprintf('%.0f s, load at the end %s.', $part->{seconds}, $part->{machine}{load_at_end}), '');
  push @text, "$_->{caption}:", '', table($_->{head}, $_->{rows}), '' for @{ $part->{tables} };
  push @text, map {"- $_"} @{ $part->{notes} // [] };
  push @text, '' if @{ $part->{notes} // [] };
  return @text;
}

sub table
{
  my ($head, $rows) = @_;
  return map { '| ' . join(' | ', map { s/\|/\\|/gr } @$_) . ' |' } $head, [ map {'---'} @$head ], @$rows;
}
