# DDL while the job is at work: it comes between two batches, or beside one where it need not wait.  The matrix is in Ddl.pm.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Ddl;
use Test::More;

my $node = ddl_node('main');
in_mid_copy($node, 'g', 'at work');
quiet_log($node);
done_testing();
