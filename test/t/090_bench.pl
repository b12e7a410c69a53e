# The bench still runs: every part at its smallest size, and what it writes can be read.  Its numbers are not judged here.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = "$FindBin::RealBin/../bench";
my $out = PostgreSQL::Test::Utils::tempdir;
my @parts = map { m{(\w+)\.pl$} } glob "$bench/parts/*.pl";

sub bench
{
  my $told = '';
  my $ended = IPC::Run::run([ 'bash', "$bench/run.sh", @_ ], '>', \$told, '2>', \$told);
  return ($ended, $told);
}

my ($ended, $told) = bench('--size', 'tiny', '--out', $out);
ok($ended, 'every part runs') or diag($told);

my $all = decode_json(slurp_file("$out/bench.json"));
is_deeply([ sort map { $_->{part} } @{ $all->{parts} } ], [ sort @parts ], 'bench.json holds every part');
is(join(' ', map { $_->{part} } grep { !@{ $_->{budgets} } || !@{ $_->{tables} } } @{ $all->{parts} }), '', 'each part has budgets and a table');
my @measured = map { @{ $_->{budgets} } } @{ $all->{parts} };
my @rows = slurp_file("$out/bench.md") =~ /^\| (?:@{[ join '|', @parts ]}) \|.* (?:✓|✗) \|/mg;
is(scalar @rows, scalar @measured, 'bench.md tells of every budget whether it is met');

($ended, $told) = bench('--size', 'tiny', '--out', $out, '--resume', '--only', 'growth');
like($told, qr/growth: measured before/, 'what was measured is not measured again');
($ended, $told) = bench('--only', 'copies');
like($told, qr/no part "copies"; there are: copy/, 'a part that is not there is refused');

done_testing();
