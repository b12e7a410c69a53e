# Joins what the parts have left in BENCH_OUT into bench.md and bench.json.
use strict;
use warnings FATAL => 'all';
use utf8;

use Bench;
use JSON::PP;

my @parts = grep {defined} map { told($_) } qw(copy capture stalls drain growth memory);
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
