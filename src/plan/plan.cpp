// A plan is made in this order, each step refusing what the next could not work with:
//
//   spec        which strategy, which name
//   target      the table, whose it is, whether it is free
//   key, scope  typed values, frozen
//   chunks      the scope divided, the rest by blocks
//   transform   asked of the parser, as the owner
//   dependents  everything bound to the table, or a refusal by name
//   ledger      job, steps and dependents, in the caller's transaction
//   text        what a person reads
#include "plan/plan.hpp"

#include <algorithm>

#include "catalog/new_job.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "core/webhook.hpp"
#include "pg/role.hpp"
#include "plan/choice.hpp"
#include "plan/chunks.hpp"
#include "plan/dependents.hpp"
#include "plan/disk.hpp"
#include "plan/downstream.hpp"
#include "plan/fingerprint.hpp"
#include "plan/plan_text.hpp"
#include "plan/published.hpp"
#include "plan/read_from.hpp"
#include "plan/target.hpp"
#include "plan/transform_check.hpp"

namespace backfill {

namespace {

void require_free_name(const Spec &spec) {
  auto const active = active_job_of_name(spec.name);
  if (!active) return;
  throw Error(sqlstate::duplicate_object, "backfill \"" + spec.name + "\" already exists",
              "It is " + active->state + ", job " + std::to_string(active->id) + ".",
              "Take another name, or end it first: " +
                  command_for(spec.name, active->state == "published" ? Action::finish : Action::cancel));
}

void require_free_table(const Target &target) {
  auto active = active_job_on(target.oid);
  if (!active) active = suspended_job_on(target.schema, target.name);
  if (!active) return;
  throw Error(
      sqlstate::object_in_use, "table \"" + target.label() + "\" is in use by backfill \"" + active->name + "\"",
      "That backfill is " + active->state + "; two at a time on one table would undo each other.",
      "End it first: " + command_for(active->name, active->state == "published" ? Action::finish : Action::cancel));
}

// Checks call functions of ours as the owner.
void require_usage(const Target &target) {
  bool const may = pg::as_extension([&] {
    return pg::query_boolean("SELECT has_schema_privilege($1::oid, 'backfill', 'USAGE')",
                             {pg::Param::oid(target.owner)});
  });
  if (may) return;
  throw Error(sqlstate::insufficient_privilege, "role \"" + target.owner_name + "\" may not use schema \"backfill\"",
              "It owns the table, and checks run as the owner call functions of that schema.",
              "GRANT USAGE ON SCHEMA backfill TO " + quote_ident(target.owner_name) + ";");
}

// The schemas that names in the spec mean, frozen; temporary ones last, so that none can step in front.
std::string frozen_search_path() {
  auto const path = pg::query_value(
      "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY n)"
      " FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS x(s, n)");
  return path ? *path + ", pg_temp" : "pg_temp";
}

void require_free_names(const Job &job) {
  for (const std::string &name : {job.shadow_name, job.archive_name}) {
    bool const taken = pg::as_extension([&] {
      return pg::query_boolean(
          "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
          " WHERE n.nspname = $1::name AND c.relname = $2::name)",
          {job.target_schema, name});
    });
    if (taken)
      throw Error(sqlstate::duplicate_table, "relation \"" + name + "\" already exists",
                  "The backfill needs that name in schema \"" + job.target_schema + "\".",
                  "Rename or drop that relation, then plan again.");
  }
}

void require_interval(const std::string &retention) {
  try {
    if (pg::query_boolean("SELECT $1::pg_catalog.interval >= '0'::pg_catalog.interval", {retention})) return;
  } catch (const Error &) {
    throw Error(sqlstate::invalid_parameter_value, "retention \"" + retention + "\" is not an interval",
                "It says how long the replaced version is kept.", "Write it as 14 days.");
  }
  throw Error(sqlstate::invalid_parameter_value, "retention must not be negative",
              "It says how long the replaced version is kept.", "Write it as 14 days.");
}

// The list is asked again when a message is sent.
void require_allowed_webhook(const Monitoring &monitoring) {
  if (monitoring.webhook.empty()) return;
  Webhook const webhook = parse_webhook(monitoring.webhook, "monitoring.progress_webhook");
  std::string const hosts = pg::setting("backfill.webhook_hosts");
  if (allows(hosts, webhook)) return;
  std::string const added = (hosts.empty() ? "" : hosts + ", ") + webhook.place();
  throw Error(sqlstate::insufficient_privilege, "messages may not be sent to host \"" + webhook.place() + "\"",
              "Webhooks go only to hosts that a superuser has listed in backfill.webhook_hosts.",
              "A superuser allows it with: LOAD 'backfill'; ALTER SYSTEM SET backfill.webhook_hosts = " +
                  quote_literal(added) + "; SELECT pg_reload_conf();");
}

// The coordinator publishes in the name of whoever planned it.
void require_publisher(const Spec &spec) {
  if (!spec.publish.automatic) return;
  bool const may = pg::as_extension([caller = pg::current_role()] {
    return pg::query_boolean(
        "SELECT bool_and(has_function_privilege($1::oid, p.oid, 'EXECUTE')) FROM pg_proc p"
        "  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'"
        "  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid"
        " WHERE e.extname = 'backfill' AND p.proname = 'backfill_publish'",
        {pg::Param::oid(caller)});
  });
  if (may) return;
  throw Error(sqlstate::insufficient_privilege, "a backfill of this role may not publish itself",
              "Role \"" + pg::role_name(pg::current_role()) + "\" has no privilege EXECUTE on backfill_publish.",
              "Leave publish.auto out and have it published by a role that may.");
}

// A value made from its chunk needs chunks of ranges.
void require_ranges(const ChunkPlan &chunks, const Spec &spec) {
  if (chunks.ranges > 0 || !depends_on_chunk(spec.transform)) return;
  throw Error(sqlstate::invalid_parameter_value,
              "the transform uses :chunk, :chunk_start or :chunk_stop, but chunks are blocks",
              "A block holds rows of many ranges.",
              "Give scope.start and scope.stop, a unit in strategy.chunk_by, or leave the placeholder out.");
}

Job make_job(const Spec &spec, const Target &target, const FrozenScope &scope, const ChunkPlan &chunks) {
  Job job;
  job.id = reserve_job_id();
  job.name = spec.name;
  job.state = to_text(State::planned);
  job.target_schema = target.schema;
  job.target_name = target.name;
  job.live = target.oid;
  job.owner = target.owner;
  job.home = this_home();
  job.shadow_name = suffixed_name(target.name, "_backfill_" + std::to_string(job.id));
  job.archive_name = suffixed_name(target.name, "_archive_" + std::to_string(job.id));
  if (scope.column) {
    job.chunk_column = scope.column->name;
    job.chunk_type = scope.column->type_oid;
  }
  job.start = scope.start;
  job.stop = scope.stop;
  job.exclude = chunks.exclude;
  job.time_zone = scope.time_zone;
  job.settings = settings_of_session();
  job.parallelism = spec.strategy.parallelism;
  job.spec = spec;
  return job;
}

Step make_step(int stage, const char *phase, const char *kind, const std::string &title,
               const std::string &params = "{}") {
  Step step;
  step.stage = stage;
  step.phase = phase;
  step.kind = kind;
  step.title = title;
  step.params = params;
  return step;
}

void add_chunk_steps(std::vector<Step> &steps, const ChunkPlan &chunks) {
  int number = 0;
  for (const Chunk &chunk : chunks.chunks) {
    std::string const until = chunk.hi ? " until before " + *chunk.hi : " to the end";
    Step step = make_step(stage::copy, "copy", chunk.blocks ? "blocks" : "range",
                          (chunk.blocks ? "blocks from " : "from ") + chunk.lo + until,
                          chunk.blocks ? std::string("{\"whole\": ") + (chunk.whole ? "true" : "false") + "}" : "{}");
    step.chunk = ++number;
    step.lo = chunk.lo;
    step.hi = chunk.hi;
    step.rows_estimated = static_cast<std::int64_t>(chunk.rows + 0.5);
    steps.push_back(std::move(step));
  }
}

// The key's index first: the drain finds its rows by it.
void add_index_steps(std::vector<Step> &steps, const Job &job) {
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(
        "SELECT i.indexrelid, c.relname, EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND "
        "k.conrelid = i.indrelid"
        "   AND k.contype IN ('p', 'u', 'x')) AS is_constraint,"
        " i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND"
        " (SELECT array_agg(a.attname::text ORDER BY x.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS x(attnum, n)"
        "    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum WHERE x.n <= i.indnkeyatts) = "
        "$2::text[] AS covers"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indisvalid AND "
        "i.indislive"
        " ORDER BY i.indisprimary DESC, c.relname",
        {pg::Param::oid(job.live), job.key});
  });
  bool has_key = false;
  for (const pg::Row &row : found) {
    bool const key = !has_key && row.boolean("covers");
    has_key = has_key || key;
    if (!key && !placement_of(job).builds_whole) continue;
    steps.push_back(make_step(
        key ? stage::key : stage::index, "build", key ? "key" : "index", "build " + row.text("relname"),
        "{\"index\": " + std::to_string(row.oid("indexrelid")) + ", \"name\": " + json_quote(row.text("relname")) +
            ", \"constraint\": " + (row.boolean("is_constraint") ? "true" : "false") + "}"));
  }
}

