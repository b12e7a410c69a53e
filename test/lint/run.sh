#!/usr/bin/env bash
# Runs every rule, then lets each of them show that it can fail.  Speaks TAP.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0 number=0

for rule in "$here"/*.sh; do
  name=$(basename "$rule" .sh)
  case $name in common | run | selftest) continue ;; esac
  number=$((number + 1))
  if findings=$(bash "$rule" 2>&1); then
    echo "ok $number - $name"
  else
    status=1
    echo "not ok $number - $name"
    head -n 40 <<<"$findings" | sed 's/^/# /'
  fi
done

bash "$here/selftest.sh" "$number" || status=1
exit $status
