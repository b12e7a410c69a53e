# The guide is true: its SQL runs from the first statement to the last, and its jobs end as it says.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use Pages;
use Test::More;

my $node = new_node('guide');
run_page($node->connstr('postgres'), "$FindBin::RealBin/../..", 'docs/guide.md');
is(value($node, "SELECT string_agg(name || ' ' || state, ', ' ORDER BY id) FROM backfill.jobs"),
  'orders_tier_backfill finished, undouble_quantities finished, revenue_2023 cancelled, orders_30_days cancelled, gentle cancelled, nightly finished, gross_amounts finished',
  'its jobs end as it says');
is(value($node, "SELECT count(*) FROM orders WHERE customer_tier IS NULL AND ordered_at >= timestamptz '2023-01-01 Europe/Berlin'
    AND ordered_at < timestamptz '2024-01-01 Europe/Berlin'"), '0', 'no order of 2023 is without a tier');
is(value($node, 'SELECT count(*) FROM orders WHERE customer_tier = \'platinum\''), '3000', 'filled values were kept');
is(value($node, 'SELECT max(quantity) FROM fact_order_items'), '9', 'no quantity is doubled');
is(value($node, "SELECT count(*) FROM pg_class WHERE relname ~ '_(backfill|archive|log|reverse)_[0-9]+'"), '0', 'nothing is left');

done_testing();
