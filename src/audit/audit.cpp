// The life of a check:
//
//   plan    read from the spec (or by default), tried over an empty stand-in of the new version, written as a step;
//   run     measured as the owner in one snapshot, judged by its limits, stored as evidence;
//   block   until the newest audit has seen it pass, or somebody answers for it by a waiver.
#include "audit/audit.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "audit/check.hpp"
#include "audit/defaults.hpp"
#include "audit/failures.hpp"
#include "audit/metrics.hpp"
#include "catalog/evidence.hpp"
#include "catalog/placement.hpp"
#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"

namespace backfill {

namespace {

// ---- plan ----

Check read_check(const CheckSpec &spec, bool by_default) {
  Check check;
  check.word = spec.check;
  check.name = spec.name;
  check.severity = spec.severity;
  check.args = spec.args;
  check.by_default = by_default;
  check.kind = find_check_kind(spec.check);
  if (check.kind == nullptr)
    throw Error(sqlstate::feature_not_supported,
                "check \"" + spec.check + "\" at \"" + spec.args.path + "\" is not available in this version", {},
                "Remove it, or express it as a failed_rows check.");
  check.limits = read_limits(check.args, check.severity, check.kind->failing(check));
  return check;
}

// A number of rows, or a share of them, as a share.
double sampled_share(const Job &job, const Node &sample) {
  std::string const text = sample.value();
  std::optional<double> const percent = parse_percent(text);
  std::optional<std::int64_t> const rows = parse_count(text);
  if (!(percent && *percent > 0 && *percent <= 100) && !(rows && *rows > 0))
    throw invalid_value(sample, "a percentage such as 5%, or a number of rows");
  if (percent) return *percent / 100;
  std::int64_t all = 0;
  for (const Step &chunk : range_chunks(job)) all += chunk.rows_estimated;
  if (all == 0) all = job.rows_estimated;
  return all == 0 ? 1 : static_cast<double>(*rows) / static_cast<double>(all);
}

// Keys whose hash is small: the same in both versions and in every audit.
std::string sample_condition(const Job &job, const TableShape &shape, const Node &sample) {
  constexpr double steps = 1 << 20;
  double const share = sampled_share(job, sample);
  if (share >= 1) return {};
  std::string key;
  for (const TableShape::Column &column : shape.key)
    key += (key.empty() ? "" : ", ") + quote_ident(shape.table) + "." + quote_ident(column.name) + "::text";
  return "(hashtextextended(concat_ws('/', " + key + "), 1) & " + std::to_string(static_cast<long long>(steps) - 1) +
         ") < " + std::to_string(std::max<long long>(1, static_cast<long long>(share * steps)));
}

SceneRange range_of(const Check &check, const Job &job, const TableShape &shape) {
  SceneRange range;
  if (const Node *const where = check.find("where")) range.where = fragment(job, *where);
  if (const Node *const sample = check.find("sample")) range.sample = sample_condition(job, shape, *sample);
  bool const everywhere = check.find("scope") == nullptr ? check.kind->whole_table : check.scope() == "table";
  range.in_scope = !everywhere;
  return range;
}

Error without_meaning(const Check &check, const Node &node, const std::string &why) {
  return Error(sqlstate::invalid_parameter_value,
               "\"" + node.path + "\" has no meaning for check \"" + check.word + "\"", why, "Remove it.");
}

// Where only the rows in scope are built, nothing can be said of the whole table.
void refuse_whole_table(const Job &job, const Check &check) {
  if (placement_of(job).builds_whole) return;
  const Node *const scope = check.find("scope");
  std::string const hint = "Remove it, or say strategy: {type: swap}.";
  if (scope != nullptr && check.scope() == "table")
    throw Error(sqlstate::feature_not_supported, "\"" + scope->path + "\" cannot be \"table\" with strategy merge",
                "Only the rows in scope are built; the others stay where they are.", hint);
  if (check.word == "schema_match")
    throw Error(sqlstate::feature_not_supported, "check \"schema_match\" has no meaning with strategy merge",
                "Rows are written to the table as it is, so its shape cannot become another.", hint);
}

// What a common key cannot mean for this kind of check: better told now than passed over.
void refuse_meaningless(const Check &check) {
  const Node *const against = check.find("against"), *const store = check.find("store_failures");
  bool const stores = store != nullptr && store->boolean();
  if (against != nullptr && check.kind->against == nullptr)
    throw without_meaning(check, *against, "It looks at the new version alone.");
  if (against != nullptr && against->text() != "live" &&
      std::string(check.kind->against).find(" " + against->text() + " ") == std::string::npos)
    throw Error(sqlstate::invalid_parameter_value,
                "\"" + against->path + "\" cannot be \"" + against->text() + "\" for check \"" + check.word + "\"",
                *check.kind->against == '\0'
                    ? "It compares with live."
                    : std::string("It compares with live, or with one of:") +
                          std::string(check.kind->against, std::strlen(check.kind->against) - 1) + ".",
                *check.kind->against == '\0' ? "Leave it out." : "Leave it out, or name one of these.");
  if (stores && !check.kind->tells_rows())
    throw without_meaning(check, *store, "It measures figures, so there are no rows at fault to be kept.");
  if (const Node *const sample = check.find("sample"); sample != nullptr && !check.kind->samples)
    throw without_meaning(check, *sample, "It needs every row.");
  if (const Node *const limit = check.find("limit"); limit != nullptr && !stores)
    throw without_meaning(check, *limit, "It says how many rows at fault store_failures keeps.");
}

void try_check(const Check &check, const Job &job, const TableShape &shape, bool pre) {
  refuse_whole_table(job, check);
  refuse_meaningless(check);
  if (pre && check.kind->compares)
    throw Error(sqlstate::invalid_parameter_value,
                "check \"" + check.word + "\" at \"" + check.args.path + "\" cannot be a pre-check",
                "It compares the new version with live, and there is no new version yet.", "Move it to \"checks\".");
  if (check.kind->measure == nullptr) return;
  with_trial(job, shape, pre, range_of(check, job, shape), check.args.path, [&](const Scene &scene) {
    (void)check.kind->measure(check, scene);
    if (check.boolean("store_failures", false)) (void)scene.query(faults_of(check, scene));
  });
}

Step step_of(const Check &check, const Job &job, bool pre) {
  Node params = Node::empty_mapping();
  params.put("name", Node::of_string(check.name));
  params.put("check", Node::of_string(check.word));
  params.put("severity", Node::of_string(check.severity));
  params.put("default", Node::of_boolean(check.by_default));
  params.put("args", check.args);
  Step step;
  step.job = job.id;
  step.stage = pre ? stage::pre_check : stage::check;
  step.phase = pre ? "prepare" : "audit";
  step.kind = pre ? "pre_check" : "check";
  step.title = check.name + ": " + check.kind->expected(check, job);
  step.params = to_json(params);
  return step;
}

Check check_of(const Step &step) {
  Node const params = parse_document(step.params);
  CheckSpec spec;
  spec.check = params.find("check")->text();
  spec.name = params.find("name")->text();
  spec.severity = params.find("severity")->text();
  spec.args = *params.find("args");
  assign_paths(spec.args, spec.name);
  return read_check(spec, params.find("default")->boolean());
}

// Names stay the user's; a default gives way.
void name_default(CheckSpec &check, const std::vector<CheckSpec> &given) {
  std::string const wanted = check.name;
  for (int n = 2;
       std::any_of(given.begin(), given.end(), [&](const CheckSpec &other) { return other.name == check.name; }); n++)
    check.name = n == 2 && check.check == "exact" ? wanted + " out of scope" : wanted + " #" + std::to_string(n);
}

std::vector<Step> plan(const Job &job, std::vector<CheckSpec> defaults, const std::vector<CheckSpec> &given, bool pre) {
  TableShape const shape = read_shape(job);
  std::vector<Step> steps;
  for (CheckSpec &spec : defaults) {
    name_default(spec, given);
    steps.push_back(step_of(read_check(spec, true), job, pre));
  }
  for (const CheckSpec &spec : given) {
    Check const check = read_check(spec, false);
    try_check(check, job, shape, pre);
    steps.push_back(step_of(check, job, pre));
  }
  return steps;
}

// ---- run ----

// What one step found: the whole, and the chunks at fault.
struct Finding {
  Evidence whole;
  std::vector<Evidence> chunks;
};

std::string with_pending(std::string detail, std::int64_t pending) {
  if (pending == 0) return detail;
  return detail + (detail.empty() ? "" : "; ") + format_count(pending) +
         (pending == 1 ? " key that waits to be drained left out" : " keys that wait to be drained left out");
}

Evidence evidence_of(const Check &check, const Measurement &found, bool pre) {
  Evidence evidence;
  evidence.check = check.name;
  evidence.scope = pre ? "pre" : "run";
  evidence.severity = check.limits.severity();
  evidence.outcome = outcome_of(check, found);
  evidence.actual = found.actual;
  evidence.detail = with_pending(found.detail, found.pending);
  evidence.measured = found.measured;
  evidence.sql = found.sql;
  if (!found.taken_at.empty()) evidence.checked_at = found.taken_at;
  return evidence;
}

// Checks of one pass, in their order; or one of any kind.
using Checks = std::vector<const Check *>;

std::vector<Measurement> measure_in(const Scene &scene, const Checks &checks) {
  std::vector<Measurement> found(checks.size());
  Checks together;
  for (const Check *const check : checks)
    if (wanted_of(*check, scene)) together.push_back(check);
  std::vector<Measurement> const measured =
      together.empty() ? std::vector<Measurement>() : measure_together(together, scene);
  std::size_t next = 0;
  for (std::size_t i = 0; i < checks.size(); i++) {
    if (next < together.size() && together[next] == checks[i]) {
      found[i] = measured[next++];
      continue;
    }
    scene.sql.clear();
    found[i] = checks[i]->kind->measure(*checks[i], scene);
    if (found[i].sql.empty()) found[i].sql = scene.sql;
  }
  return found;
}

std::vector<Measurement> measure(const Checks &checks, const Job &job, const TableShape &shape, const SceneRange &range,
                                 bool pre) {
  std::vector<Measurement> found;
  with_scene(job, shape, pre, range, [&](const Scene &scene) {
    found = measure_in(scene, checks);
    for (std::size_t i = 0; i < checks.size(); i++) {
      found[i].taken_at = scene.taken_at;
      found[i].pending = scene.pending;
      if (checks[i]->boolean("store_failures", false) && found[i].measured > 0) {
        std::string const stored = store_failures(*checks[i], scene);
        if (!stored.empty()) found[i].detail += (found[i].detail.empty() ? "" : "; ") + stored;
      }
    }
  });
  return found;
}

// The worst of its chunks, each in a snapshot of its own.
struct ByChunk {
  Finding finding;
  int failed = 0, warned = 0;

