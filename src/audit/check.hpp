// What a check is.  A new check is one small file, check_<word>.cpp, that defines a CheckKind, a line in kinds.cpp,
// and its word and parameters in core/spec_keys.cpp.
//
// Most checks are one SELECT over the rows the scene shows; the rest (thresholds, severity, where, scope, evidence,
// errors) is common.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/transform.hpp"
#include "core/limits.hpp"
#include "core/node.hpp"

namespace backfill {

struct CheckKind;

// A check of a job, as its step records it.
struct Check {
  std::string word, name;
  std::string severity = "error";  // as asked for: error | warn
  Node args;                       // the check's mapping in the spec, with its path; an empty mapping of a default
  bool by_default = false;
  const CheckKind *kind = nullptr;
  Limits limits;

  const Node *find(const char *key) const;  // nullptr where absent or null
  std::string text(const char *key, const std::string &otherwise = {}) const;
  bool boolean(const char *key, bool otherwise) const;
  std::vector<std::string> columns() const;  // of `column` or `columns`
  std::string scope() const;                 // run, chunk or table; of `exact`: in, out or both
};

// What a check sees: one snapshot, in which keys that wait in the capture log are left out on both sides.
// Lives within scene's callback; runs as the owner.
struct Scene {
  Scene(const Job &job, const TableShape &shape) : job(job), shape(shape) {}
  const Job &job;
  const TableShape &shape;
  bool trial = false;  // planning: statements are explained over an empty stand-in, and yield zeros
  bool pre = false;    // a pre-check: the subject is live itself
  std::string path;    // of the check in the spec, for errors of a trial
  std::string table;   // the quoted name under which the subject is visible; what FROM takes
  std::string live;    // a FROM item: live under the same name
  std::string shadow;  // the subject as a relation, qualified; "" in a trial
  std::string rows;    // a condition: the rows the check is about (scope, `where`, the chunk); "true" for all
  std::string filter;  // the same without the scope
  std::optional<int> chunk;
  std::int64_t pending = 0;             // keys left out
  std::string taken_at;                 // when the snapshot was taken
  std::vector<pg::Param> pending_keys;  // one array a key column; empty when pending is 0

  // A FROM item: the subject with the keys that wait, as it was when it was last drained, under the same name.
  std::string drained() const;
  // The common table expressions in front of every statement: "backfill pending" and the subject.
  std::string with() const;
  // A condition: no key waits in the log for the row with that alias (unquoted); "true" when pending is 0.
  std::string settled(const std::string &alias) const;
  // Runs one SELECT behind with(); in a trial only explains it.  Remembers its text in sql.
  pg::Result query(const std::string &select) const;
  // INSERT INTO table ("schema"."name") what the SELECT yields; the number of rows.  Not in a trial.
  std::int64_t insert(const std::string &table, const std::string &select) const;
  mutable std::string sql;  // what was run, for the evidence
};

// What a check found.
struct Measurement {
  double measured = 0;
  std::optional<double> population;
  std::string actual;  // for people: "3 duplicate keys of 20,000 (0.02%)"
  std::string detail;
  std::string sql;
  std::string taken_at;
  std::int64_t pending = 0;
  bool skipped = false;                             // nothing to check; detail says why
  bool by_chance = false;                           // no more than chance brings: passes, unless the spec sets a limit
  std::vector<std::pair<int, std::string>> chunks;  // chunks at fault, and what was found there
};

// What a check needs to know of the rows for which scene.rows holds: SQL aggregates over those of the subject and over
// those of live, and how to read their values (null is NaN).  Checks of one scene are measured in one pass.
struct Aggregates {
  std::vector<std::string> fresh, live;
  std::function<Measurement(const std::vector<double> &fresh, const std::vector<double> &live)> read;
};

struct CheckKind {
  const char *word;
  // The failing condition where the spec gives none.
  std::string (*failing)(const Check &check);
  // Completes "expected: ".
  std::string (*expected)(const Check &check, const Job &job);
  // Measures in one snapshot.  Exactly one of measure and prove is set.
  Measurement (*measure)(const Check &check, const Scene &scene);
  // Measures in snapshots of its own, one after the other, so that none grows old.
  Measurement (*prove)(const Check &check, const Job &job, const TableShape &shape) = nullptr;
  // Rows out of scope are looked at as well, unless the spec says otherwise.
  bool whole_table = false;
  // Compares the new version with live, so it is no pre-check.
  bool compares = false;
  // A condition on a row of the subject at fault, where each row is judged by itself, and what completes the number of
  // such rows (as of count_rows).  Both aggregates and rows_at_fault follow from it.
  std::string (*at_fault)(const Check &check, const Scene &scene) = nullptr;
  const char *counted = nullptr;
  // Can share a pass over the rows with others; nullopt: not in this scene.  `measure` is then measure_alone, or what is
  // to be done in such a scene.
  std::optional<Aggregates> (*aggregates)(const Check &check, const Scene &scene) = nullptr;
  // A SELECT of the rows at fault, for store_failures; with the columns of the subject, or failure_columns.
  std::string (*rows_at_fault)(const Check &check, const Scene &scene) = nullptr;
  const char *failure_columns = nullptr;
  // What `against` may be besides live, as words between spaces; nullptr where it has no meaning.
  const char *against = nullptr;
  // May look at a sample of the keys.
  bool samples = false;