std::vector<Step> work_steps(const Job &job, const ChunkPlan &chunks, std::vector<Step> steps) {
  steps.push_back(make_step(stage::shadow, "prepare", "shadow", "create " + job.shadow_name));
  steps.push_back(make_step(stage::capture, "prepare", "capture", "capture writes to " + job.target_name));
  add_chunk_steps(steps, chunks);
  steps.push_back(make_step(stage::purge, "build", "purge", "remove keys changed during the copy"));
  add_index_steps(steps, job);
  if (placement_of(job).builds_whole)
    steps.push_back(make_step(stage::shape, "build", "shape", "options, statistics targets and comments"));
  steps.push_back(make_step(stage::analyze, "build", "analyze", "vacuum and analyze " + job.shadow_name));
  steps.push_back(make_step(stage::drain, "catch up", "drain", "apply captured changes"));
  steps.push_back(make_step(stage::audit, "audit", "audit", "begin an audit"));
  steps.push_back(make_step(stage::check, "audit", "metrics", "metrics of live and the new version"));
  return steps;
}

// Steps get the job's number and their own, in the order of stages.
void number_steps(std::vector<Step> &steps, int job, int *last) {
  std::stable_sort(steps.begin(), steps.end(), [](const Step &a, const Step &b) { return a.stage < b.stage; });
  for (Step &step : steps) {
    step.job = job;
    step.id = ++*last;
  }
}

