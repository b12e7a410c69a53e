#!/usr/bin/env bash
# A coverage-guided fuzzer (libFuzzer of clang, with AddressSanitizer and UBSan) on what reads other people's texts and on the
# arithmetic of ranges:
#
#   bash test/fuzz/run.sh                        every target, a minute each
#   bash test/fuzz/run.sh --seconds 600 spec     one target, longer
#
# It begins with the specs of the documentation and the unit tests.  What it finds stays in the directory it names; run the
# program of that directory with the file as argument to see it again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
seconds=60
targets=()

while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift ;;
    *) [ -f "$here/$1_fuzz.cpp" ] || { echo "no target \"$1\"" >&2; exit 1; }; targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(spec ranges)
command -v clang++ >/dev/null || { echo "clang++ is not installed" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/backfill-fuzz-XXXXXX")
flags=(-std=c++20 -O1 -g "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=undefined -I"$checkout/src" -I"$here")

# Every indented or fenced block of the documentation, and every raw string of the unit tests, is a seed.
mkdir -p "$work/seeds"
awk -v dir="$work/seeds" '
  /^```/ { if (open) close(file); open = !open; if (open) file = dir "/doc" ++n; next }
  open { print > file }' "$checkout"/docs/*.md "$checkout"/README.md
awk -v dir="$work/seeds" '
  { text = $0 }
  match(text, /R"[a-z]*\(/) { inside = 1; file = dir "/unit" ++n; text = substr(text, RSTART + RLENGTH) }
  inside { finish = match(text, /\)[a-z]*"/); print (finish ? substr(text, 1, RSTART - 1) : text) > file
           if (finish) { inside = 0; close(file) } }' "$checkout"/test/unit/*_test.cpp

status=0
for target in "${targets[@]}"; do
  clang++ "${flags[@]}" "$here/${target}_fuzz.cpp" "$checkout"/src/core/*.cpp -lyaml -o "$work/$target"
  mkdir -p "$work/corpus-$target"
  if ASAN_OPTIONS=detect_leaks=1 "$work/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="$work/$target-" "$work/corpus-$target" "$work/seeds" >"$work/$target.log" 2>&1; then
    echo "ok - $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log") inputs in $seconds s"
  else
    tail -n 40 "$work/$target.log"
    echo "not ok - $target (in $work)"
    status=1
  fi
done
[ "$status" != 0 ] || rm -rf "$work"
exit "$status"
