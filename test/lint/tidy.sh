#!/usr/bin/env bash
# clang-tidy, with the few checks of .clang-tidy, over what does not see the server's headers.
# What clang cannot make of g++'s library is no finding, g++ compiled it; a header it does not find is one.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

findings=$(
  files -path './src/*.cpp' ! -path './src/pg/*' |
    xargs -r -P "$(nproc)" -n 1 sh -c '
      flags=$1 file=$2
      # shellcheck disable=SC2086
      clang-tidy --quiet "$file" -- $flags 2>/dev/null' sh "$(clang_flags)" |
    grep -E '(error|warning): ' | sed -E '/file not found/!{/\[clang-diagnostic-error\]$/d}' | sort -u |
    sed -E -e "s,^$PWD/,," -e 's/:[0-9]+: (error|warning): /: /'
)
[ -z "$findings" ] || { echo "$findings"; exit 1; }