std::string summary(const ChunkPlan &chunks) {
  std::size_t const blocks = chunks.chunks.size() - static_cast<std::size_t>(chunks.ranges);
  std::string const rest = format_count(static_cast<std::int64_t>(blocks)) + " by blocks";
  std::string const ranges = format_count(chunks.ranges) + " chunks by " + chunks.by;
  return chunks.ranges == 0 ? rest : blocks == 0 ? ranges : ranges + ", " + rest;
}

struct Ledger {
  std::vector<Step> pre_checks, checks, publishing;
};

Ledger write_ledger(const Job &planned, const ChunkPlan &chunks, const std::vector<Dependent> &dependents,
                    const std::vector<Step> &suspensions, const PlanParts &parts) {
  insert_job(planned);
  Job const job = *load_job(planned.id);
  Ledger ledger;
  int last = 0;
  ledger.pre_checks = parts.pre_checks(job);
  number_steps(ledger.pre_checks, job.id, &last);
  insert_steps(job.id, ledger.pre_checks);
  std::vector<Step> work = work_steps(job, chunks, suspensions);
  number_steps(work, job.id, &last);
  insert_steps(job.id, work);
  ledger.checks = parts.checks(job);
  number_steps(ledger.checks, job.id, &last);
  insert_steps(job.id, ledger.checks);
  ledger.publishing = parts.publishing(job);
  number_steps(ledger.publishing, job.id, &last);
  insert_steps(job.id, ledger.publishing);
  store_dependents(job.id, dependents);
  record_event(job.id, "planned", summary(chunks));
  return ledger;
}

void warn_of_workers(const Spec &spec, std::vector<std::string> *warnings) {
  int const slots = std::stoi(pg::setting("max_worker_processes"));
  if (slots <= spec.strategy.parallelism)
    warnings->push_back("max_worker_processes is " + std::to_string(slots) + ": the coordinator and " +
                        std::to_string(spec.strategy.parallelism) +
                        " chunk workers need one slot each; the run takes what is free.");
}