  void add(Evidence evidence, const Step &chunk) {
    if (evidence.outcome == "fail") failed++;
    if (evidence.outcome == "warn") warned++;
    if (finding.whole.outcome.empty()) finding.whole = evidence;
    evidence.scope = "chunk";
    evidence.chunk = chunk.chunk;
    if (evidence.outcome == "fail" || evidence.outcome == "warn") finding.chunks.push_back(std::move(evidence));
  }
  Finding sum(std::size_t chunks) {
    finding.whole.outcome = failed > 0 ? "fail" : warned > 0 ? "warn" : "pass";
    finding.whole.measured = failed + warned;
    finding.whole.actual = std::to_string(failed + warned) + " of " + std::to_string(chunks) + " chunks " +
                           (failed == 0 && warned > 0 ? "warn" : "fail");
    finding.whole.detail = "each chunk in a snapshot of its own";
    return finding;
  }
};

std::vector<Finding> examine_chunks(const Checks &checks, const Job &job, const TableShape &shape,
                                    const std::vector<Step> &chunks, bool pre) {
  std::vector<ByChunk> found(checks.size());
  SceneRange range = range_of(*checks[0], job, shape);
  range.in_scope = false;
  for (const Step &chunk : chunks) {
    range.chunk = chunk;
    std::vector<Measurement> const measured = measure(checks, job, shape, range, pre);
    for (std::size_t i = 0; i < checks.size(); i++) found[i].add(evidence_of(*checks[i], measured[i], pre), chunk);
  }
  std::vector<Finding> findings;
  for (ByChunk &one : found) findings.push_back(one.sum(chunks.size()));
  return findings;
}

Finding finding_of(const Check &check, const Measurement &found, bool pre) {
  Finding finding;
  finding.whole = evidence_of(check, found, pre);
  for (const auto &[chunk, what] : found.chunks) {
    Evidence evidence = finding.whole;
    evidence.scope = "chunk";
    evidence.chunk = chunk;
    evidence.actual = what;
    evidence.detail.clear();
    evidence.measured.reset();
    finding.chunks.push_back(std::move(evidence));
  }
  return finding;
}

std::vector<Finding> examine(const Checks &checks, const Job &job, bool pre) {
  TableShape const shape = read_shape(job);
  for (const Check *const check : checks) empty_failures(job, *check);
  const Check &first = *checks[0];
  if (first.kind->prove != nullptr) return {finding_of(first, first.kind->prove(first, job, shape), pre)};
  std::vector<Step> chunks;
  if (first.scope() == "chunk" && !pre) chunks = range_chunks(job);
  if (!chunks.empty()) return examine_chunks(checks, job, shape, chunks, pre);
  std::vector<Measurement> const measured = measure(checks, job, shape, range_of(first, job, shape), pre);
  std::vector<Finding> findings;
  for (std::size_t i = 0; i < checks.size(); i++) findings.push_back(finding_of(*checks[i], measured[i], pre));
  return findings;
}

constexpr char all_in_scope[] = "scope\n\n";

// What checks must have in common to be measured in one pass; "" for one that cannot be.
std::string pass_of(const Check &check, const Job &job, const TableShape &shape) {
  if (!check.kind->shares_pass()) return {};
  SceneRange const range = range_of(check, job, shape);
  bool const by_chunk = check.scope() == "chunk";
  return std::string(by_chunk         ? "chunk"
                     : range.in_scope ? "scope"
                                      : "table") +
         "\n" + range.where + "\n" + range.sample;
}

// Cancel and shutdown always; what may pass by itself, while attempts are left.
bool goes_on(const Error &failure, const Job &job, const Step &step) {
  if (failure.sqlstate.starts_with("57")) return true;
  return is_transient(failure.sqlstate) && step.attempts <= job.spec.strategy.retries;
}

std::string expectation(const Check &check, const Job &job) {
  std::string const expected = check.kind->expected(check, job);
  return check.limits.given ? expected + "; " + describe(check.limits) : expected;
}

// A check that could not run, told without what the server adds in DETAIL: that may hold rows.
Finding could_not_run(const Check &check, const Error &failure, bool pre) {
  Finding finding;
  finding.whole.check = check.name;
  finding.whole.scope = pre ? "pre" : "run";
  finding.whole.severity = check.limits.severity();
  finding.whole.outcome = "error";
  finding.whole.actual = "could not run";
  finding.whole.detail = failure.sqlstate + ": " + failure.what();
  return finding;
}

// Where one of several cannot run, each is run alone, so that the others say what they found.
std::vector<Finding> examine_safely(const std::vector<Check> &checks, const Job &job, const std::vector<Step> &steps,
                                    bool pre) {
  Checks pointers;
  for (const Check &check : checks) pointers.push_back(&check);
  try {
    return pg::subtransaction([&] { return examine(pointers, job, pre); });
  } catch (const Error &failure) {
    if (goes_on(failure, job, steps[0])) throw;
    if (checks.size() == 1) return {could_not_run(checks[0], failure, pre)};
  }
  std::vector<Finding> findings;
  for (std::size_t i = 0; i < checks.size(); i++)
    findings.push_back(examine_safely({checks[i]}, job, {steps[i]}, pre)[0]);
  return findings;
}

std::string summary(const Evidence &evidence) {
  std::string text = evidence.check + ": " + evidence.actual;
  if (!evidence.detail.empty()) text += (evidence.actual.empty() ? "" : "; ") + evidence.detail;
  return text;
}

Verdict record(const Job &job, const Check &check, Finding finding) {
  finding.whole.expected = expectation(check, job);
  for (Evidence &chunk : finding.chunks) {
    chunk.expected = finding.whole.expected;
    insert_evidence(job, chunk);
  }
  insert_evidence(job, finding.whole);
  return {finding.whole.outcome, summary(finding.whole)};
}

}  // namespace

Check planned_check(const Step &step) { return check_of(step); }

std::vector<Step> plan_checks(const Job &job) { return plan(job, default_checks(job), job.spec.checks, false); }

std::vector<Step> plan_pre_checks(const Job &job) {
  return plan(job, default_pre_checks(job), job.spec.pre_checks, true);
}

int begin_audit(const Job &job) {
  int const audit = next_audit(job.id);
  record_event(job.id, "audit begun", "audit " + std::to_string(audit));
  return audit;
}

std::vector<Step> companions_of(const Job &job, const Step &step) {
  TableShape const shape = read_shape(job);
  std::string const pass = pass_of(check_of(step), job, shape);
  std::vector<Step> companions;
  if (pass.empty()) return companions;
  for (const Step &other : load_steps(job.id, step.kind))
    if (other.id != step.id && other.status == "pending" && pass_of(check_of(other), job, shape) == pass)
      companions.push_back(other);
  return companions;
}

std::vector<Verdict> run_checks(const Job &job, const std::vector<Step> &steps) {
  bool const pre = steps[0].kind == "pre_check";
  std::vector<Check> checks;
  for (const Step &step : steps) checks.push_back(check_of(step));
  std::vector<Finding> const findings = examine_safely(checks, job, steps, pre);
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < checks.size(); i++) verdicts.push_back(record(job, checks[i], findings[i]));
  return verdicts;
}

