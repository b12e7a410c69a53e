# Sourced by each rule.  A rule is a script: `RULE.sh [TREE]` prints one line a finding, "file:line: what is wrong",
# and ends with status 1 where there is any.
# shellcheck shell=bash
set -u
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}" || exit 2

# Files of the tree that match the find(1) expression, built ones left out.
files() {
  local known
  known=$(git ls-files --cached --others --exclude-standard 2>/dev/null) || known=''
  find . \( -name .git -o -name build -o -name results -o -name output_iso -o -name tmp_check \) -prune -o \
    -type f ! -path './sql/backfill--*.sql' "$@" -print | sed 's,^\./,,' |
    if [ -n "$known" ]; then grep -Fx -f <(echo "$known"); else cat; fi | sort
}

# Turns grep's output ("file:line:text") into findings; true where there is none.
complain() {
  ! sed -E "s,^([^:]+:[0-9]+):.*,\1: $1," | uniq | grep .
}

# The flags that tell clang what the Makefile tells the compiler.
clang_flags() {
  local pg_config=${PG_CONFIG:-}
  [ -n "$pg_config" ] || pg_config=$(find /usr/lib/postgresql -path '*/bin/pg_config' 2>/dev/null | sort -V | tail -n 1)
  echo "-xc++ -std=c++20 -DBACKFILL_TESTING -Isrc -isystem $("$pg_config" --includedir-server) -isystem $("$pg_config" --includedir)"
}
