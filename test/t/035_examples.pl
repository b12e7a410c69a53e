# The examples are true: every page of docs/examples runs in a database of its own, answers as it shows, and leaves no job open.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use Pages;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $index = slurp_file("$top/docs/examples/README.md");
my @pages = sort map { m{([^/]+)\.md$} } glob "$top/docs/examples/*.md";
my $node = new_node('examples');

foreach my $page (grep { $_ ne 'README' } @pages)
{
  like($index, qr/\($page\.md\)/, "the index has $page");
  value($node, "CREATE DATABASE $page");
  run_page($node->connstr($page), $top, "docs/examples/$page.md");
  is(value($node, "SELECT string_agg(name || ' ' || state, ', ') FROM backfill.jobs WHERE state NOT IN ('finished', 'cancelled')", $page),
    '', "$page leaves no job open");
  value($node, "DROP DATABASE $page WITH (FORCE)");
}

done_testing();