std::vector<Step> counted_by_metrics(const Job &job) {
  TableShape const shape = read_shape(job);
  std::vector<Step> counts;
  for (const Step &step : load_steps(job.id, "check")) {
    if (step.status != "pending") continue;
    Check const check = check_of(step);
    if (check.word == "row_count_delta" && pass_of(check, job, shape) == all_in_scope) counts.push_back(step);
  }
  return counts;
}

std::vector<Verdict> collect_metrics(const Job &job, const std::vector<Step> &counts) {
  TableShape const shape = read_shape(job);
  std::vector<Verdict> verdicts;
  with_scene(job, shape, false, {}, [&](const Scene &scene) {
    MetricTotals const totals = store_metrics(scene, metric_columns(job, shape));
    for (const Step &step : counts) {
      Check const check = check_of(step);
      Measurement found = read_counts(check, scene, totals.rows, totals.live_rows);
      found.taken_at = scene.taken_at;
      found.pending = scene.pending;
      verdicts.push_back(pg::as_extension([&] { return record(job, check, finding_of(check, found, false)); }));
    }
  });
  return verdicts;
}

std::vector<std::string> blocking_checks(const Job &job) {
  std::vector<std::string> blocking;
  for (const CheckStanding &standing : check_standings(job.id)) {
    bool const good = standing.outcome == "pass" || standing.outcome == "warn" || standing.outcome == "skipped";
    if (!good && !standing.waived) blocking.push_back(standing.check);
  }
  return blocking;
}

