#!/usr/bin/env bash
# Runs every suite, or those named, in a copy of this checkout with a throwaway server:
#
#   bash test/check.sh                       all
#   bash test/check.sh unit regress          some
#   CHECK_ONLY='plan diff' check.sh regress  some files of one suite (regress, isolation, tap)
#
# Numbers are tests (a regression file, a spec, an assertion, a lint rule), and a suite that finds nothing to run, or
# ends otherwise than its tests say, has failed.  The last line is "N passed, N failed[, N skipped]".
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

suites=(lint unit regress isolation tap oracle)
oracle_seed=${ORACLE_SEED:-1}

passed=0 failed=0 skipped=0        # of all suites
suite_passed=0 suite_failed=0 suite_skipped=0  # of the one that runs
summary=()

main() {
  local suite known
  for suite in "$@"; do
    known=" ${suites[*]} "
    [[ $known == *" $suite "* ]] || fail "no suite \"$suite\"; there are: ${suites[*]}"
  done
  in_workspace "$@"
  [ $# -eq 0 ] || suites=("$@")

  local built=no
  for suite in "${suites[@]}"; do
    if needs_server "$suite" && [ "$built" = no ]; then
      run_suite build
      [ "$suite_failed" = 0 ] || break
      built=yes
    fi
    run_suite "$suite"
  done

  heading summary
  printf '%s\n' "${summary[@]}"
  echo
  if [ "$skipped" = 0 ]; then
    echo "$passed passed, $failed failed"
  else
    echo "$passed passed, $failed failed, $skipped skipped"
  fi
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# -- the suites

needs_server() {
  [[ $1 == regress || $1 == isolation || $1 == tap || $1 == oracle ]]
}

suite_build() {
  build_and_install TESTING=1 || broken "the build failed"
}

suite_lint() {
  limited bash test/lint/run.sh | tee "$workspace/lint.tap"
  count_tap "$workspace/lint.tap" "${PIPESTATUS[0]}"
}

suite_unit() {
  local log=$workspace/unit.log report=$workspace/unit.xml status
  [ -n "$(find test/unit -name '*_test.cpp' 2>/dev/null)" ] || { nothing_found; return; }
  local launcher=()
  ! have_ccache || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  { cmake -S . -B "$workspace/unit" "${launcher[@]}" && cmake --build "$workspace/unit" -j "$(nproc)"; } >"$log" 2>&1 || {
    tail -n 60 "$log"
    broken "the unit tests do not build"
    return
  }
  limited ctest --timeout 30 --test-dir "$workspace/unit" --output-on-failure --output-junit "$report" >"$log" 2>&1
  status=$?
  [ "$status" = 0 ] || grep -vE '^ *[0-9]+/[0-9]+ .* Passed|^ +Start ' "$log" | head -n 200
  local total bad not_run
  total=$(junit_number tests "$report")
  bad=$(junit_number failures "$report")
  not_run=$(($(junit_number disabled "$report") + $(junit_number skipped "$report")))
  tally $((total - bad - not_run)) "$bad" "$not_run"
  disagree "$status"
}

junit_number() {
  sed -nE "/<testsuite /,/>/s/.*[ \t]$1=\"([0-9]+)\".*/\1/p" "$2" 2>/dev/null | head -n 1 | grep . || echo 0
}

suite_regress() {
  run_pg_regress REGRESS ISOLATION "$(chosen sql sql backfill--)" expected regression.diffs
}

suite_isolation() {
  run_pg_regress ISOLATION REGRESS "$(chosen test/isolation/specs spec)" test/isolation/expected output_iso/regression.diffs
}

# run_pg_regress VARIABLE OTHER-VARIABLE TESTS EXPECTED DIFFS: each test is one line of pg_regress, which says ok or not.
run_pg_regress() {
  local variable=$1 other=$2 tests=$3 expected=$4 diffs=$5 log status test
  log=$workspace/$variable.log
  [ -n "$tests" ] || { nothing_found; return; }
  for test in $tests; do  # pg_regress stops at once where an expected file is missing
    [ -e "$expected/$test.out" ] || { echo "$expected/$test.out is missing"; : >"$expected/$test.out"; }
  done
  limited make -s installcheck "$variable=$tests" "$other=" PG_CONFIG="$PG_CONFIG" >"$log" 2>&1
  status=$?
  local result='^(test .*\.\.\. |(not )?ok [0-9]+)'
  grep -E "$result" "$log" || cat "$log"
  tally "$(grep -cE '^(test .*\.\.\. ok|ok [0-9]+)' "$log")" "$(grep -cE '^(test .*\.\.\. FAILED|not ok [0-9]+)' "$log")" 0
  [ ! -s "$diffs" ] || head -n "${CHECK_DIFF_LINES:-200}" "$diffs"
  disagree "$status" "$(wc -w <<<"$tests")"
}

suite_tap() {
  local tests log=$workspace/tap.log
  tests=$(chosen test/t pl)
  [ -n "$tests" ] || { nothing_found; return; }
  local pgxs
  pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
  mkdir -p "$workspace/tap/tmp_check/log"
  local name files=()
  for name in $tests; do files+=("$workspace/src/test/t/$name.pl"); done
  (
    cd "$workspace/tap" || exit 1
    unset PGHOST PGUSER PGDATABASE
    export PG_REGRESS=$pgxs/src/test/regress/pg_regress TESTDIR=$workspace/tap TESTDATADIR=$workspace/tap/tmp_check
    export TESTLOGDIR=$workspace/tap/tmp_check/log BACKFILL_SRC=$workspace/src
    limited prove -v -j"$(nproc)" -I "$pgxs/src/test/perl" -I "$workspace/src/test/t" "${files[@]}"
  ) >"$log" 2>&1
  local status=$?
  # The assertions that pass are many; show files and what fails.
  grep -E '^(not ok|# |Bail|/.*\.pl (\.+ |.*Wstat)|All tests|Result|Files=)' "$log" | sed "s,$workspace/src/,," | head -n 200
  why_tap_failed "$log" "$workspace/tap/tmp_check/log"
  count_tap "$log" "$status"
}

# why_tap_failed FILE LOGS: what Perl died of, and a server, stands in the logs only.
why_tap_failed() {
  local name
  sed -nE 's,^/.*/(.*)\.pl .*\(Wstat.*,\1,p' "$1" | while IFS= read -r name; do
    heading "$name: the end of its log"
    grep -A 6 '^[^#]*\] not ok' "$2/regress_log_$name" | head -n 60
    tail -n 30 "$2/regress_log_$name"
    grep -hE 'PANIC:|TRAP:|terminated by signal|FATAL:  (sorry|out of)' "$2/${name}"_*.log
  done
}

suite_oracle() {
  [ -f test/oracle/run.sh ] || { nothing_found; return; }
  limited bash test/oracle/run.sh --seed "$oracle_seed" 2>&1 | tee "$workspace/oracle.tap"
  count_tap "$workspace/oracle.tap" "${PIPESTATUS[0]}"
}

# A suite that hangs has failed: what it runs gets this many seconds, and what it waits for inside much less.
limited() {
  timeout --foreground -k 10 "${CHECK_SUITE_SECONDS:-1500}" "$@"
}
export PGISOLATIONTIMEOUT=60 PG_TEST_TIMEOUT_DEFAULT=60

# -- counting

# chosen DIRECTORY EXTENSION [EXCLUDED-PREFIX]: names of the test files, less what CHECK_ONLY does not name.
chosen() {
  local file name
  for file in "$1"/*."$2"; do
    name=$(basename "$file" ".$2")
    [ -e "$file" ] || continue
    [[ -n ${3:-} && $name == "$3"* ]] && continue
    [[ -z ${CHECK_ONLY:-} || " $CHECK_ONLY " == *" $name "* ]] && printf '%s ' "$name"
  done
}

tally() {
  suite_passed=$((suite_passed + $1)) suite_failed=$((suite_failed + $2)) suite_skipped=$((suite_skipped + $3))
}

broken() {
  echo "FAILED: $1"
  tally 0 1 0
}

nothing_found() {
  broken "nothing to run was found"
}

# count_tap FILE STATUS: the top-level assertions of TAP output.
count_tap() {
  local ok not_ok skip
  skip=$(grep -ciE '^((not )?ok .*# *(skip|todo)\b|1\.\.0 +# *skip)' "$1")
  ok=$(grep -E '^ok ' "$1" | grep -vciE '# *(skip|todo)\b')
  not_ok=$(grep -E '^not ok ' "$1" | grep -vciE '# *todo\b')
  tally "$ok" "$not_ok" "$skip"
  disagree "$2"
}

# disagree STATUS [EXPECTED-COUNT]: a suite whose tests all passed must say so itself, and must have run them all.
disagree() {
  local ran=$((suite_passed + suite_failed + suite_skipped))
  if [ "$1" = 124 ]; then
    broken "stopped after ${CHECK_SUITE_SECONDS:-1500} seconds (CHECK_SUITE_SECONDS)"
  elif [ "$ran" = 0 ]; then
    broken "no test ran"
  elif [ "$ran" -lt "${2:-0}" ]; then
    broken "only $ran of $2 tests ran"
  elif [ "$1" != 0 ] && [ "$suite_failed" = 0 ]; then
    broken "the suite ended with status $1"
  fi
}

# -- telling

heading() {
  printf '\n== %s ==\n' "$1"
}

# Runs one suite; where it needs a server, there is a fresh one of its own.
run_suite() {
  local suite=$1 begin=$SECONDS log=$workspace/$1/log
  suite_passed=0 suite_failed=0 suite_skipped=0
  heading "$suite"
  case $suite in
    regress | isolation) start_cluster "$suite" ;;
  esac
  "suite_$suite"
  if [ "$suite_failed" -gt 0 ] && grep -qsE 'PANIC|TRAP|terminated by signal' "$log"; then
    echo "-- the server's log:"
    grep -E 'PANIC|TRAP|terminated by signal' "$log" | head -n 20
  fi
  stop_clusters
  summary+=("$(printf '%-10s %5d passed %4d failed %4d skipped %5ds' "$suite" "$suite_passed" "$suite_failed" \
    "$suite_skipped" $((SECONDS - begin)))")
  echo "${summary[-1]}"
  passed=$((passed + suite_passed)) failed=$((failed + suite_failed)) skipped=$((skipped + suite_skipped))
}

main "$@"
