#!/usr/bin/env bash
# An include never points up, and only src/pg/ knows the server's headers.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The floors.  An include goes to a lower floor, or stays in its folder.
floors='
core 0
pg 0
catalog 1
plan 2
copy 3
capture 3
audit 4
publish 5
run 6
report 6
api.cpp 7
testing.cpp 7
'
# Exceptions on the same floor: who may include what.
#   the boundary carries our errors; the drain's rows are made by the very SQL that made the copy's
allowed='
pg core/*
capture copy/transform.hpp
'

declare -A floor_of
while read -r place floor; do
  [ -z "$place" ] || floor_of[$place]=$floor
done <<<"$floors"

is_allowed() {
  local who what
  while read -r who what; do
    # shellcheck disable=SC2053  # the right side is a pattern
    [[ $1 == "$who" && $2 == $what ]] && return 0
  done <<<"$allowed"
  return 1
}

# Headers of src/ through which the server's headers come in.
server_doors=' '
find_server_doors() {
  local header include before
  for header in $(grep -lE '^#include "postgres\.h"' src/pg/*.hpp 2>/dev/null); do
    server_doors+="${header#src/} "
  done
  until [ "${before:-}" = "$server_doors" ]; do
    before=$server_doors
    for header in src/pg/*.hpp; do
      for include in $(sed -nE 's/^#include "(.*)".*/\1/p' "$header" 2>/dev/null); do
        [[ $server_doors == *" $include "* && $server_doors != *" ${header#src/} "* ]] && server_doors+="${header#src/} "
      done
    done
  done
}

check_include() {
  local file=$1 line=$2 include=$3
  local from=${file#src/} to=${include%%/*}
  from=${from%%/*}
  if [ ! -e "src/$include" ]; then
    [ "$from" = pg ] || echo "$file:$line: \"$include\" is not a header of src/; only src/pg/ includes those of the server"
  elif [[ $from != pg && $server_doors == *" $include "* ]]; then
    echo "$file:$line: $include brings in the server's headers, which only src/pg/ may see"
  elif [ -z "${floor_of[$from]:-}" ] || [ -z "${floor_of[$to]:-}" ]; then
    echo "$file:$line: no floor is known for $from or $to (see the table in test/lint/includes.sh)"
  elif [ "$from" != "$to" ] && [ "${floor_of[$to]}" -ge "${floor_of[$from]}" ] && ! is_allowed "$from" "$include"; then
    echo "$file:$line: $from (floor ${floor_of[$from]}) includes $include (floor ${floor_of[$to]})"
  fi
}

# <server/header.h> is no way around it.
check_system_include() {
  local file=$1 line=$2 include=$3
  [[ $file == src/pg/* || $include != *.h ]] && return
  case $include in
    yaml.h) ;;
    *) echo "$file:$line: <$include> above src/pg/: a C++ header or yaml.h is what there is" ;;
  esac
}

find_server_doors
findings=$(
  while IFS=: read -r file line text; do
    if [[ $text =~ ^[[:space:]]*\#[[:space:]]*include[[:space:]]*\"([^\"]+)\" ]]; then
      check_include "$file" "$line" "${BASH_REMATCH[1]}"
    elif [[ $text =~ ^[[:space:]]*\#[[:space:]]*include[[:space:]]*\<([^\>]+)\> ]]; then
      check_system_include "$file" "$line" "${BASH_REMATCH[1]}"
    fi
  done < <(files \( -path './src/*.cpp' -o -path './src/*.hpp' \) | xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include')
)
[ -z "$findings" ] || { echo "$findings"; exit 1; }