  bool shares_pass() const { return at_fault != nullptr || aggregates != nullptr; }
  bool tells_rows() const { return at_fault != nullptr || rows_at_fault != nullptr; }
};

// pass warn fail skipped
std::string outcome_of(const Check &check, const Measurement &found);

const CheckKind *find_check_kind(const std::string &word);  // nullptr: no such check

// Which conditions narrow the rows of a scene.
struct SceneRange {
  std::string where;   // of the spec; "" for none
  std::string sample;  // a condition that some keys fulfil; "" for all
  bool in_scope = true;
  std::optional<Step> chunk;  // a range chunk
};

// Runs fn as the owner in one snapshot.
// After publish the subject is live and the archive is what it is compared with.
// Errors: 55000 when a TRUNCATE waits in the log: until it is drained there is nothing to compare.
void with_scene(const Job &job, const TableShape &shape, bool pre, const SceneRange &range,
                const std::function<void(const Scene &)> &fn);
// The same over an empty stand-in of the subject, at plan time.  path: of the check in the spec, for errors.
void with_trial(const Job &job, const TableShape &shape, bool pre, const SceneRange &range, const std::string &path,
                const std::function<void(const Scene &)> &fn);

// Measures checks that have aggregates in this scene in one pass over each side, in their order.  Each measurement
// carries the statement that would have measured it alone.
std::vector<Measurement> measure_together(const std::vector<const Check *> &checks, const Scene &scene);
// What a check that wants nothing but count(*) of both sides would have measured in this scene, where they have so many rows.
Measurement read_counts(const Check &check, const Scene &scene, std::int64_t fresh, std::int64_t live);
// For kinds whose aggregates are all there is to them.
Measurement measure_alone(const Check &check, const Scene &scene);
// What the check wants of a pass over the rows; nullopt: it cannot share one in this scene.
std::optional<Aggregates> wanted_of(const Check &check, const Scene &scene);
// A SELECT of the rows at fault.  REQUIRES: check.kind->tells_rows().
std::string faults_of(const Check &check, const Scene &scene);
// SELECT * of the subject's rows for which the condition holds.
std::string select_those(const Scene &scene, const std::string &condition);

// For kinds that are one SELECT yielding "measured" and "population": runs it and words the result.
// what: "duplicate key|duplicate keys", completes a number: the one, or any other.
Measurement count_rows(const Scene &scene, const std::string &select, const std::string &what);
std::string worded(double measured, std::optional<double> population, const std::string &what);
std::string figure(double value);  // 1,200  0.0123457  no value

// A fragment of SQL that a person wrote, safe to stand within parentheses: 42601 naming the path unless its
// parentheses match and it is not several statements.  :backfill and :run_id are filled in.
std::string fragment(const Job &job, const Node &node);
// The same with :chunk, :chunk_start and :chunk_stop of a range chunk.
std::string fragment_of_chunk(const Job &job, const TableShape &shape, const Node &node, const Step &chunk);

// "a", "b" with quotes, joined.
std::string quoted_columns(const std::vector<std::string> &columns, const char *separator = ", ");
std::string listed_columns(const std::vector<std::string> &columns);  // a, b: for people

// 42703 naming the path and the nearest column unless the table has each of them.
void require_columns(const TableShape &shape, const Node *node, const std::vector<std::string> &columns);
// 22023 naming the path: the check cannot be as it is written.
Error meaningless(const Check &check, const std::string &why, const std::string &hint);
// The column of that name; nullptr where there is none.
const TableShape::Column *find_column(const TableShape &shape, const std::string &name);

// Of a type that can be summed up.
bool is_numeric(const TableShape::Column &column);

// Equality of two aliases' keys.
std::string same_key(const TableShape &shape, const std::string &a, const std::string &b);

// The range chunks of the job, by number.
std::vector<Step> range_chunks(const Job &job);
// The same in the order of their ranges; raises 22023 where the check needs chunks and the job has none of ranges.
std::vector<Step> ordered_chunks(const Check &check, const Job &job);
// SQL over a row in scope under the target's name: the number of the chunk it belongs to.  REQUIRES: ordered.
std::string chunk_of_row(const TableShape &shape, const std::vector<Step> &ordered);
// A condition on the subject's rows: within the chunk.
std::string within_chunk(const TableShape &shape, const Step &chunk);

// The check that a step of the ledger records.
Check planned_check(const Step &step);

}  // namespace backfill
