#!/usr/bin/env bash
# The main job, to look at: a column is added and another recomputed for a month of flights, while somebody keeps
# changing them.  Plan, sample, run, checks, diff, publish, rollback, publish again, report.
#
#   bash test/demo.sh          everything in a throwaway server, removed at the end
#   bash test/demo.sh --keep   leaves the server running and tells how to go on in psql
#
# DEMO_COPIES=n loads the 20 000 flights n times (default 25), so that there is something to watch.
set -euo pipefail
[ "${1:-}" != --keep ] || export BACKFILL_KEEP=cluster
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

copies=${DEMO_COPIES:-25}
begun=0
writer=

main() {
  in_workspace "$@"
  trap 'stop_writer; stop_clusters' EXIT
  style
  say "Building the extension and starting a server"
  # shellcheck disable=SC2119
  build_and_install >"$workspace/build.log" 2>&1 || fail "the build failed: $(tail -n 20 "$workspace/build.log")"
  start_cluster demo
  createdb flights
  export PGDATABASE=flights PSQL_PAGER=''
  begun=$SECONDS

  the_table
  the_plan
  the_sample
  the_run
  the_evidence
  the_publish
  the_way_back
  the_report
  go_on
}

# -- the story

the_table() {
  say "A table in production: $copies × 20 000 flights of early 2001, an index, foreign keys, a view"
  load_flights
  show "\\d flights"
  show "SELECT count(*), min(departed_at), max(departed_at) FROM flights;"
  say "Its distances are route miles of the carriers; we want great circles, and a class of delay"
  show "$sample"
  start_writer
  say "Somebody keeps writing: dozens of changes a second, from here to the end"
}

sample="SELECT * FROM flights WHERE flight_id IN (9001, 9002, 9003) ORDER BY flight_id;"

the_plan() {
  say "The job, as a file"
  typed "" "cat flights_february.yaml"
  cat test/data/flights_february.yaml
  say "Plan: nothing is written but the plan"
  show_text "\\set spec \`cat test/data/flights_february.yaml\`" "SELECT backfill_plan(:'spec');"
}

the_sample() {
  say "Not sure yet?  A sample builds and audits two chunks, projects the whole, and leaves nothing behind"
  show_text "SELECT backfill_sample('flights_february', 2);"
}

the_run() {
  say "Run: returns at once, background workers do the work"
  show_text "SELECT backfill_run('flights_february');" | narrow
  await "SELECT chunks_done > 0 FROM backfill.jobs WHERE name = 'flights_february'"
  show "SELECT state, phase, chunks_done, chunks_total, rows_done, progress, eta FROM backfill.jobs;"
  show "SELECT chunk, lo, hi, status, rows, batches, duration FROM backfill.chunks ORDER BY chunk LIMIT 6;"
  show "CALL backfill_wait('flights_february');"
}

the_evidence() {
  say "What was proven, on data that keeps changing"
  show "SELECT \"check\", outcome, actual FROM backfill.checks WHERE latest AND scope <> 'pre';"
  say "What publishing would change"
  show_text "SELECT backfill_diff('flights_february', samples => 2);"
}

the_publish() {
  say "Publish: one short transaction of renames"
  show_text "SELECT backfill_publish('flights_february');" | narrow
  show "$sample"
  show "SELECT delay_class, count(*), round(avg(delay_min)) AS avg_delay FROM flights
 WHERE departed_at >= '2001-02-01' AND departed_at < '2001-03-01' GROUP BY 1 ORDER BY 3;"
  echo "(Without a class: what the writer, who does not know of the new column, has inserted since.)"
}

the_way_back() {
  say "Second thoughts: roll back.  What was written since is kept"
  show "UPDATE flights SET delay_min = 321 WHERE flight_id = 9001;"
  show_text "SELECT backfill_rollback('flights_february');" | narrow
  show "$sample"
  say "All is well after all: publish again"
  show_text "SELECT backfill_publish('flights_february');" | narrow
}

the_report() {
  stop_writer
  say "What the writer noticed"
  tell_writer
  say "The report, for the ticket"
  show_text "SELECT backfill_report('flights_february') \\g report.md"
  typed "" "sed '/^## Checks/,\$d' report.md"
  sed '/^## Checks/,$d' report.md
  echo "(and then its checks with their evidence, dependents, history, the way back, the next command)"
}

