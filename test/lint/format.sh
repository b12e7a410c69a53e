#!/usr/bin/env bash
# C++ is laid out as .clang-format says; `make format` does it.  One finding a file, at its first line that is not.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

files \( -name '*.cpp' -o -name '*.hpp' \) | xargs -r clang-format --dry-run 2>&1 |
  sed -nE 's/^([^:]+:[0-9]+):[0-9]+: (warning|error): .*/\1:/p' | sort -t: -k1,1 -u |
  complain 'not laid out as .clang-format says (make format)'
