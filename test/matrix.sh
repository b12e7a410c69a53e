#!/usr/bin/env bash
# Builds backfill and runs its suites on every PostgreSQL that it is for, each on the Debian that ships it:
#
#   bash test/matrix.sh                          all of `versions`, every suite but lint
#   bash test/matrix.sh 17 18                    some versions
#   bash test/matrix.sh 18 -- regress isolation  some suites; CHECK_ONLY and the like mean what they mean to check.sh
#   bash test/matrix.sh --cache DIR ...          where the Debians are kept ($XDG_CACHE_HOME/backfill-matrix)
#   bash test/matrix.sh --upgrade ...            bring them up to date first
#
# No Debian ships 16, but an Ubuntu does: it runs where it is named and UBUNTU_KEYRING says which keys its archive is signed with
# (ubuntu-archive-keyring.gpg of the package ubuntu-keyring).
#
# A version in three steps: a minimal Debian is made by debootstrap, once, with what test/deps.sh asks for; the checkout is
# copied into it; test/check.sh runs in there.  Whatever runs inside has mounts and processes of its own (unshare), which
# the kernel ends with it: nothing stays mounted or running.  Wants root, and about 2 GB for a Debian.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

declare -A distribution=([15]=bookworm [16]=noble [17]=trixie [18]=sid)
versions=(15 17 18)
suites=(unit regress isolation tap oracle)

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
ubuntu_mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/backfill-matrix
upgrade=no

main() {
  local version status=0 summary=()
  read_arguments "$@"
  [ "$(id -u)" = 0 ] || fail "must be root: a Debian is entered by chroot"
  command -v debootstrap >/dev/null || fail "debootstrap is not installed"
  mkdir -p "$cache" && cache=$(cd "$cache" && pwd) || exit 1
  for version in "${versions[@]}"; do
    printf '\n#### PostgreSQL %s on %s\n' "$version" "${distribution[$version]}"
    try_version "$version" || status=1
    summary+=("$version: $result")
  done
  printf '\n#### all\n'
  printf '%s\n' "${summary[@]}"
  return "$status"
}

read_arguments() {
  local wanted=() version
  while [ $# -gt 0 ]; do
    case $1 in
      --cache) [ $# -gt 1 ] || fail "--cache wants a directory"; cache=$2; shift ;;
      --upgrade) upgrade=yes ;;
      --) shift; [ $# -eq 0 ] || suites=("$@"); break ;;
      *) wanted+=("$1") ;;
    esac
    shift
  done
  for version in "${wanted[@]}"; do
    [ -n "${distribution[$version]:-}" ] || fail "no version \"$version\"; there are: 15 16 17 18"
  done
  [ ${#wanted[@]} -eq 0 ] || versions=("${wanted[@]}")
}

# One version; `result` is the line that tells of it.
try_version() {
  local root=$cache/${distribution[$1]} log=$cache/$1.log lock status
  exec {lock}>"$root.lock"
  flock -n "$lock" || { result='in use by another run'; return 1; }
  if ! prepare "${distribution[$1]}" "$root" >"$log" 2>&1; then
    tail -n 20 "$log"
    result="no Debian to run in (see $log)"
    return 1
  fi
  run_suites "$root" | tee "$log"
  status=${PIPESTATUS[0]}
  result="$(tail -n 1 "$log") ($(describe "$root"))"
  exec {lock}>&-
  return "$status"
}

# -- a Debian to run in

prepare() {
  local suite=$1 root=$2
  if [ ! -d "$root" ]; then
    rm -rf --one-file-system "$root.new"
    bootstrap "$suite" "$root.new" || return 1
    settle "$root.new" && install_packages "$root.new" && mv "$root.new" "$root"
  elif [ "$upgrade" = yes ]; then
    inside "$root" sh -c 'apt-get -q update && apt-get -qy dist-upgrade && apt-get clean'
  fi
}

bootstrap() {
  local with=(--variant=minbase --include=ca-certificates)
  if [ "$1" = noble ]; then
    [ -r "${UBUNTU_KEYRING:-}" ] || { echo "UBUNTU_KEYRING names no file" >&2; return 1; }
    apart debootstrap "${with[@]}" --components=main,universe --keyring="$UBUNTU_KEYRING" "$1" "$2" "$ubuntu_mirror" \
      /usr/share/debootstrap/scripts/gutsy
  else
    apart debootstrap "${with[@]}" "$1" "$2" "$mirror"
  fi
}

# No service starts in there, no manuals, packages need not survive a power cut, and a mirror may have stood still a while.
settle() {
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod +x "$1/usr/sbin/policy-rc.d"
  printf 'force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n' >"$1/etc/dpkg/dpkg.cfg.d/matrix"
  echo 'Acquire::Check-Valid-Until "false";' >"$1/etc/apt/apt.conf.d/matrix"
  printf '127.0.0.1 localhost %s\n' "$(hostname)" >"$1/etc/hosts"
}

install_packages() {
  place_checkout "$1"
  inside "$1" sh -c 'apt-get -q update && apt-get -qy --no-install-recommends install ccache &&
    bash /srv/backfill/test/deps.sh && apt-get clean'
}

# -- running in it

run_suites() {
  place_checkout "$1"
  inside "$1" bash /srv/backfill/test/check.sh "${suites[@]}"
}

place_checkout() {
  rm -rf "$1/srv/backfill"
  mkdir -p "$1/srv/backfill"
  copy_checkout "$1/srv/backfill"
}

describe() {
  inside "$1" sh -c 'echo "$(pg_config --version), g++ $(g++ -dumpfullversion)"' | sed 's/ (Debian[^)]*)//'
}

# apart COMMAND: with mounts and processes that end with it.
apart() {
  unshare --mount --pid --ipc --fork --kill-child -- "$@"
}

# inside ROOT COMMAND: the same, in the Debian there.  The first process of such a world hears no signal it does not trap.
inside() {
  # shellcheck disable=SC2016 # expanded in there
  apart bash -c '
    root=$1
    shift
    trap "exit 130" INT TERM HUP
    mount -t proc proc "$root/proc" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" || exit 1
    chroot "$root" "$@" &
    wait "$!"
  ' inside "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive BACKFILL_WITHOUT='lint browser' "${passed_on[@]}" "${@:2}"
}

# What check.sh and the oracle read.
passed_on=()
for variable in CHECK_ONLY CHECK_SUITE_SECONDS CHECK_DIFF_LINES ORACLE_SEED BACKFILL_KEEP; do
  [ -z "${!variable:-}" ] || passed_on+=("$variable=${!variable}")
done

main "$@"