go_on() {
  if [ "${BACKFILL_KEEP:-}" != cluster ]; then
    say "That was all, in $((SECONDS - begun)) s; the server is gone.  To go on in psql: bash test/demo.sh --keep"
    return
  fi
  local stop="${PG_CONFIG%/*}/pg_ctl -D $workspace/demo/data stop"
  [ "$(id -un)" != postgres ] || stop="su postgres -c '$stop'"
  clusters=()
  run_sql -At -c "SELECT backfill_report('flights_february', 'html')" -o "$workspace/report.html"
  say "The server is still there, and the report as a page to look at: $workspace/report.html.  Go on with:"
  cat <<END
  ${PG_CONFIG%/*}/psql -h $PGHOST -U postgres flights

  SELECT * FROM backfill.jobs;
  SELECT backfill_rollback('flights_february');   -- or keep it for good:
  SELECT backfill_finish('flights_february');

Stop and remove it:
  $stop; rm -rf $workspace
END
}

# -- the data

load_flights() {
  run_sql >/dev/null <<SQL
SET client_min_messages = warning;
CREATE EXTENSION backfill;
CREATE TABLE airports (iata text PRIMARY KEY, name text, city text, state text, latitude float8, longitude float8);
\copy airports FROM test/data/airports.csv CSV HEADER
CREATE TEMP TABLE loaded (flight_id int, departed_at timestamp, delay_min int, distance_mi int, origin text, destination text);
\copy loaded FROM test/data/flights.csv CSV HEADER
CREATE TABLE flights (
  flight_id   integer PRIMARY KEY,
  departed_at timestamp NOT NULL,
  delay_min   integer NOT NULL,
  distance_mi integer,
  origin      text NOT NULL,
  destination text NOT NULL
);
INSERT INTO flights SELECT flight_id + 20000 * n, departed_at, delay_min, distance_mi, origin, destination
  FROM generate_series(0, $copies - 1) AS n, loaded;
ALTER TABLE flights ADD FOREIGN KEY (origin) REFERENCES airports, ADD FOREIGN KEY (destination) REFERENCES airports;
CREATE INDEX flights_departed_at ON flights (departed_at);
CREATE VIEW late_flights AS SELECT * FROM flights WHERE delay_min > 120;
COMMENT ON TABLE flights IS 'Flights of the United States, as they departed';
COMMENT ON COLUMN flights.delay_min IS 'Minutes after the timetable; negative when early';
VACUUM ANALYZE flights;
ANALYZE airports;
SQL
}

# -- the writer: one statement after the other in a psql of its own, for five minutes at most

start_writer() {
  writing | stdbuf -oL psql -X -c '\timing on' -f - >"$workspace/writer.log" 2>&1 &
  writer=$!
}

writing() {
  local last=$((copies * 20000)) i
  for ((i = 1; i <= 30000; i++)); do
    case $((i % 4)) in
      0) echo "INSERT INTO flights (flight_id, departed_at, delay_min, distance_mi, origin, destination) VALUES
              ($((last + i)), '2001-02-01'::timestamp + interval '1 minute' * ($i % 40000), 7, 1, 'DTW', 'LAS');" ;;
      1) echo "DELETE FROM flights WHERE flight_id = $((RANDOM * RANDOM % last + 10000));" ;;
      *) echo "UPDATE flights SET delay_min = delay_min + 1 WHERE flight_id = $((RANDOM * RANDOM % last + 10000));" ;;
    esac
    echo "SELECT pg_sleep(0.01) \\g /dev/null"
  done
}

stop_writer() {
  [ -n "$writer" ] || return 0
  kill "$writer" 2>/dev/null || :
  wait "$writer" 2>/dev/null || :
  writer=
}

tell_writer() {
  awk '/^(INSERT|UPDATE|DELETE) / { writes++; timed = 1; next }
       /^Time:/ { if (timed && $2 > longest) longest = $2; timed = 0 }
       /ERROR|FATAL/ { errors++ }
       END { printf "%d statements, %d errors, the longest took %.0f ms\n", writes, errors, longest }' "$workspace/writer.log"
}

# -- telling

style() {
  bold='' blue='' plain=''
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' blue=$'\e[36m' plain=$'\e[0m'; fi
}

say() {
  printf '\n%s-- %s%s\n' "$bold" "$1" "$plain"
}

# typed PROMPT TEXT: as a person typed it; lines after the first are indented.
typed() {
  local prompt=${1:-\$ } line
  echo
  while IFS= read -r line; do
    printf '%s%s%s%s\n' "$prompt" "$blue" "$line" "$plain"
    prompt=${prompt//?/ }
  done <<<"$2"
}

narrow() {
  fold -s -w 100 | sed 's/ *$//'
}

run_sql() {
  psql -X -v ON_ERROR_STOP=1 "$@"
}

# show STATEMENT ...: the statements and what psql answers.
show() {
  show_as aligned "$@"
}

# Functions that return text: without a frame.
show_text() {
  show_as unaligned -t "$@"
}

# Left out: where in our input an error was, and the empty line at the end.
show_as() {
  local format=$1 options=() statement
  shift
  [ "$1" != -t ] || { options=(-t) && shift; }
  for statement in "$@"; do typed "flights=# " "$statement"; done
  printf '%s\n' "$@" | run_sql "${options[@]}" -P format="$format" -P border=1 2>&1 | sed 's/^psql:<stdin>:[0-9]*: //; s/ *$//; ${/^$/d}'
}

# await QUESTION: until the answer is yes, for half a minute at most.
await() {
  local i
  for ((i = 0; i < 600; i++)); do
    [ "$(run_sql -q -At -c "$1")" != t ] || return 0
    read -rt 0.05 <> <(:) || :
  done
  fail "waited in vain for: $1"
}

main "$@"
