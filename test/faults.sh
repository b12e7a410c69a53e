#!/usr/bin/env bash
# The whole matrix of faults: every point of src/ x {error, terminate, crash, stop}.  test/check.sh runs a part of it.
#
#   bash test/faults.sh
#   BACKFILL_FAULT_POINTS='^(publish|rollback)_' bash test/faults.sh    the points that match
#
# The last line is check.sh's: "N passed, N failed".
set -euo pipefail
export BACKFILL_FAULTS=all CHECK_ONLY=200_faults CHECK_SUITE_SECONDS=${CHECK_SUITE_SECONDS:-3600}
exec bash "$(dirname "${BASH_SOURCE[0]}")/check.sh" tap
