#!/usr/bin/env bash
# The oracle: is a write ever lost?
#
#   bash test/oracle/run.sh [--seed N] [--rounds R | --minutes M] [--faults] [VARIANT ...]
#
# Each round makes a table and its control, lets writers do to both alike whatever can be done to a table, and takes the
# table through plan, run, publish, rollback and publish again under that load.  Publish and rollback hold the table to
# the end of their transaction, and there both tables are at the same commit: the table must equal the transform of the
# control (after a rollback: the control), image for image.  At the end the archive, drained, must equal the control.
# No writer and no reader may see an error.
#
# Variants replica, replica_query and replica_truncate read chunks on a standby that is always some time behind; they are
# played when they are named.
#
# With --faults, whatever works at a job fails now and then: at points and in ways that the seed chooses, a process raises an
# error, is terminated, is held up; once in a round the server is killed and recovers.  People then say again what they
# said, and all that is asked of a round holds as without.  Writers notice nothing but the crash, which ends them; they are
# started anew.  The last line tells how many faults were met.
#
# A last round shows that the oracle can fail: it takes the keys of deleted rows out of the capture log.
#
# The seed decides the spec and what the writers do; how their work falls together is up to the machine.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

variants=(join query merge blocks integer truncate retry pause cancel)
seed=$((RANDOM)) rounds='' minutes='' chosen=() faults='' faults_met=0
tests=0 failures=0 writers=()
oracle=$checkout/test/oracle

main() {
  read_arguments "$@"
  in_workspace "$@"
  build_and_install TESTING=1 || fail "the build failed"
  [ -z "$faults" ] || variants=(join crash query retry blocks crash integer truncate retry cancel)
  start_cluster oracle "deadlock_timeout = 200ms" "max_connections = 50" "restart_after_crash = on"
  trap 'stop_faults; stop_writers; stop_clusters' EXIT
  as postgres -d postgres -c 'CREATE ROLE keeper NOLOGIN' -c 'CREATE ROLE steward LOGIN IN ROLE keeper' -c 'CREATE ROLE writer LOGIN'
  echo "# seed $seed"
  RANDOM=$seed

  local round=0 begin=$SECONDS variant
  [ ${#chosen[@]} = 0 ] || variants=("${chosen[@]}")
  while enough "$round" "$begin"; do
    variant=${variants[$((round % ${#variants[@]}))]}
    round=$((round + 1))
    play "$round" "$variant"
  done
  [ ${#chosen[@]} != 0 ] || faults='' play $((round + 1)) sabotage
  [ -z "$faults" ] || echo "# $round rounds, $faults_met faults met, seed $seed"
  echo "1..$tests"
  [ "$failures" = 0 ]
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --seed) seed=$2; shift ;;
      --rounds) rounds=$2; shift ;;
      --minutes) minutes=$2; shift ;;
      --faults) faults=yes ;;
      --sabotage) chosen+=(sabotage) ;;
      -*) fail "usage: run.sh [--seed N] [--rounds R | --minutes M] [--faults] [VARIANT ...]" ;;
      *) chosen+=("$1") ;;
    esac
    shift
  done
}

# enough ROUND BEGIN: is there another round to play?
enough() {
  if [ -n "$minutes" ]; then
    [ $((SECONDS - $2)) -lt $((minutes * 60)) ]
  else
    [ "$1" -lt "${rounds:-${#variants[@]}}" ]
  fi
}

# -- a round

play() {
  local round=$1 begin=$SECONDS
  variant=$2
  echo "# round $round: $variant"
  choose
  prepare "oracle_$round"
  start_writers
  start_faults
  if ! "play_$variant"; then
    not_ok "$variant: the round came to its end"
    tell_job
  fi
  stop_faults
  stop_writers
  writers_saw_no_error
  echo "# round $round: $((SECONDS - begin)) s, $(number 'SELECT last_value FROM oracle.work') transactions of writers"
}

# one_of WORD ...: by the seed
one_of() {
  local words=("$@")
  echo "${words[$((RANDOM % $#))]}"
}

# -- faults: one after the other, each until it is met or nobody comes by

# By the state of the job: what it comes by then.
points_of_running=(
  claim_made claim_committed batch_copied batch_checkpointed batch_committed coordinator_looked obstacle_found worker_launched
  shadow_made shadow_recorded shadow_committed capture_made capture_committed purge_made purge_recorded purge_committed
  key_made key_committed index_made index_committed shape_made shape_committed analyze_vacuumed analyze_made analyze_committed
  drain_taken drain_deleted drain_made drain_committed replace_made replace_committed
  audit_made audit_committed check_made check_committed metrics_made ready_made ready_committed
  pause_made cancel_taken_over cancel_dropped)
points_of_ready=(
  drain_taken drain_deleted drain_made drain_committed coordinator_looked ready_looked cancel_taken_over cancel_dropped
  publish_prepared publish_ahead publish_locked publish_drained publish_renamed publish_moved publish_captured publish_recorded)
points_of_published=(
  reverse_drain_made reverse_drain_committed coordinator_looked finish_dropped rollback_aligned
  rollback_prepared rollback_ahead rollback_locked rollback_drained rollback_renamed rollback_moved rollback_captured rollback_recorded)
fault_ways=(error:40001 error:40001 terminate sleep:50 sleep:300)
injector=''

start_faults() {
  [ -n "$faults" ] || return 0
  inject "$RANDOM" &
  injector=$!
}

# inject SEED: a process of its own, which draws by itself.
inject() {
  local n points
  trap 'exit 0' TERM
  RANDOM=$1
  for ((n = 0; ; n++)); do
    case $(number 'SELECT state FROM backfill.jobs ORDER BY id DESC LIMIT 1' 2>/dev/null) in
      ready) points=("${points_of_ready[@]}") ;;
      published) points=("${points_of_published[@]}") ;;
      *) points=("${points_of_running[@]}") ;;
    esac
    arm "${points[RANDOM % ${#points[@]}]}:${fault_ways[RANDOM % ${#fault_ways[@]}]}#${database}_${1}_$n" 2>/dev/null
    sleep "0.$((RANDOM % 5 + 1))"
  done
}