// Rows that are written where they are move nothing.  What is computed from them follows, and what would send the new version
// to subscribers while it is built is in the way of any strategy.
std::vector<Dependent> dependents_of(const Target &target, const Spec &spec, const Placement &placement) {
  std::vector<Dependent> dependents = inventory(target.oid, spec);
  if (placement.in_place)
    std::erase_if(dependents, [](const Dependent &dependent) {
      return dependent.kind != "materialized view" &&
             !(dependent.fate == "blocks" && dependent.kind.starts_with("publication of"));
    });
  return dependents;
}

double share_built(const Target &target, const ChunkPlan &chunks, const Placement &placement) {
  return placement.builds_whole || target.rows <= 0 ? 1 : std::min(1.0, chunks.rows_in_scope / target.rows);
}

void warn_of_long_write(const Target &target, const Spec &spec, const ChunkPlan &chunks,
                        std::vector<std::string> *warnings) {
  std::int64_t const most = rows_written_within(target.oid, spec.publish.max_lock);
  if (chunks.rows_in_scope <= static_cast<double>(most)) return;
  warnings->push_back(
      "If more than ≈ " + format_count(most) +
      " rows differ, writing them is expected to take longer than publish.max_lock (" +
      std::to_string(spec.publish.max_lock) +
      " ms), and publish refuses: look at backfill_diff first, raise it, or say strategy: {type: swap}.");
}

}  // namespace

std::vector<std::string> plan_backfill(const Node &document, const PlanParts &parts) {
  Spec const spec = interpret_spec(document);
  require_interval(spec.retention);
  require_allowed_webhook(spec.monitoring);
  require_publisher(spec);

  Target const target = find_target(spec.scope.table);
  require_usage(target);
  require_free_name(spec);
  require_free_table(target);
  std::vector<std::string> const key = find_key(target, spec.strategy.key);
  std::string const search_path = frozen_search_path();

  FrozenScope const scope = freeze_scope(target, spec);
  TransformFacts const transform = check_transform(target, scope, key, spec, search_path);
  std::vector<std::string> const reads = check_read_from(target, spec, transform, search_path);
  ChunkPlan chunks = plan_chunks(target, scope, spec, true);
  Choice const choice = choose_strategy(target, spec, key, chunks);
  if (!choice.placement->builds_whole) chunks = plan_chunks(target, scope, spec, false);
  require_ranges(chunks, spec);

  std::vector<Dependent> const dependents = dependents_of(target, spec, *choice.placement);
  require_movable(target.label(), dependents);
  require_label_providers(dependents);

  Estimate const estimate = estimate_work(target, spec, share_built(target, chunks, *choice.placement));
  Job job = make_job(spec, target, scope, chunks);
  job.strategy = choice.placement->word;
  job.key = key;
  job.search_path = search_path;
  job.fingerprint = take_fingerprint(target.oid, spec, transform.functions);
  job.rows_estimated = estimate.rows;
  job.bytes_estimated = estimate.disk_bytes;
  require_free_names(job);

  std::vector<std::string> warnings = chunks.warnings;
  warnings.insert(warnings.end(), transform.warnings.begin(), transform.warnings.end());
  warnings.insert(warnings.end(), spec.notes.begin(), spec.notes.end());
  if (!target.analyzed)
    warnings.push_back("The table was never analyzed: its rows are guessed from its size. ANALYZE it first.");
  for (const std::string &warning : publication_warnings(target.oid, spec)) warnings.push_back(warning);
  if (choice.placement->in_place) warn_of_long_write(target, spec, chunks, &warnings);
  warn_of_workers(spec, &warnings);
  for (const std::string &warning : disk_warnings(target.oid, estimate.disk_bytes, estimate.wal_bytes, spec.throttle))
    warnings.push_back(warning);
  check_refreshes(job, &warnings);
  std::vector<Step> const suspensions = plan_suspensions(job, &warnings);

  Ledger const ledger = write_ledger(job, chunks, dependents, suspensions, parts);
  return plan_text({job, choice, target, scope, chunks, estimate, dependents, reads, ledger.pre_checks, ledger.checks,
                    ledger.publishing, warnings, pg::role_name(pg::session_role())});
}

}  // namespace backfill
