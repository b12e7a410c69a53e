#!/usr/bin/env bash
# Measures backfill against what else one could do, and against the budgets of docs/operations.md.
#
#   bash test/bench/run.sh [--size tiny|small|full] [--only PART ...] [--out DIR] [--runs N] [--seconds N]
#                          [--tables NAME,...] [--contestants NAME,...] [--no-fsync] [--resume]
#
# Builds a copy of this checkout and measures it on a throwaway server.  Each part leaves DIR/PART.json as soon as it has
# ended, and then DIR/bench.md (tables, every budget with its measured ratio) and DIR/bench.json (facts of the machine,
# settings, every single run) are written anew from all parts there are.  --resume passes over the parts that DIR has of
# this size already, so that a run which was interrupted goes on; DIR is build/bench/SIZE otherwise.
#
# --runs is the number of repetitions (pairs of the part capture, rounds of drain), --seconds how long each run of pgbench
# lasts; --tables and --contestants choose those of the part copy (their names stand there).  --no-fsync has the server not
# wait for its disk: then the processor is the limit, and not the rate at which WAL is flushed.
#
# Contestants take turns (A B C A B C …) and medians are compared: a machine has moods.  `full` is 5 million rows and
# takes more than an hour on two cores (docs/operations.md has the half hour that matters); `tiny` only shows that all of it still runs, its numbers mean nothing.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

parts=(copy capture stalls drain growth memory)
size=small out='' runs='' seconds='' tables='' contestants='' fsync=on resume='' chosen=()

main() {
  read_arguments "$@"
  [ -n "$out" ] || out=$checkout/build/bench/$size
  if [ -z "$workspace" ]; then
    prepare_output
    set -- --size "$size" --out "$out" ${runs:+--runs "$runs"} ${seconds:+--seconds "$seconds"} \
      ${tables:+--tables "$tables"} ${contestants:+--contestants "$contestants"} ${resume:+--resume} "${chosen[@]/#/--only=}"
    [ "$fsync" = on ] || set -- "$@" --no-fsync
  fi
  in_workspace "$@"
  [ -w "$out" ] || fail "user $(id -un) cannot write to $out: choose another directory with --out"
  export BENCH_SIZE=$size BENCH_OUT=$out BENCH_RUNS=$runs BENCH_SECONDS=$seconds BENCH_TABLES=$tables
  export BENCH_CONTESTANTS=$contestants PERL5LIB=$checkout/test/bench
  choose_parts
  if [ ${#parts[@]} != 0 ]; then
    start
  fi

  local part status=0
  for part in "${parts[@]}"; do
    measure "$part" || status=1
    perl "$checkout/test/bench/report.pl" || status=1
  done
  echo "written: $out/bench.md, $out/bench.json" >&2
  [ "$size" = tiny ] || cat "$out/bench.md"
  exit "$status"
}

start() {
  echo "building" >&2
  # shellcheck disable=SC2119
  build_and_install >"$workspace/build.log" 2>&1 || fail "the build failed: $(tail -n 20 "$workspace/build.log")"
  require_pg_repack
  settings
  start_cluster "bench_$$" "${configuration[@]}"
  export BENCH_LOG=$PGHOST/log BENCH_POSTMASTER BENCH_CHECKOUT=$checkout
  BENCH_POSTMASTER=$(head -n 1 "$PGHOST/data/postmaster.pid")
}

read_arguments() {
  local known=" ${parts[*]} " part
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --size) size=${2:-}; shift ;;
      --only) chosen+=("${2:-}"); shift ;;
      --out) out=$(realpath -m "${2:?}"); shift ;;
      --runs) runs=${2:-}; shift ;;
      --seconds) seconds=${2:-}; shift ;;
      --tables) tables=${2:-}; shift ;;
      --contestants) contestants=${2:-}; shift ;;
      --no-fsync) fsync=off ;;
      --resume) resume=yes ;;
      [a-z]*) chosen+=("$1") ;;
      *) fail "usage: run.sh [--size tiny|small|full] [--only PART ...] [--out DIR] [--runs N] [--seconds N]" \
        "[--tables NAME,...] [--contestants NAME,...] [--no-fsync] [--resume]" ;;
    esac
    shift
  done
  [[ $size =~ ^(tiny|small|full)$ ]] || fail "no size \"$size\"; there are: tiny small full"
  [[ $runs =~ ^([1-9][0-9]*)?$ ]] || fail "--runs takes a number"
  [[ $seconds =~ ^([1-9][0-9]*)?$ ]] || fail "--seconds takes a number"
  [[ $tables,$contestants =~ ^[a-z0-9,]*$ ]] || fail "--tables and --contestants take names with commas between them"
  for part in "${chosen[@]}"; do
    [[ $known == *" $part "* ]] || fail "no part \"$part\"; there are: ${parts[*]}"
  done
}

# Those named, or all, less what is to be kept.
choose_parts() {
  local all=("${parts[@]}") part
  [ ${#chosen[@]} = 0 ] || all=("${chosen[@]}")
  parts=()
  for part in "${all[@]}"; do
    if [ -n "$resume" ] && perl -MBench -e 'exit !Bench::measured(shift)' "$part"; then
      echo "$part: measured before" >&2
    else
      parts+=("$part")
    fi
  done
}

# The measuring is done by user postgres where root starts it.
prepare_output() {
  mkdir -p "$out" || fail "cannot make $out"
  [ "$(id -u)" != 0 ] || chown postgres: "$out" || fail "cannot give $out to user postgres"
}

# test/deps.sh installs it with Debian's server; a server of one's own must bring it.
require_pg_repack() {
  [ -x "${PG_CONFIG%/*}/pg_repack" ] && [ -e "$("$PG_CONFIG" --sharedir)/extension/pg_repack.control" ] ||
    fail "pg_repack is missing beside $PG_CONFIG: install postgresql-$("$PG_CONFIG" --version | grep -oE '[0-9]+' | head -n 1)-repack"
}

# The same for all contestants.  WAL is flushed as in production (but with --no-fsync, and in the part capture: there only
# the processor counts), and no checkpoint falls into a run: each run begins with one.
settings() {
  local buffers=128MB maintenance=64MB wal=4GB
  case $size in
    small) buffers=256MB maintenance=128MB wal=8GB ;;
    full) buffers=1GB maintenance=512MB wal=40GB ;;
  esac
  configuration=("shared_buffers = $buffers" "maintenance_work_mem = $maintenance" "max_wal_size = $wal"
    "min_wal_size = 1GB" "checkpoint_timeout = 1d" "fsync = $fsync" "wal_level = replica" "work_mem = 16MB"
    "max_parallel_maintenance_workers = 2" "max_parallel_workers_per_gather = 2" "max_connections = 50"
    "log_temp_files = 0" "autovacuum_naptime = 5s" "track_wal_io_timing = off")
}

measure() {
  local begin=$SECONDS
  echo "$1 …" >&2
  createdb "bench_$1" && psql -Xq -d "bench_$1" -c 'CREATE EXTENSION backfill' || return
  PGDATABASE=bench_$1 perl "$checkout/test/bench/parts/$1.pl" || { echo "$1: failed" >&2; return 1; }
  psql -Xq -d postgres -c "DROP DATABASE bench_$1 WITH (FORCE)" || return
  echo "$1: $((SECONDS - begin)) s" >&2
}

main "$@"
