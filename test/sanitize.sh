#!/usr/bin/env bash
# The unit tests, and pg_regress on a server that has the extension built with AddressSanitizer and UBSan:
#
#   bash test/sanitize.sh                    both
#   bash test/sanitize.sh unit               one of: unit regress
#   CHECK_ONLY='plan run' sanitize.sh regress
#
# The server is Debian's, with libasan loaded before all else: what the extension itself and the functions that libasan stands
# in for (memcpy, strlen ...) do is watched, what the server does by itself is not.  Leaks are not looked for: a server process
# leaves its memory to its contexts.  Any report fails the run, whatever the tests say.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

flags='-fsanitize=address,undefined -fno-omit-frame-pointer -g1 -O1'
status=0

main() {
  in_workspace "$@"
  local suite
  [ $# -gt 0 ] || set -- unit regress
  for suite in "$@"; do
    case $suite in
      unit) suite_unit || status=1 ;;
      regress) suite_regress || status=1 ;;
      *) fail "no suite \"$suite\"; there are: unit regress" ;;
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
  local tests log=$workspace/regress.log
  build_and_install TESTING=1 COPT="$flags" || return 1
  tests=${CHECK_ONLY:-$(basename -s .sql -a sql/*.sql | grep -v '^backfill--')}
  # The libraries that a process of the server must have from its first instruction on.
  local -x LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS
  LD_PRELOAD=$(g++ -print-file-name=libasan.so)
  ASAN_OPTIONS=detect_leaks=0:log_path=$workspace/report.asan:abort_on_error=1
  UBSAN_OPTIONS=print_stacktrace=1:log_path=$workspace/report.ubsan
  start_cluster regress
  unset LD_PRELOAD
  make -s installcheck REGRESS="$(tr '\n' ' ' <<<"$tests")" ISOLATION='' PG_CONFIG="$PG_CONFIG" >"$log" 2>&1
  local result=$?
  grep -E '^(test .*FAILED|not ok)' "$log"
  echo "$(grep -cE '^(test .*\.\.\. ok|ok )' "$log") of $(wc -w <<<"$tests") files of pg_regress passed"
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
