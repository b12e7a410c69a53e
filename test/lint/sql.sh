#!/usr/bin/env bash
# The install script creates, it never replaces what somebody else may have put there (upgrade scripts may).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

files -path './src/sql/*.sql' ! -path './src/sql/upgrade/*' |
  xargs -r grep -nHiE '^[^-]*\b(CREATE[[:space:]]+OR[[:space:]]+REPLACE|IF[[:space:]]+NOT[[:space:]]+EXISTS)\b' |
  complain 'the install script creates and never replaces'
