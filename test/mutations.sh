#!/usr/bin/env bash
# Are the defences tested?  Takes away one at a time, builds, and wants the test named with it to fail.
#
#   bash test/mutations.sh                 all of them (long: each is a build and a test)
#   bash test/mutations.sh delete fencing  those that are named
#
# test/mutations.list tells them.  Each is an exact piece of text that occurs once in its file, and what stands there
# instead: where the code has moved on, the script fails and says so.  A test counts as failing only if it passes on the
# code as it is, which is looked at first.  The table tells what each test said; the last line is "N killed, N survived".
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

list=$checkout/test/mutations.list
killed=0 survived=0 broken=0
declare -A sound  # test -> yes, where it passes on the code as it is

main() {
  in_workspace "$@"
  local name file test
  while IFS='|' read -r name file test; do check_mutation "$name" "$file"; done < <(selected "$@")
  [ "$broken" = 0 ] || fail "$broken mutations do not fit the code"
  write_compiler
  build || fail "the build failed: $(tail -n 20 "$workspace/build.log")"
  export BACKFILL_BUILT=1

  while IFS='|' read -r name file test; do
    is_sound "$test" || echo "$test fails as it is: $(what_failed)" >&2
  done < <(selected "$@")
  printf '%-28s %-34s %-34s %s\n' mutation file test result
  while IFS='|' read -r name file test; do try_mutation "$name" "$file" "$test"; done < <(selected "$@")
  echo "$killed killed, $survived survived"
  [ "$survived" = 0 ] && [ "$broken" = 0 ] && [ "$killed" -gt 0 ]
}

# name|file|test of the mutations that are named, or of all.
selected() {
  local name
  sed -n 's/^== \([a-z_]*\) | \([^ ]*\) | \(.*\)$/\1|\2|\3/p' "$list" | while IFS= read -r line; do
    name=${line%%|*}
    [[ $# -eq 0 || " $* " == *" $name "* ]] && echo "$line"
  done
}

# The two texts of a mutation: what is there, and what shall be.
text_of() {
  awk -v name="$1" -v part="$2" '
    /^== / { here = ($2 == name); now = "from"; next }
    here && /^-- with$/ { now = "to"; next }
    here && now == part { print }' "$list"
}

check_mutation() {
  local count
  count=$(FROM=$(text_of "$1" from) perl -0777 -ne '$from = $ENV{FROM}; $n = () = /\Q$from\E/g; print $n' "$2")
  [ "$count" = 1 ] && return
  echo "$1: its text occurs ${count:-0} times in $2, and not once" >&2
  broken=$((broken + 1))
}

mutate() {
  cp -p "$2" "$workspace/whole"
  cp -p "${2%.cpp}.o" "$workspace/whole.o"
  FROM=$(text_of "$1" from) TO=$(text_of "$1" to) perl -0777 -pi -e '$from = $ENV{FROM}; s/\Q$from\E/$ENV{TO}/' "$2"
}

# The object too, younger than its source: the next build only has to link it.
restore() {
  cp -p "$workspace/whole" "$1"
  cp "$workspace/whole.o" "${1%.cpp}.o"
}

# Quick to build, and deaf to what a missing defence leaves unused.
write_compiler() {
  local cache=''
  ! have_ccache || cache='ccache '
  printf '#!/bin/sh\nexec %sg++ "$@" -O0 -w\n' "$cache" >"$workspace/g++"
  chmod +x "$workspace/g++"
  PG_CONFIG=$(copy_postgres "$(find_pg_config)" "$workspace/pg") || fail "cannot copy PostgreSQL"
  export PG_CONFIG PATH="${PG_CONFIG%/*}:$PATH"
}

build() {
  make -s -j"$(nproc)" TESTING=1 CXX="$workspace/g++" PG_CONFIG="$PG_CONFIG" all >"$workspace/build.log" 2>&1 &&
    make -s TESTING=1 CXX="$workspace/g++" PG_CONFIG="$PG_CONFIG" install >>"$workspace/build.log" 2>&1
}

# run_test SUITE:NAME[:PATTERN]: its status; PATTERN picks races of 210_two_looks.
run_test() {
  local suite name pattern only=()
  IFS=: read -r suite name pattern <<<"$1"
  [ -z "$pattern" ] || only=("BACKFILL_RACES=^$pattern\$")
  # A workspace of its own beside ours: the servers of a test that fails are not to be met by the next.
  rm -rf "$workspace/run" && mkdir "$workspace/run" && ln -s "$workspace/src" "$workspace/run/src"
  (timeout -k 10 300 env "${only[@]}" BACKFILL_WORKSPACE="$workspace/run" CHECK_ONLY="$name" \
    CHECK_SUITE_SECONDS=200 PG_TEST_TIMEOUT_DEFAULT=30 bash test/check.sh "$suite") >"$workspace/test.log" 2>&1
}

is_sound() {
  [ -n "${sound[$1]:-}" ] || { run_test "$1" && sound[$1]=yes || sound[$1]=no; }
  [ "${sound[$1]}" = yes ]
}

# A test that hangs under a mutation is told as such: on a busy machine it may only have been slow.
what_failed() {
  grep -m 1 -oE '^not ok .*|^test .* FAILED.*|^(FAILED|# *Failed|Bailout).*|# .*timed out.*' "$workspace/test.log" | cut -c1-80 || echo 'a hang'
}

# Sound tests come first, mutations after them: so each costs one file to compile and one link.
try_mutation() {
  local name=$1 file=$2 test=$3 result
  if [ "${sound[$test]}" = no ]; then
    result='fails without it' broken=$((broken + 1))
  else
    mutate "$name" "$file"
    if ! build; then
      result="does not build: $(grep -m 1 error: "$workspace/build.log")" broken=$((broken + 1))
    elif run_test "$test"; then
      result=SURVIVED survived=$((survived + 1))
    else
      result="killed by $(what_failed)" killed=$((killed + 1))
    fi
    restore "$file"
  fi
  printf '%-28s %-34s %-34s %s\n' "$name" "$file" "$test" "$result"
}

main "$@"
