#!/usr/bin/env bash
# An ereport(ERROR) inside pg::call skips destructors, so its lambda (written on the spot, where this rule sees it) holds
# nothing that has one; and no destructor calls the server, since it may run while an error is on its way.
query=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/destructors.query
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

findings=$(
  files \( -path './src/*.cpp' -o -path './src/*.hpp' \) | xargs -r grep -lE '\bcall\(|~[A-Za-z_]+\(' |
    xargs -r -P "$(nproc)" -n 4 sh -c '
      flags=$1 query=$2; shift 2
      # shellcheck disable=SC2086
      clang-query -f "$query" "$@" -- $flags 2>&1' sh "$(clang_flags)" "$query" |
    grep -E 'fatal error: |binds here' | sort -u |
    sed -E -e "s,^$PWD/,," -e 's,:[0-9]+: (note|fatal error): ,: ,' \
      -e 's/"temporary_in_call" binds here/a temporary with a destructor inside pg::call/' \
      -e 's/"local_in_call" binds here/a local with a destructor inside pg::call/' \
      -e 's/"hidden_lambda" binds here/pg::call wants its lambda written on the spot/' \
      -e 's/"server_in_destructor" binds here/a destructor calls the server/'
)
[ -z "$findings" ] || { echo "$findings"; exit 1; }
