// The life of a check:
//
//   plan    read from the spec (or by default), tried over an empty stand-in of the new version, written as a step;
//   run     measured as the owner in one snapshot, judged by its limits, stored as evidence;
//   block   until the newest audit has seen it pass, or somebody answers for it by a waiver.
#include "audit/audit.hpp"

#include <algorithm>
#include <set>

#include "audit/check.hpp"
#include "audit/defaults.hpp"
#include "catalog/evidence.hpp"
#include "core/spec_keys.hpp"
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

SceneRange range_of(const Check &check, const Job &job) {
  SceneRange range;
  if (const Node *const where = check.find("where")) range.where = fragment(job, *where);
  bool const everywhere = check.find("scope") == nullptr ? check.kind->whole_table : check.scope() == "table";
  range.in_scope = !everywhere;
  return range;
}

// What the design has and this version has not: better told now than passed over.
void refuse_unavailable(const Check &check) {
  for (const char *const key : {"store_failures", "sample", "limit"})
    if (const Node *const node = check.find(key);
        node != nullptr && !(key == std::string("store_failures") && !node->boolean()))
      throw Error(sqlstate::feature_not_supported, "\"" + node->path + "\" is not available in this version",
                  "Checks read all rows and store numbers, not rows.", "Remove it.");
  if (const Node *const against = check.find("against"); against != nullptr && !check.kind->compares)
    throw Error(sqlstate::invalid_parameter_value,
                "\"" + against->path + "\" has no meaning for check \"" + check.word + "\"",
                "It looks at the new version alone.", "Remove it.");
}

void try_check(const Check &check, const Job &job, const TableShape &shape, bool pre) {
  refuse_unavailable(check);
  if (pre && check.kind->compares)
    throw Error(sqlstate::invalid_parameter_value,
                "check \"" + check.word + "\" at \"" + check.args.path + "\" cannot be a pre-check",
                "It compares the new version with live, and there is no new version yet.", "Move it to \"checks\".");
  if (check.kind->measure == nullptr) return;
  with_trial(job, shape, pre, range_of(check, job), check.args.path,
             [&](const Scene &scene) { (void)check.kind->measure(check, scene); });
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
  evidence.outcome = found.skipped ? "skipped" : judge(check.limits, found.measured, found.population);
  evidence.actual = found.actual;
  evidence.detail = with_pending(found.detail, found.pending);
  evidence.measured = found.measured;
  evidence.sql = found.sql;
  if (!found.taken_at.empty()) evidence.checked_at = found.taken_at;
  return evidence;
}

Measurement measure(const Check &check, const Job &job, const TableShape &shape, const SceneRange &range, bool pre) {
  Measurement found;
  with_scene(job, shape, pre, range, [&](const Scene &scene) {
    found = check.kind->measure(check, scene);
    if (found.sql.empty()) found.sql = scene.sql;
    found.taken_at = scene.taken_at;
    found.pending = scene.pending;
  });
  return found;
}

// The worst of its chunks, each in a snapshot of its own.
Finding examine_chunks(const Check &check, const Job &job, const TableShape &shape, const std::vector<Step> &chunks,
                       bool pre) {
  Finding finding;
  SceneRange range = range_of(check, job);
  range.in_scope = false;
  int failed = 0, warned = 0;
  for (const Step &chunk : chunks) {
    range.chunk = chunk;
    Evidence evidence = evidence_of(check, measure(check, job, shape, range, pre), pre);
    if (evidence.outcome == "fail") failed++;
    if (evidence.outcome == "warn") warned++;
    if (finding.whole.outcome.empty()) finding.whole = evidence;
    evidence.scope = "chunk";
    evidence.chunk = chunk.chunk;
    if (evidence.outcome == "fail" || evidence.outcome == "warn") finding.chunks.push_back(std::move(evidence));
  }
  finding.whole.outcome = failed > 0 ? "fail" : warned > 0 ? "warn" : "pass";
  finding.whole.measured = failed + warned;
  finding.whole.actual = std::to_string(failed + warned) + " of " + std::to_string(chunks.size()) + " chunks " +
                         (failed == 0 && warned > 0 ? "warn" : "fail");
  finding.whole.detail = "each chunk in a snapshot of its own";
  return finding;
}

Finding examine_whole(const Check &check, const Job &job, const TableShape &shape, bool pre) {
  Measurement const found = check.kind->prove != nullptr ? check.kind->prove(check, job, shape)
                                                         : measure(check, job, shape, range_of(check, job), pre);
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

Finding examine(const Check &check, const Job &job, bool pre) {
  TableShape const shape = read_shape(job);
  std::vector<Step> chunks;
  if (check.scope() == "chunk" && check.kind->measure != nullptr && !pre) chunks = range_chunks(job);
  return chunks.empty() ? examine_whole(check, job, shape, pre) : examine_chunks(check, job, shape, chunks, pre);
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

std::string summary(const Evidence &evidence) {
  std::string text = evidence.check + ": " + evidence.actual;
  if (!evidence.detail.empty()) text += (evidence.actual.empty() ? "" : "; ") + evidence.detail;
  return text;
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

Verdict run_check(const Job &job, const Step &step) {
  bool const pre = step.kind == "pre_check";
  Check const check = check_of(step);
  Finding finding;
  try {
    finding = pg::subtransaction([&] { return examine(check, job, pre); });
  } catch (const Error &failure) {
    if (goes_on(failure, job, step)) throw;
    finding = could_not_run(check, failure, pre);
  }
  finding.whole.expected = expectation(check, job);
  for (Evidence &chunk : finding.chunks) {
    chunk.expected = finding.whole.expected;
    insert_evidence(job, chunk);
  }
  insert_evidence(job, finding.whole);
  return {finding.whole.outcome, summary(finding.whole)};
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