stop_faults() {
  [ -n "$injector" ] || return 0
  kill "$injector" 2>/dev/null
  wait "$injector" 2>/dev/null
  injector=''
  arm ''
  local met=("$workspace/oracle/data/backfill_fault.${database}"_*)
  [ ! -e "${met[0]}" ] || faults_met=$((faults_met + ${#met[@]}))
}

arm() {
  as postgres -d postgres -c "LOAD 'backfill'" -c "ALTER SYSTEM SET backfill.fault = '$1'" -c 'SELECT pg_reload_conf()' >/dev/null
}

# The job is run, and the server killed under the writers by the first process that comes to that point; then it is there
# again, and so are they.
run_into_crash_at() {
  local mark=$workspace/oracle/data/backfill_fault.crash_${database}_$1 end=$((SECONDS + 60))
  stop_faults
  arm "$1:crash#crash_${database}_$1"
  call "SELECT backfill_run('job')" || :
  until [ -e "$mark" ]; do
    [ $SECONDS -lt $end ] || { echo "# nobody came to $1"; return 1; }
    sleep 0.05
  done
  faults_met=$((faults_met + 1))
  wait "${writers[@]}" 2>/dev/null
  until [ "$(number 'SELECT NOT pg_is_in_recovery()' 2>/dev/null)" = t ]; do
    [ $SECONDS -lt $end ] || { echo '# the server does not come back'; return 1; }
    sleep 0.1
  done
  writers=()
  while read -r gone; do
    as postgres -d "$database" -c "ROLLBACK PREPARED '$gone'"
  done < <(number "SELECT gid FROM pg_prepared_xacts WHERE database = '$database'")
  start_writers
  start_faults
}

# insist COMMAND ...: says it again where a fault may have been what was in the way.
insist() {
  local try
  for try in 1 2 3 4 5 6 7 8; do
    "$@" && return
    [ -n "$faults" ] || return
    echo "# once more: $1 ${2:0:60} (try $try)"
    sleep 0.3
  done
  return 1
}

# What the seed decides.  Not in subshells: they would all draw the same.
choose() {
  key=id rows=6000 chunk_by=week parallelism=$((RANDOM % 4 + 1)) batch_target=$((RANDOM % 8 + 3))ms
  exclude='"2024-01-10"' clients=$((RANDOM % 3 + 4)) query='' type=swap scope_index=yes
  [ $((RANDOM % 2)) = 0 ] || key='part, id'
  preserve=no
  [ $((RANDOM % 2)) = 0 ] || preserve=yes
  case $((RANDOM % 3)) in 0) chunk_by=day ;; 1) chunk_by='60 hours' ;; esac
  case $variant in
    query | replica_query) query=yes preserve=no ;;
    merge) type=merge ;;
    blocks) chunk_by=blocks exclude='' scope_index=no ;;
    pause) rows=12000 ;;
  esac
  label="coalesce(r.name, 'nowhere') || ' ' || o.amount::text || ' ' || coalesce(length(o.body), -1)"
  read_from=''
  [[ $variant != replica* ]] || read_from=standby
  columns='id, part, at, code, amount, region, body, raw, doc, serial, total, label'
  scope='column: at, start: 2024-01-01, stop: 2024-02-01'
  in_scope="at >= '2024-01-01' AND at < '2024-02-01'"
  [ -z "$exclude" ] || in_scope+=" AND NOT (at >= '2024-01-10' AND at < '2024-01-11')"
  if [ "$variant" = integer ]; then
    # The key is the chunk column: whoever gets another key moves to another chunk.
    scope='column: id, start: 500, stop: 6500' chunk_by=$((RANDOM % 400 + 300)) exclude=''
    in_scope='id >= 500 AND id < 6500'
  fi
  echo "# key ($key), chunks by $chunk_by, parallelism $parallelism, batches of $batch_target, preserve $preserve, $clients writers"
}

