#!/usr/bin/env bash
# The unit tests, and pg_regress on a server that has the extension built with AddressSanitizer and UBSan; the hot paths (copy,
# capture, drain) on a server that runs in valgrind, where that is installed:
#
#   bash test/sanitize.sh                    all
#   bash test/sanitize.sh unit               some of: unit regress valgrind
#   CHECK_ONLY='plan run' sanitize.sh regress
#
# The server is Debian's, with libasan loaded before all else: what the extension itself and the functions that libasan stands
# in for (memcpy, strlen ...) do is watched, what the server does by itself is not.  Leaks are not looked for: a server process
# leaves its memory to its contexts.  Any report fails the run, whatever the tests say.  Of what valgrind says counts what has the
# extension in its stack; the server is not built for it, so it sees what is undefined, and the memory of malloc, not of palloc.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

hot_paths='capture work_claims vacuumed rollback'
flags='-fsanitize=address,undefined -fno-omit-frame-pointer -g1 -O1'
status=0

main() {
  in_workspace "$@"
  local suite
  [ $# -gt 0 ] || set -- unit regress valgrind
  for suite in "$@"; do
    case $suite in
      unit) suite_unit || status=1 ;;
      regress) suite_regress || status=1 ;;
      valgrind) suite_valgrind || status=1 ;;
      *) fail "no suite \"$suite\"; there are: unit regress valgrind" ;;
    esac
  done
  tell_reports || status=1
  [ "$status" = 0 ] && echo "sanitize: nothing was found"
  exit "$status"
}

suite_unit() {
  cmake -S . -B "$workspace/unit" -DBACKFILL_ASAN=ON -DBACKFILL_UBSAN=ON -DCMAKE_BUILD_TYPE=Debug >"$workspace/unit.log" &&
    cmake --build "$workspace/unit" -j "$(nproc)" >>"$workspace/unit.log" 2>&1 || { tail -n 40 "$workspace/unit.log"; return 1; }
  ctest --test-dir "$workspace/unit" --output-on-failure >"$workspace/unit.log" 2>&1 ||
    { grep -vE ' Passed|Start ' "$workspace/unit.log" | head -n 100; return 1; }
  grep 'tests passed' "$workspace/unit.log"
}

suite_regress() {
  build_anew COPT="$flags" || return 1
  # The libraries that a process of the server must have from its first instruction on.
  local -x LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS
  LD_PRELOAD=$(g++ -print-file-name=libasan.so)
  ASAN_OPTIONS=detect_leaks=0:log_path=$workspace/report.asan:abort_on_error=1
  UBSAN_OPTIONS=print_stacktrace=1:log_path=$workspace/report.ubsan
  # On Debian 12 (g++ 12, clang 14 alike) the server was seen to hang at its first lock of a locale, and so was psql.
  if ! timeout 20 "${PG_CONFIG%/*}/postgres" -V >/dev/null; then
    unset LD_PRELOAD
    echo "the server does not start with $(g++ -dumpversion)'s libasan loaded before it; a newer g++ may have one that works"
    return 1
  fi
  start_cluster regress
  unset LD_PRELOAD
  run_regress "${CHECK_ONLY:-$(basename -s .sql -a sql/*.sql | grep -v '^backfill--')}"
}

suite_valgrind() {
  command -v valgrind >/dev/null || { echo 'valgrind is not installed'; return 1; }
  build_anew COPT='-g1 -O1' || return 1
  local server=${PG_CONFIG%/*}/postgres result report
  mv "$server" "$server.itself"
  cat >"$server" <<SERVER
#!/bin/sh
case "\$*" in *--boot* | *--single* | *--check* | -V) exec "$server.itself" "\$@" ;; esac
exec valgrind -q --trace-children=yes --leak-check=no --num-callers=30 --log-file="$workspace/valgrind.%p" "$server.itself" "\$@"
SERVER
  chmod +x "$server"
  start_cluster valgrind
  run_regress "${CHECK_ONLY:-$hot_paths}"
  result=$?
  stop_clusters
  # A paragraph each.  The padding of what the server writes (WAL records, pages) is undefined, and no matter.
  for report in "$workspace"/valgrind.*; do
    sed -E 's/^==[0-9]+== ?//' "$report" |
      awk -v RS= -v ORS='\n\n' '/backfill::|backfill\.so/ && !/^Syscall param p?write/' >"$workspace/report.${report##*/}"
  done
  return "$result"
}

build_anew() {
  unset BACKFILL_BUILT
  rm -rf "$workspace/pg"
  make -s clean PG_CONFIG="${PG_CONFIG:-$(find_pg_config)}" >/dev/null 2>&1
  PG_CONFIG='' build_and_install TESTING=1 "$@"
}

run_regress() {
  local log=$workspace/regress.log result
  make -s installcheck REGRESS="$(tr '\n' ' ' <<<"$1")" ISOLATION='' PG_CONFIG="$PG_CONFIG" >"$log" 2>&1
  result=$?
  grep -E '^(test .*FAILED|not ok)' "$log"
  echo "$(grep -cE '^(test .*\.\.\. ok|ok )' "$log") of $(wc -w <<<"$1") files of pg_regress passed"
  [ "$result" = 0 ] || head -n 100 regression.diffs
  return "$result"
}

tell_reports() {
  local report found=0
  for report in "$workspace"/report.*; do
    [ -s "$report" ] || continue
    head -n 40 "$report"
    found=1
  done
  return "$found"
}

main "$@"
