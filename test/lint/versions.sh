#!/usr/bin/env bash
# The server's version is looked at in src/pg/ only.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

files -path './src/*' ! -path './src/pg/*' | xargs -r grep -nHE 'PG_VERSION_NUM|PG_MAJORVERSION|CATALOG_VERSION_NO' |
  complain 'the server'\''s version is looked at in src/pg/ only'