void waive_check(const Job &job, const std::string &check, const std::string &reason) {
  if (reason.find_first_not_of(" \t\r\n") == std::string::npos)
    throw Error(sqlstate::invalid_parameter_value, "a waiver needs a reason", "It is kept in the audit trail.",
                "Say why the result is acceptable.");
  if (job.state != "ready" && job.state != "failed")
    throw Error(sqlstate::object_not_in_prerequisite_state,
                "cannot waive a check of backfill \"" + job.name + "\" while it is " + job.state,
                "Checks are waived when the backfill is ready or failed.",
                "See SELECT name, state, next_command FROM backfill.jobs;");
  std::vector<CheckStanding> const standings = check_standings(job.id);
  auto const found = std::find_if(standings.begin(), standings.end(), [&](const auto &s) { return s.check == check; });
  if (found == standings.end()) {
    std::vector<std::string> names;
    for (const CheckStanding &standing : standings) names.push_back(standing.check);
    std::string const near = nearest_word(check, names);
    throw Error(sqlstate::undefined_object, "backfill \"" + job.name + "\" has no check \"" + check + "\"",
                "Its checks are " + listed(names) + ".",
                near.empty() ? "Name one of them." : "Did you mean \"" + near + "\"?");
  }
  if (found->outcome != "fail" && found->outcome != "error")
    throw Error(sqlstate::object_not_in_prerequisite_state, "check \"" + check + "\" does not need a waiver",
                found->outcome.empty() ? "It has not run in the newest audit."
                                       : "Its outcome in the newest audit is " + found->outcome + ".",
                "Waive only what failed or could not run.");
  if (found->waived)
    throw Error(sqlstate::object_not_in_prerequisite_state, "check \"" + check + "\" is waived already",
                "The waiver holds until the next audit.", "Nothing is left to do for it.");
  insert_waiver(job, check, reason, pg::role_name(pg::session_role()));
  record_event(job.id, "waived", check + ": " + reason);
}

}  // namespace backfill