# A database of its own for each round.
prepare() {
  database=$1
  as postgres -d postgres -c "CREATE DATABASE $database" -c "ALTER DATABASE $database SET timezone = 'UTC'"
  as postgres -d "$database" -v key="$key" -v rows="$rows" -f "$oracle/schema.sql" || fail "cannot set the tables up"
  [ "$scope_index" = no ] || as postgres -d "$database" -c 'CREATE INDEX orders_at ON shop.orders (at)'
  # What orders must be after publish, said once more and differently.
  local value=${label//r.name/(SELECT name FROM shop.region WHERE region.id = o.region)}
  [ "$preserve" = no ] || value="coalesce(label, $value)"
  local grade="CASE WHEN o.in_scope THEN CASE WHEN o.amount > 100 THEN 'high' ELSE 'low' END END"
  adds_column || grade="NULL"
  as postgres -d "$database" -c "CREATE VIEW oracle.plain AS SELECT $columns FROM shop.control" \
    -c "CREATE VIEW oracle.transformed AS
          SELECT ${columns/, label/}, CASE WHEN in_scope THEN $value ELSE label END AS label, $grade AS grade
          FROM (SELECT *, ($in_scope) IS TRUE AS in_scope FROM shop.control) AS o" \
    -c "GRANT SELECT ON ALL TABLES IN SCHEMA oracle TO keeper"
  [ -z "$read_from" ] || lead_to_replica
}

# Only a password opens the standby, as the owner is no superuser.
lead_to_replica() {
  local dir=$workspace/replica
  [ -d "$dir" ] || start_replica "$dir"
  as postgres -d "$database" -c 'CREATE EXTENSION postgres_fdw' \
    -c "CREATE SERVER standby FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$dir', dbname '$database')" \
    -c 'GRANT USAGE ON FOREIGN SERVER standby TO keeper' \
    -c "CREATE USER MAPPING FOR keeper SERVER standby OPTIONS (user 'reader', password 'secret')"
}

start_replica() {
  local dir=$1
  as postgres -d postgres -c "CREATE ROLE reader LOGIN PASSWORD 'secret' IN ROLE keeper"
  mkdir "$dir"
  "${PG_CONFIG%/*}/pg_basebackup" -D "$dir/data" -X stream -c fast -R || fail "pg_basebackup failed"
  sed -i '1i local all reader scram-sha-256' "$dir/data/pg_hba.conf"
  printf '%s\n' "unix_socket_directories = '$dir'" 'recovery_min_apply_delay = 500ms' >>"$dir/data/postgresql.conf"
  "${PG_CONFIG%/*}/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start || fail "the standby does not start: $(tail "$dir/log")"
  clusters+=("$dir")
}

# Nor can rows be written where they are and get a column.
adds_column() {
  [ -z "$query" ] && [ "$type" != merge ]
}

spec() {
  echo "backfill:
  name: job
  scope: {table: shop.orders, $scope, time_zone: UTC${exclude:+, exclude: [$exclude]}}"
  if [ -n "$query" ]; then
    echo "  transform:
    query: >-
      SELECT ${columns/, total, label/}, $label AS label
        FROM (SELECT x.*, x.region AS r_id FROM shop.orders AS x) AS o LEFT JOIN (SELECT id AS r_id, name FROM shop.region) AS r USING (r_id)
       WHERE at >= :chunk_start AND at < :chunk_stop"
  else
    echo "  transform:
    set:
      label: \"${label//o./orders.}\"
$(! adds_column || echo "      grade: \"CASE WHEN orders.amount > 100 THEN 'high' ELSE 'low' END\"")
    join: LEFT JOIN (SELECT id AS r_id, name FROM shop.region) AS r ON r.r_id = orders.region
$(! adds_column || echo "    add_columns: {grade: text}")
    preserve_existing: $preserve"
  fi
  echo "  strategy: {type: $type, chunk_by: $chunk_by, parallelism: $parallelism, batch_target: $batch_target}
  checks: [{check: exact, scope: both}]${read_from:+
  read_from: $read_from}
  publish: {lock_timeout: 500ms, max_lock: 5s, give_up_after: 60s}"
}

# -- the variants

play_join() { whole_way; }
play_query() { whole_way; }
play_merge() { whole_way; }
play_integer() { whole_way; }
play_blocks() { whole_way; }

play_replica() { whole_way && read_from_there; }
play_replica_query() { whole_way && read_from_there; }
play_replica_truncate() { play_truncate; }

read_from_there() {
  is "$(number 'SELECT rows_from_primary || $$ $$ || (rows_from_replica > 5000) FROM backfill.replica_reads')" '0 true' \
    "$variant: all chunks were read on the standby"
}

play_crash() {
  local points=(batch_copied batch_committed purge_made index_made analyze_made drain_deleted drain_committed check_made)
  plan || return
  run_into_crash_at "${points[RANDOM % ${#points[@]}]}" && await_ready && publish_and_back
}

play_retry() {
  get_ready || return
  local chunk
  for chunk in 1 3 "$(number 'SELECT max(chunk) FROM backfill.chunks')"; do
    insist call "SELECT backfill_retry('job', $chunk)" || return
    let_writers_work 50
  done
  await_ready && publish_and_back
}

play_truncate() {
  plan_and_run || return
  truncate_both && await_truncated 1 && await_ready && let_writers_work 100 || return
  truncate_both && await_truncated 2 && await_ready && publish_and_back
}

# TRUNCATE waits for writers who hold orders and then want the control, never the other way round; the reader of both, who
# begins with the control, stands aside (writers/read.sql).  A crash may have undone the capture that was there a moment ago:
# then it divides by zero, and there is another try when capture is back.
truncate_both() {
  local tries=0
  until as postgres -d "$database" -1 -c 'SELECT pg_advisory_xact_lock(1, 1)' -c 'SET search_path = shop' -c 'LOCK TABLE orders' \
    -c "SELECT 1 / count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND tgname LIKE 'backfill_capture%'" \
    -c 'CREATE TEMP TABLE kept AS SELECT * FROM control WHERE id % 2 = 0 OR id < 0' -c 'TRUNCATE orders' -c 'TRUNCATE control' \
    -c "INSERT INTO orders (${columns/, total/}) SELECT ${columns/, total/} FROM kept" \
    -c "INSERT INTO control (${columns/, total/}) SELECT ${columns/, total/} FROM kept" >/dev/null; do
    tries=$((tries + 1))
    [ -n "$faults" ] && [ $tries -lt 100 ] || return 1
    await "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass AND tgname LIKE 'backfill_capture%')" || return 1
  done
}

await_truncated() {
  await "SELECT count(*) >= $1 FROM backfill.events WHERE event = 'truncated'"
}

play_pause() {
  plan_and_run || return
  insist call "SELECT backfill_pause('job')" && await "SELECT state = 'paused' FROM backfill.jobs" && let_writers_work 100 || return
  local done_then
  done_then=$(number "SELECT string_agg(chunk || ' ' || batches || ' ' || attempts, ',' ORDER BY chunk) FROM backfill.chunks WHERE status = 'done'")
  insist call "SELECT backfill_run('job')" && await_ready || return
  is "$(number "SELECT string_agg(chunk || ' ' || batches || ' ' || attempts, ',' ORDER BY chunk) FROM backfill.chunks
        WHERE chunk = ANY (string_to_array(regexp_replace('$done_then', ' [^,]*', '', 'g'), ',')::int[])")" "$done_then" \
    "$variant: no finished chunk was redone"
  publish_and_back
}

play_cancel() {
  local before after
  before=$(inventory)
  plan_and_run && let_writers_work 50 && insist call "SELECT backfill_cancel('job')" || return
  after=$(inventory)
  is "$(diff <(echo "$before") <(echo "$after"))" '' "$variant: the catalog is what it was"
  get_ready && insist call "SELECT backfill_cancel('job')" || return
  after=$(inventory)
  is "$(diff <(echo "$before") <(echo "$after"))" '' "$variant: and again, cancelled when ready"
  is "$(compare shop.control shop.orders "$columns")" '0 missing, 0 extra, 0 different' "$variant: orders is untouched"
}

play_sabotage() {
  as postgres -d "$database" -c "CREATE FUNCTION oracle.forget(a bigint) RETURNS void LANGUAGE plpgsql AS \$\$
    DECLARE log regclass := (SELECT capture_log FROM backfill.job WHERE state IN ('running', 'ready'));
    BEGIN
      IF log IS NOT NULL THEN
        EXECUTE format('DELETE FROM %s WHERE op = ''d'' AND xmin = pg_current_xact_id()::xid', log);
      END IF;
    END \$\$" -c "CREATE OR REPLACE FUNCTION oracle.after_delete(a bigint) RETURNS void LANGUAGE sql SECURITY DEFINER RETURN oracle.forget(a)"
  get_ready && let_writers_work 300 || return
  call "SELECT backfill_audit('job')" && await_ready || return
  isnt "$(number "SELECT count(*) FROM backfill.checks WHERE latest AND outcome = 'fail'")" 0 'the audit notices lost deletes'
  call "SELECT backfill_waive('job', \"check\", 'sabotage') FROM (SELECT DISTINCT \"check\" FROM backfill.checks WHERE latest AND outcome IN ('fail', 'error')) AS c" || return
  swap "backfill_publish('job')" oracle.transformed "$columns, grade" || return
  like "$swapped" '^0 missing, [1-9][0-9]* extra, 0 different$' 'the oracle notices lost deletes'
  call "SELECT backfill_finish('job')"
}

# -- the way

whole_way() {
  get_ready && publish_and_back
}

plan() {
  as steward -d "$database" -v spec="$(spec)" <<<"SELECT backfill_plan(:'spec')" >"$workspace/plan"
}

plan_and_run() {
  plan || return
  insist call "SELECT backfill_run('job')" &&
    await "SELECT state <> 'running' OR phase <> 'prepare' FROM backfill.jobs WHERE name = 'job' ORDER BY id DESC LIMIT 1"
}

get_ready() {
  plan_and_run && await_ready
}

await_ready() {
  local end=$((SECONDS + 180))
  until as steward -d "$database" -c "SET client_min_messages = warning" -c "CALL backfill_wait('job', '60 s')"; do
    [ -n "$faults" ] && [ $SECONDS -lt $end ] || return 1
    nudge
  done
}

# Whoever has failed, or was left without anybody at work, is told to go on.
nudge() {
  call "SELECT backfill_run(name) FROM backfill.jobs WHERE state IN ('failed', 'stalled', 'paused') OR waiting_for LIKE 'a coordinator%'" || :
  sleep 0.3
}

publish_and_back() {
  local derived="$columns"
  ! adds_column || derived="$columns, grade"
  let_writers_work 100
  is "$(number "SELECT string_agg(\"check\" || ' ' || outcome || ': ' || coalesce(detail, ''), '; ') FROM backfill.checks
        WHERE latest AND outcome NOT IN ('pass', 'skipped')")" '' "$variant: every check passes"
  swap_and_compare "backfill_publish('job')" oracle.transformed "$derived" 'published, the table is the transform of the control' || return
  let_writers_work 150
  swap_and_compare "backfill_rollback('job')" oracle.plain "$columns" 'rolled back, it is the control' || return
  let_writers_work 100
  swap_and_compare "backfill_publish('job')" oracle.transformed "$derived" 'published again, it is the transform of the control' || return
  let_writers_work 150
  stop_writers
  await "SELECT pending_keys = 0 FROM backfill.jobs" || return
  # In place, the archive has only the rows that were written; the rollback above has shown what it is worth.
  [ "$type" = merge ] || is "$(compare oracle.plain "$(number 'SELECT archive FROM backfill.jobs')" "$columns")" '0 missing, 0 extra, 0 different' \
    "$variant: the archive has been kept in step with the control"
  insist call "SELECT backfill_finish('job')" || return
  is "$(number "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relname ~ '_(backfill|archive)_[0-9]' OR relname ~ '^(log|reverse)_[0-9]'")" '' \
    "$variant: finished, it leaves nothing"
}

# swap CALL WANT COLUMNS: publishes or rolls back, and compares while nobody else can write to orders.
swap() {
  local out try
  for ((try = 1; ; try++)); do
    out=$(as steward -d "$database" -1 -c "SELECT $1" -c "$(comparison "$2" shop.orders "$3")") && break
    [ -n "$faults" ] && [ $try -lt 12 ] || return 1
    if [[ $1 == *publish* ]]; then await_ready || return; else nudge; fi
  done
  swapped=${out##*$'\n'}
  echo "# ${out%$'\n'*}"
}

swap_and_compare() {
  swap "$1" "$2" "$3" || return
  is "$swapped" '0 missing, 0 extra, 0 different' "$variant: $4"
}

comparison() {
  echo "SELECT format('%s missing, %s extra, %s different', count(*) FILTER (WHERE g.id IS NULL),
                      count(*) FILTER (WHERE w.id IS NULL), count(*) FILTER (WHERE w.r *<> g.r))
          FROM (SELECT id, part, ROW($3) AS r FROM $1) AS w FULL JOIN (SELECT id, part, ROW($3) AS r FROM $2) AS g
            ON w.id = g.id AND w.part = g.part"
}

compare() {
  number "$(comparison "$@")"
}

# -- writers

writer_mix=(insert@4 update@8 toast@2 delete@4 upsert@4 merge@4 move@8 rekey@4 swap_codes@2 bulk@2 savepoint@4)

start_writers() {
  local script name files=() own=$workspace/writers
  mkdir -p "$own"
  for script in "$oracle"/writers/*.sql; do
    sed "s/@key@/$key/" "$script" >"$own/${script##*/}"
  done
  for name in "${writer_mix[@]}"; do files+=(-f "$own/${name/@/.sql@}"); done
  writers=()
  : >"$own/errors"
  launch "$((clients / 2))" prepared 150 "${files[@]}"
  launch "$((clients - clients / 2))" simple 150 "${files[@]}" -f "$own/prepared.sql@2"
  launch 1 simple 20 -f "$own/read.sql"
}

# launch CLIENTS PROTOCOL RATE FILES
launch() {
  local number=$1 protocol=$2 rate=$3
  shift 3
  # A thread for each client: one that prepares a statement stops its thread, and with it clients that hold locks.
  PGOPTIONS="-c search_path=shop -c application_name=writer" PGAPPNAME=writer pgbench -n -U writer -c "$number" -j "$number" -M "$protocol" -R "$rate" -T 3600 \
    -D top=$((rows * 5 / 4)) --random-seed="$RANDOM" "$@" "$database" >/dev/null 2>>"$workspace/writers/errors" &
  writers+=($!)
}

# The only way to end pgbench early is a signal, which ends its sessions too; then they are gone.
stop_writers() {
  local pid gone
  [ ${#writers[@]} != 0 ] || return 0
  for pid in "${writers[@]}"; do
    kill -0 "$pid" 2>/dev/null || not_ok "$variant: pgbench ran until it was stopped"
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  writers=()
  await "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'writer'"
  while read -r gone; do
    as postgres -d "$database" -c "ROLLBACK PREPARED '$gone'"
  done < <(number 'SELECT gid FROM pg_prepared_xacts')
}

let_writers_work() {
  local until
  until=$(($(number 'SELECT last_value FROM oracle.work') + $1))
  await "SELECT last_value >= $until FROM oracle.work"
}

writers_saw_no_error() {
  is "$(grep -v -e '^pgbench (' "$workspace/writers/errors" | grep -E 'error|ERROR|abort|fail' | head -n 5)" '' "$variant: no writer and no reader saw an error"
}

# -- asking

as() {
  local user=$1
  shift
  psql -X -q -A -t -v ON_ERROR_STOP=1 -U "$user" "$@" </dev/stdin
}

number() {
  psql -X -q -A -t -U postgres -d "$database" -c "$1"
}

call() {
  as steward -d "$database" -c "$1" >/dev/null
}

# await SQL: until it yields t, 60 seconds at most, more among faults.
await() {
  local end=$((SECONDS + 60)) looks=0
  [ -z "$faults" ] || end=$((end + 120))
  until [ "$(number "$1")" = t ]; do
    [ $SECONDS -lt $end ] || { echo "# waited in vain for: $1"; return 1; }
    sleep 0.05
    looks=$((looks + 1))
    [ -z "$faults" ] || [ $((looks % 100)) != 0 ] || nudge
  done
}

# Everything a backfill could leave behind outside its ledger.
inventory() {
  number "SELECT thing FROM (
      SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname FROM pg_constraint
      UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
      UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typtype <> 'b' OR typelem = 0
      UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext
      UNION ALL SELECT 'toast tables ' || count(*) FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace
      UNION ALL SELECT 'dependencies ' || count(*) FROM pg_depend
      UNION ALL SELECT 'locks of backfill ' || count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE a.backend_type = 'backfill'
    ) AS found (thing) ORDER BY thing COLLATE \"C\""
}

tell_job() {
  as postgres -d "$database" -x -c "SELECT * FROM backfill.jobs ORDER BY id DESC LIMIT 1" -c "SELECT title, status, sqlstate, error, error_detail FROM backfill.steps WHERE status <> 'done' LIMIT 20" -c "SELECT event, detail FROM backfill.events" \
    -c "SELECT \"check\", outcome, detail, actual FROM backfill.checks WHERE latest AND outcome <> 'pass'" | sed 's/^/# /'
}

# -- telling

ok() {
  tests=$((tests + 1))
  echo "ok $tests - $1"
}

not_ok() {
  tests=$((tests + 1)) failures=$((failures + 1))
  echo "not ok $tests - $1"
}

is() {
  if [ "$1" = "$2" ]; then
    ok "$3"
  else
    not_ok "$3"
    printf 'got: %s\nexpected: %s\n' "$1" "$2" | sed 's/^/# /'
  fi
}

isnt() {
  if [ "$1" != "$2" ]; then ok "$3"; else not_ok "$3"; echo "# got: $1"; fi
}

like() {
  if [[ $1 =~ $2 ]]; then ok "$3"; else not_ok "$3"; echo "# got: $1"; fi
}

main "$@"
