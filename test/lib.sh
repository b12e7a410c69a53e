# Sourced by demo.sh, check.sh, oracle/run.sh and whoever needs a server of this very checkout.
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   in_workspace "$@"        installs what is missing, copies the checkout and starts this script again in the copy,
#                            as user postgres where the caller is root; returns only in there
#   build_and_install        builds the copy and installs it into a private copy of the PostgreSQL tree
#   start_cluster            a throwaway server on a Unix socket; PGHOST, PGUSER and PATH lead to it
#
# A workspace is one temporary directory: src (the checkout), pg (PostgreSQL), data and log of each cluster.  Nothing else
# is written (but the cache of ccache, where that is installed), so two runs do not meet.  It is removed at the end;
# BACKFILL_KEEP=1 keeps it, BACKFILL_KEEP=cluster its servers too.
# shellcheck shell=bash

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
workspace=${BACKFILL_WORKSPACE:-}

fail() {
  echo "$*" >&2
  exit 1
}

# -- outside: prepare a workspace and start over in it

in_workspace() {
  if [ -n "$workspace" ]; then
    trap stop_clusters EXIT
    trap 'exit 130' INT TERM HUP
    cd "$workspace/src" || exit 1
    return
  fi
  local script status=0 child
  script=$(realpath --relative-to="$checkout" "$0")
  bash "$checkout/test/deps.sh" || fail "cannot install what is missing (see test/deps.sh)"
  workspace=$(mktemp -d "${TMPDIR:-/tmp}/backfill-XXXXXX")
  trap leave_workspace EXIT
  trap 'exit 130' INT TERM HUP
  mkdir "$workspace/src" && copy_checkout "$workspace/src"
  [ "$(id -u)" != 0 ] || chown -R postgres: "$workspace"

  # A process group of its own, in the background, so that a signal reaches our trap and we pass it on to all of it.
  set -m
  run_in_workspace "$workspace/src/$script" "$@" </dev/null &
  child=$!
  set +m
  trap 'kill -TERM -- -$child 2>/dev/null; wait $child; exit 130' INT TERM HUP
  wait "$child" || status=$?
  exit "$status"
}

# Servers whose starter was killed are stopped here: their pid files are in the workspace.
leave_workspace() {
  [ "${BACKFILL_KEEP:-}" != cluster ] || return 0
  local pid_file pid
  while IFS= read -r pid_file; do
    pid=$(head -n 1 "$pid_file")
    kill -QUIT "$pid" 2>/dev/null && tail --pid="$pid" -f /dev/null
  done < <(find "$workspace" -name postmaster.pid 2>/dev/null)
  if [ -n "${BACKFILL_KEEP:-}" ]; then
    echo "kept: $workspace" >&2
  else
    rm -rf "$workspace"
  fi
}

# What git knows or would add; every file where this is no git checkout.
copy_checkout() {
  local files=(git -c safe.directory='*' -C "$checkout" ls-files -z --cached --others --exclude-standard)
  if [ -e "$checkout/.git" ] && "${files[@]}" >/dev/null 2>&1; then
    (cd "$checkout" && "${files[@]}" | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
      tar -c --no-recursion --null -T - -f -) | tar -x --no-same-owner -C "$1" -f -
  else
    tar -c -C "$checkout" --exclude=./.git --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude=./build -f - . |
      tar -x --no-same-owner -C "$1" -f -
  fi
  chmod -R u+rwX "$1"
}

run_in_workspace() {
  local user as=()
  user=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    user=postgres
    as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  fi
  cd "$workspace" || exit 1
  exec "${as[@]}" env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGPASSWORD -u PGSERVICE -u PGOPTIONS -u PGDATA \
    -u MAKEFLAGS -u MAKELEVEL -u BACKFILL_BUILT BACKFILL_WORKSPACE="$workspace" HOME="$workspace" USER="$user" \
    LANG=C.UTF-8 LC_ALL=C.UTF-8 CCACHE_DIR="$(getent passwd "$user" | cut -d: -f6)/.cache/ccache" PSQLRC=/dev/null PSQL_PAGER='' bash "$@"
}

# -- inside

# Where the server's pg_config is: PG_CONFIG, or Debian's newest.
find_pg_config() {
  if [ -n "${PG_CONFIG:-}" ]; then
    echo "$PG_CONFIG"
  else
    find /usr/lib/postgresql -path '*/bin/pg_config' 2>/dev/null | sort -V | tail -n 1
  fi
}

# PostgreSQL finds its files relative to its programs, so a copy that keeps the layout is a tree of its own.
copy_postgres() {
  local from=$1 to=$2 bin dir
  bin=$("$from" --bindir)
  for dir in "$bin" "$("$from" --pkglibdir)" "$("$from" --sharedir)"; do
    mkdir -p "$to$(dirname "$dir")"
    cp -a "$dir" "$to$(dirname "$dir")/"
  done
  for dir in "$("$from" --includedir)" "$("$from" --libdir)"; do
    [ -e "$to$dir" ] && continue
    mkdir -p "$to$(dirname "$dir")"
    ln -s "$dir" "$to$dir"
  done
  chmod -R u+w "$to"
  echo "$to$bin/pg_config"
}

# A compiler cache saves the second run most of its time; paths inside the workspace do not count in it.
have_ccache() {
  command -v ccache >/dev/null && mkdir -p "$CCACHE_DIR" 2>/dev/null || return 1
  export CCACHE_BASEDIR="$workspace" CCACHE_NOHASHDIR=1
}

# build_and_install [MAKE-VARIABLE=VALUE ...]; does nothing where the script that called this one did it before.
build_and_install() {
  [ -z "${BACKFILL_BUILT:-}" ] || return 0
  local from make_args=("$@")
  from=$(find_pg_config)
  [ -x "$from" ] || fail "no pg_config found; set PG_CONFIG"
  PG_CONFIG=$(copy_postgres "$from" "$workspace/pg") || fail "cannot copy PostgreSQL"
  export PG_CONFIG PATH="${PG_CONFIG%/*}:$PATH"
  ! have_ccache || make_args+=(CXX='ccache g++')
  make -s -j"$(nproc)" "${make_args[@]}" PG_CONFIG="$PG_CONFIG" all &&
    make -s "${make_args[@]}" PG_CONFIG="$PG_CONFIG" install &&
    export BACKFILL_BUILT=1
}

clusters=()

# start_cluster [NAME [CONFIGURATION-LINE ...]]
start_cluster() {
  local name=${1:-main} dir
  dir=$workspace/$name
  [ $# -eq 0 ] || shift
  mkdir "$dir"
  "${PG_CONFIG%/*}/initdb" -D "$dir/data" -U postgres -A trust -N -E UTF8 --locale=C.UTF-8 --no-instructions >"$dir/log" ||
    fail "initdb failed: $(tail "$dir/log")"
  {
    cat <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
port = 5432
fsync = off
max_worker_processes = 64
max_prepared_transactions = 10
log_line_prefix = '%m [%p] %b %a '
CONF
    printf '%s\n' "$@"
  } >>"$dir/data/postgresql.conf"
  "${PG_CONFIG%/*}/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start || fail "the server does not start: $(tail "$dir/log")"
  clusters+=("$dir")
  export PGHOST="$dir" PGUSER=postgres PGDATABASE=postgres
}

stop_clusters() {
  local dir
  for dir in "${clusters[@]}"; do
    [ ! -f "$dir/data/postmaster.pid" ] || "${PG_CONFIG%/*}/pg_ctl" -D "$dir/data" -m immediate -w -s stop || :
  done
  clusters=()
}
