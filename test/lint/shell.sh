#!/usr/bin/env bash
# Shell scripts pass shellcheck.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

{ files -name '*.sh'; files -path './.ci/*'; } | xargs -r shellcheck -x -f gcc || exit 1
