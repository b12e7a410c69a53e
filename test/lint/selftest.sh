#!/usr/bin/env bash
# Feeds each rule a tree that breaks it and one that does not: it has to complain of the first, and of nothing else.
# Speaks TAP; the argument is the number of assertions made before.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
number=${1:-0} status=0
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

assert() {
  number=$((number + 1))
  if [ "$1" = 0 ]; then
    echo "ok $number - $2"
  else
    status=1
    echo "not ok $number - $2"
  fi
}

# sample FILE: a file of the sample tree, from standard input.
sample() {
  mkdir -p "$tree/$(dirname "$1")"
  cat >"$tree/$1"
}

good_tree() {
  rm -rf "$tree"
  mkdir -p "$tree"
  cp "$here/../../.clang-format" "$here/../../.clang-tidy" "$tree/"
  sample src/core/word.hpp <<<$'#pragma once\n#include <string>'
  sample src/catalog/job.hpp <<<$'#pragma once\n#include "core/word.hpp"'
  sample src/copy/transform.hpp <<<$'#pragma once'
  sample src/copy/shadow.hpp <<<$'#pragma once'
  sample src/capture/drain.hpp <<<$'#pragma once\n#include "copy/transform.hpp"'
  sample src/audit/check.hpp <<<$'#pragma once'
  sample src/pg/postgres.hpp <<<$'#pragma once\nextern "C" {\n#include "postgres.h"\n\n#include "utils/memutils.h"\n}'
  sample src/pg/guard.hpp <<'CPP'
#pragma once
#include <string>

#include "pg/postgres.hpp"

namespace backfill::pg {
template <typename Fn>
auto call(Fn fn) {
  return fn();
}
}  // namespace backfill::pg
CPP
  sample src/pg/memory.hpp <<<$'#pragma once\nnamespace backfill::pg {\nvoid reset();\n}'
  sample src/sql/tables.sql <<<'CREATE TABLE backfill.job (id int);'
  sample src/sql/upgrade/backfill--1--2.sql <<<'CREATE OR REPLACE VIEW backfill.jobs AS SELECT 1;'
  sample test/run.sh <<<$'#!/bin/sh\necho "$1"'
  sample README.md <<<$'# The house\n[guide](docs/guide.md#1-first-steps)'
  sample docs/guide.md <<<$'## 1. First `steps`\n[above](#1-first-steps), [house](../README.md), [elsewhere](https://example.com/x)'
}

# complains RULE WHAT PATTERN: in the tree as it is now, with a finding that matches.
complains() {
  local findings
  findings=$(bash "$here/$1.sh" "$tree" 2>&1)
  if [ $? = 1 ] && grep -qE "$3" <<<"$findings"; then
    assert 0 "$1 complains of $2"
  else
    assert 1 "$1 complains of $2"
    sed 's/^/# /' <<<"said: $findings"
  fi
  good_tree
}

# A pg source with this body of a function.
pg_body() {
  { printf '#include "pg/guard.hpp"\n\nnamespace backfill::pg {\n'; cat; printf '}  // namespace backfill::pg\n'; } |
    sample src/pg/body.cpp
}

main() {
  local rule findings
  good_tree
  for rule in "$here"/*.sh; do
    rule=$(basename "$rule" .sh)
    case $rule in common | run | selftest) continue ;; esac
    findings=$(bash "$here/$rule.sh" "$tree" 2>&1)
    assert $? "$rule accepts a clean tree"
    [ -z "$findings" ] || sed 's/^/# /' <<<"$findings"
  done

  sample src/catalog/job.cpp <<<'#include "audit/check.hpp"'
  complains includes 'an include that points up' 'catalog/job.cpp:1: .*floor 4'
  sample src/copy/batch.cpp <<<'#include "capture/drain.hpp"'
  complains includes 'an include across one floor' 'copy/batch.cpp:1: '
  sample src/capture/drain.cpp <<<'#include "copy/shadow.hpp"'
  complains includes 'the drain looking into the copy' 'capture/drain.cpp:1: '
  sample src/core/word.cpp <<<'#include "pg/memory.hpp"'
  complains includes 'a core that knows the boundary' 'core/word.cpp:1: '
  sample src/copy/batch.cpp <<<'#include "utils/rel.h"'
  complains includes 'a server header above src/pg' 'copy/batch.cpp:1: '
  sample src/copy/batch.cpp <<<'#include <postgres.h>'
  complains includes 'a server header in angle brackets' 'copy/batch.cpp:1: '
  sample src/copy/batch.cpp <<<'#include "pg/guard.hpp"'
  complains includes 'a header that brings the server in' 'copy/batch.cpp:1: '
  sample src/helpers/x.cpp <<<'#include "core/word.hpp"'
  complains includes 'a folder without a floor' 'helpers/x.cpp:1: '

  pg_body <<<'void f() { call([&] { std::string name("x"); }); }'
  complains destructors 'a local string in pg::call' 'body.cpp:4: a local'
  pg_body <<<'std::string g(); void f() { call([&] { return g().size(); }); }'
  complains destructors 'a temporary string in pg::call' 'body.cpp:4: a temporary'
  pg_body <<<'void f() { auto fn = [] { return 1; }; call(fn); }'
  complains destructors 'a lambda out of sight' 'body.cpp:4: .*on the spot'
  pg_body <<<'struct Context { MemoryContext c; ~Context() { MemoryContextDelete(c); } };'
  complains destructors 'a destructor that calls the server' 'body.cpp:4: a destructor'
  pg_body <<<'void reset(); struct Context { ~Context() { reset(); } };'
  complains destructors 'a destructor that calls the boundary' 'body.cpp:4: a destructor'

  sample src/core/word.cpp <<<'int   f( );'
  complains format 'a crooked line' 'core/word.cpp:1: '
  sample src/core/word.cpp <<<$'#include <string>\n#include <utility>\nstd::string f(std::string a) {\n  std::string b = std::move(a);\n  return a + b;\n}'
  complains tidy 'a use after move' 'core/word.cpp:5: .*bugprone-use-after-move'
  sample src/copy/batch.cpp <<<'#if PG_VERSION_NUM >= 160000'
  complains versions 'a version test above src/pg' 'copy/batch.cpp:1: '
  sample src/core/version.hpp <<<'inline constexpr char library_version[] = "0.5";'
  complains versions 'another version in the Makefile' 'core/version.hpp:1: Makefile'
  sample src/sql/views.sql <<<'CREATE OR REPLACE VIEW backfill.jobs AS SELECT 1;'
  complains sql 'CREATE OR REPLACE' 'views.sql:1: '
  sample src/core/word.cpp <<<'int f(); '
  complains text 'trailing white space' 'core/word.cpp:1: trailing'
  sample src/core/word.cpp <<<$'\tint f();'
  complains text 'a tab' 'core/word.cpp:1: a tab'
  sample src/core/word.cpp <<<'// TO''DO: f'
  complains text 'what is unfinished' 'core/word.cpp:1: unfinished'
  sample docs/guide.md <<<$'\n[a page](no.md)'
  complains links 'a link to a file that is not there' 'guide.md:2: the link leads nowhere: no.md'
  sample README.md <<<'[guide](docs/guide.md#2-next-steps)'
  complains links 'a link to a heading that is not there' 'README.md:1: no such heading'
  sample test/run.sh <<<$'#!/bin/sh\necho $1'
  complains shell 'an unquoted variable' 'test/run.sh:2:'
  return $status
}

main
