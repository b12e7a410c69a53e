#!/usr/bin/env bash
# Installs from Debian what building and testing backfill needs.  Silent and quick where nothing is missing.
# BACKFILL_WITHOUT='lint browser' leaves out what only the lint suite and the look at the HTML report need.
set -euo pipefail

# The major version that an unset PG_CONFIG means: what is installed, else the distribution's.
postgres_major() {
  dpkg-query -W -f='${Version}\n' postgresql 2>/dev/null | grep -oE '^[0-9]+' ||
    apt-cache show postgresql 2>/dev/null | sed -nE 's/^Version: ([0-9]+).*/\1/p' | head -n 1 | grep . ||
    echo 15
}

missing_of() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo "$@"
  else
    echo "cannot install packages: neither root nor sudo without a password" >&2
    return 1
  fi
}

update_lists() {
  as_root apt-get -qq -o Dpkg::Use-Pty=0 update
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" \
    >/dev/null
}

# The server package starts a cluster of its own when first installed; nothing here needs it.
install_postgres_without_cluster() {
  local conf=/etc/postgresql-common/createcluster.conf
  [ -z "$(missing_of postgresql-common)" ] || apt_install postgresql-common
  as_root cp -p "$conf" "$conf.before-backfill"
  trap 'as_root mv '"$conf.before-backfill $conf" EXIT
  as_root sed -i 's/^#\{0,1\}create_main_cluster.*/create_main_cluster = false/' "$conf"
  apt_install "$@"
}

# One to look at the HTML report in; all else can be tested without it.
have_browser() {
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

install_browser() {
  echo "installing: chromium"
  update_lists && apt_install chromium
}

without() {
  [[ " ${BACKFILL_WITHOUT:-} " == *" $1 "* ]]
}

main() {
  command -v dpkg-query >/dev/null || { echo "not a Debian system: install the packages of test/deps.sh by hand" >&2; exit 1; }
  local tools=(g++ make cmake pkg-config git libpq-dev libyaml-dev libcurl4-openssl-dev libgtest-dev perl libipc-run-perl)
  without lint || tools+=(clang-tools clang-tidy clang-format shellcheck)
  local servers=() major missing
  if [ -z "${PG_CONFIG:-}" ]; then
    major=$(postgres_major)
    servers=("postgresql-$major" "postgresql-server-dev-$major" "postgresql-$major-cron" "postgresql-$major-repack")
  fi

  mapfile -t missing < <(missing_of "${tools[@]}" "${servers[@]}")
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    update_lists
    mapfile -t missing < <(missing_of "${tools[@]}")
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
    mapfile -t missing < <(missing_of "${servers[@]}")
    [ ${#missing[@]} -eq 0 ] || install_postgres_without_cluster "${missing[@]}"
  fi
  without browser || have_browser || install_browser ||
    echo "no browser could be installed: the test of the HTML report will be skipped" >&2
}

main "$@"
