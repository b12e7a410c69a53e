#!/usr/bin/env bash
# The server's version is looked at in src/pg/ only, and ours is one wherever it is said.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
status=0

files -path './src/*' ! -path './src/pg/*' | xargs -r grep -nHE 'PG_VERSION_NUM|PG_MAJORVERSION|CATALOG_VERSION_NO' |
  complain 'the server'\''s version is looked at in src/pg/ only' || status=1

# In a tree that has a version.
header=src/core/version.hpp
if [ -f "$header" ]; then
  ours=$(sed -nE 's/.*library_version\[\] = "(.*)";/\1/p' "$header")
  for told in "Makefile:EXTVERSION = $ours" "backfill.control:default_version = '$ours'"; do
    grep -qsxF "${told#*:}" "${told%%:*}" || { echo "$header:1: ${told%%:*} tells another version"; status=1; }
  done
fi
exit $status
