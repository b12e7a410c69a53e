#!/usr/bin/env bash
# No trailing white space, no tabs but make's, nothing that confesses to be unfinished.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text=(! -name '*.out' ! -path './test/data/*' ! -path './test/lint/*')
status=0
files "${text[@]}" | xargs -r grep -nHI '[[:space:]]$' | complain 'trailing white space' || status=1
files "${text[@]}" ! -name Makefile | xargs -r grep -nHIP '\t' | complain 'a tab' || status=1
files "${text[@]}" | xargs -r grep -nHIE '\b(TODO|FIXME|XXX|HACK)\b' | complain 'unfinished' || status=1
exit $status
