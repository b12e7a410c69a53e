// One section after the other:
//
//   summary          who, why, what, and when it counts as a success
//   script           plan, sample, run, wait, watch, audit, diff, publish, refresh, finish; the step that is due is marked
//   validation       queries to be run by hand (validation.cpp): before publish new against live, after it live against archive
//   notification     three texts to be sent: before the start, after the publish, on a rollback
//   refresh order    what is computed from the table, sources first
//   rollback         before publish, after publish, after the end
//   trouble          what failed, and what to type then
//
// Above each block of SQL stands when it may be run; the tests run them at that time.  It is C++ for the same reason as the
// report: a text of many parts, each of them a query.
#include "report/runbook.hpp"

#include <algorithm>

#include "catalog/placement.hpp"
#include "core/error.hpp"
#include "core/page.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "report/facts.hpp"
#include "report/markdown_text.hpp"
#include "report/story.hpp"
#include "report/validation.hpp"

namespace backfill {

namespace {

std::string when(const std::string &time, const std::string &statement) {
  return "**When:** " + time + "\n\n" + sql(statement) + "\n";
}

std::string name_of(const Facts &facts) { return quote_literal(facts.job.name); }

// One statement of a public function.
std::string call(const Facts &facts, const std::string &function) {
  return "SELECT backfill_" + function + "(" + name_of(facts) + ");";
}

std::string of_job(const Facts &facts) {
  return "name = " + name_of(facts) + " AND id = " + std::to_string(facts.job.id);
}

std::string table_of(const Facts &facts) { return facts.text("target"); }

// ---- summary ----

std::string summary(const Facts &facts) {
  auto const told = [&](const char *column) { return escaped(without_secrets(one_line(facts.text(column)))); };
  Lines lines;
  ShownState const state = shown_state(facts.row());
  lines.add("Now", state.mark + " " + state.text);
  lines.add("Waiting For", told("waiting_for"));
  lines.add("Description", told("description"));
  lines.add("Reason", told("reason"));
  lines.add("Requested By", told("requested_by"));
  lines.add("Owner", told("responsible"));
  lines.add("Planned By", told("planned_by") + ", " + facts.text("planned_text"));
  lines.add("Success Criteria", told("success_criteria"));
  lines.add("Table", escaped(table_of(facts)) + ", owned by " + escaped(pg::role_name(facts.job.owner)));
  lines.add("Scope", escaped(scope_text(facts.job)));
  lines.add("Work", plural(facts.row().integer("chunks_total"), "chunk") + ", ≈ " +
                        plural(facts.row().integer("rows_estimated"), "row") + ", ≈ " +
                        format_bytes(facts.job.bytes_estimated) + " beside the table, " +
                        plural(facts.job.parallelism, "worker"));
  return "# Runbook: " + escaped(facts.job.name) + "\n\n## 1. Summary\n\n" + lines.take() +
         code_block("text", without_secrets(transform_text(facts.job))) + "\n";
}

// ---- script ----

enum Due {
  plan_step = 1,
  sample_step,
  run_step,
  wait_step,
  watch_step,
  audit_step,
  diff_step,
  publish_step,
  refresh_step,
  finish_step
};

int due_step(const Facts &facts) {
  if (facts.is("planned") || facts.is("stalled") || facts.is("paused") || facts.is("failed")) return run_step;
  if (facts.is("running")) return wait_step;
  if (facts.is("ready")) return facts.row().boolean("blocked") ? audit_step : publish_step;
  if (facts.is("published")) return finish_step;
  return facts.is("finished") ? finish_step + 1 : 0;
}

class Script {
 public:
  explicit Script(const Facts &facts) : due_(due_step(facts)) {}
  // done: of a step that may be passed over
  void step(int number, const std::string &title, const std::string &text, bool done = true) {
    std::string const mark = number == due_ ? " – ➡️ now" : number < due_ && done ? " – ✅" : "";
    out_ += "### " + std::to_string(number) + ". " + title + mark + "\n\n" + text;
  }
  std::string take() const { return out_; }

 private:
  int due_;
  std::string out_;
};

bool was_sampled(const Facts &facts) {
  return pg::query_boolean("SELECT EXISTS (SELECT FROM backfill.event WHERE job_id = $1 AND event = 'sampled')",
                           {facts.job.id});
}

// Where the extension's functions are, whatever the search_path.
std::string function_schema() {
  return *pg::query_value(
      "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
      " WHERE e.extname = 'backfill'");
}

// A tag of a dollar quote that the text does not hold.
std::string dollar_tag(const std::string &text) {
  std::string tag = "$spec$";
  for (int n = 2; text.find(tag) != std::string::npos; n++) tag = "$spec" + std::to_string(n) + "$";
  return tag;
}

// The spec as it was given, with what came from the planner's session.  Addresses of webhooks are secrets.
Node spec_to_plan(const Job &job) {
  Node spec = Node::empty_mapping();
  for (const auto &[key, value] : job.spec.document.entries) {
    if (key == "monitoring") continue;
    if (key != "scope" || !job.start) {
      spec.put(key, value);
      continue;
    }
    Node scope = value;
    if (scope.find("time_zone") == nullptr) scope.put("time_zone", Node::of_string(job.time_zone));
    spec.put(key, scope);
  }
  return spec;
}

std::string plan_statement(const Facts &facts, const std::string &spec) {
  std::string const tag = dollar_tag(spec);
  return "BEGIN;\nSET LOCAL search_path = " + facts.job.search_path +
         ";\nSET LOCAL TimeZone = " + quote_literal(facts.job.time_zone) + ";\nSELECT " + function_schema() +
         ".backfill_plan(" + tag + spec + tag + ");\nCOMMIT;";
}

std::string plan_text(const Facts &facts) {
  std::string const done = "Done as job " + std::to_string(facts.job.id) + ".", spec = to_json(spec_to_plan(facts.job));
  if (without_secrets(spec) != spec)
    return done +
           " Its spec holds an address or a password that is not told here; to plan it again take the spec it came "
           "from.\n\n";
  bool const monitored = facts.job.spec.document.find("monitoring") != nullptr;
  return done + " Should it have to be planned again (the name must be free: the job finished or cancelled)" +
         (monitored ? ", without the key `monitoring`, whose address is not told here" : "") + ":\n\n" +
         when("finished or cancelled", plan_statement(facts, spec));
}

std::string audit_text(const Facts &facts) {
  std::string const name = facts.job.name;
  return "What the checks found; `next_command` is what to type for one that failed:\n\n" +
         when("ready",
              "SELECT \"check\", outcome, expected, actual, detail, next_command\nFROM backfill.checks\nWHERE " +
                  of_job(facts) + " AND latest\nORDER BY outcome IN ('pass', 'skipped'), \"check\";") +
         "To run them again, after something was put right:\n\n" +
         when("ready", call(facts, "audit") + "\nCALL backfill_wait(" + name_of(facts) + ");");
}

std::string watch_text(const Facts &facts) {
  return "From any other session:\n\n" +
         when("at any time",
              "SELECT state, phase, chunks_done, chunks_total, progress, eta, waiting_for, next_command\nFROM "
              "backfill.jobs\nWHERE " +
                  of_job(facts) +
                  ";\nSELECT chunk, lo, hi, status, rows, duration, waiting_for, error\nFROM "
                  "backfill.chunks\nWHERE " +
                  of_job(facts) + "\nORDER BY chunk;");
}

std::string script(const Facts &facts) {
  Script out(facts);
  std::string const wait = "CALL backfill_wait(" + name_of(facts) + ");";
  out.step(plan_step, "Plan", plan_text(facts));
  out.step(sample_step, "Sample",
           "A dry run on three chunks: does the transform hold, what does the whole cost? Nothing of it is left.\n\n" +
               when("planned", "SELECT backfill_sample(" + name_of(facts) + ", 3);"),
           was_sampled(facts));
  out.step(run_step, "Run",
           "Send the notice of section 4 first. Returns at once; workers of the server do the work.\n\n" +
               when("planned, paused, failed or stalled", call(facts, "run")));
  out.step(wait_step, "Wait", "Only watches; may be interrupted at any time.\n\n" + when("running", wait));
  out.step(watch_step, "Watch", watch_text(facts));
  out.step(audit_step, "Audit", audit_text(facts));
  out.step(diff_step, "Diff",
           "What publishing would change:\n\n" + when("ready", call(facts, "diff")) +
               "Then the queries of section 3, *Before the publish*.\n\n");
  out.step(publish_step, "Publish",
           "One short transaction; refused while a check stands in the way.\n\n" +
               when("ready", call(facts, "publish")) +
               "Then the queries of section 3, *After the publish*, and the second notice of section 4.\n\n");
  out.step(refresh_step, "Refresh",
           "Done by itself after the publish, in the order of section 5. How far it is:\n\n" +
               when("published", "SELECT title, status, duration, error, next_command\nFROM backfill.steps\nWHERE " +
                                     of_job(facts) + " AND phase = 'after';"));
  out.step(finish_step, "Finish or roll back",
           "The replaced version is kept for " + escaped(facts.job.spec.retention) +
               " after the publish, then dropped. To keep the new version for good now (the way back ends here; for "
               "that see "
               "section 6):\n\n" +
               when("published and nobody wants to go back", call(facts, "finish")));
  return "## 2. Execution script\n\n" + out.take();
}

// ---- notification ----

// Kinds of dependents that other people read or write through.
constexpr char affected_sql[] =
    "SELECT d.kind, d.object FROM backfill.dependent d WHERE d.job_id = $1"
    " AND d.kind IN ('view', 'materialized view', 'function', 'publication', 'foreign key of another table',"
    "  'rule of another table', 'policy of another table')"
    " ORDER BY d.kind, d.object";

std::string affected(const Facts &facts) {
  std::string text;
  pg::Result const found = pg::execute(affected_sql, {facts.job.id});
  for (const pg::Row &row : found) text += "\n  - " + row.text("kind") + " " + one_line(row.text("object"));
  for (const Downstream &item : facts.job.spec.downstream) text += "\n  - " + one_line(item.name);
  return text.empty() ? " readers of the table; no view or materialized view stands on it" : text;
}

std::string computed_columns(const Facts &facts) {
  const Transform &transform = facts.job.spec.transform;
  if (transform.is_query()) return "its rows are computed anew by a query";
  std::string columns;
  for (const auto &[column, expression] : transform.set) columns += (columns.empty() ? "" : ", ") + column;
  return columns + (transform.set.size() == 1 ? " is computed anew" : " are computed anew");
}

std::string told(const Facts &facts, const char *label, const char *column) {
  std::string const value = without_secrets(one_line(facts.text(column)));
  return value.empty() ? "" : std::string(label) + value + "\n";
}

std::string letter(const Facts &facts, const std::string &subject, const std::string &text) {
  return code_block("text", "Subject: " + subject + "\n\n" + "Table:     " + table_of(facts) + "\n" + "What:      " +
                                computed_columns(facts) + "\n" + "Range:     " + scope_text(facts.job) + "\n" +
                                told(facts, "Why:       ", "reason") + told(facts, "Success:   ", "success_criteria") +
                                told(facts, "Asked by:  ", "requested_by") + told(facts, "Owner:     ", "responsible") +
                                "Backfill:  " + facts.job.name + ", job " + std::to_string(facts.job.id) + "\n" +
                                "Affected:" + affected(facts) + "\n\n" + text) +
         "\n";
}

std::string notification(const Facts &facts) {
  std::string const table = table_of(facts);
  std::string const published = facts.row().null("published_at") ? "" : " (" + facts.text("published_text") + ")";
  std::string out = "## 4. Downstream notification\n\n";
  out +=
      "### Before the start\n\n" +
      letter(facts, "Backfill of " + table + " is about to start",
             "Until it is published nothing changes for you: " + table +
                 " can be read and written as always.\nPlease do not alter the table, its views or indexes until it is "
                 "over.\nA second notice follows when the new values are in service.");
  out +=
      "### After the publish\n\n" +
      letter(
          facts, "Backfill of " + table + " is published",
          "The new values are in service" + published +
              ". What is computed from the table is refreshed now, sources first.\nIf your numbers look wrong, answer "
              "soon: the old version is kept for " +
              facts.job.spec.retention + ", and one statement puts it back.");
  out +=
      "### On a rollback\n\n" +
      letter(
          facts, "Backfill of " + table + " is rolled back",
          "The values from before the backfill are in service again. Rows written since the publish are kept.\nWhat is "
          "computed from the table is refreshed again. Reports made in between show the withdrawn values.");
  return out;
}

// ---- refresh order ----

std::string refresh_statement(Oid view) {
  return pg::query_value(
             "SELECT format('REFRESH MATERIALIZED VIEW %s%I.%I;', CASE WHEN backfill.has_key(c.oid) AND "
             "c.relispopulated"
             " THEN 'CONCURRENTLY ' ELSE '' END, n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid ="
             " c.relnamespace WHERE c.oid = $1 AND c.relkind = 'm' UNION ALL SELECT NULL LIMIT 1",
             {pg::Param::oid(view)})
      .value_or("");
}

// What the spec says, ended by a semicolon of its own line where it ends in a comment.
std::string declared_statement(const Job &job, const std::string &item) {
  for (const Downstream &one : job.spec.downstream) {
    if (one.name != item || one.refresh.empty()) continue;
    std::string text = one.refresh;
    while (text.ends_with(';') || text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
    return text + (text.find("--") == std::string::npos ? ";" : "\n;");
  }
  return "";
}

std::string by_hand(const Facts &facts, const pg::Result &steps) {
  std::string views;
  bool declared = false;
  for (const pg::Row &row : steps) {
    std::string const statement = row.null("item") ? row.null("matview") ? "" : refresh_statement(row.oid("matview"))
                                                   : declared_statement(facts.job, row.text("item"));
    declared = declared || (!row.null("item") && !statement.empty());
    if (!statement.empty()) views += (views.empty() ? "" : "\n") + statement;
  }
  if (!declared) return views;
  return "SET search_path = " + facts.job.search_path + ";\n" + views + "\nRESET search_path;";
}

std::string refresh_order(const Facts &facts) {
  pg::Result const steps = pg::execute(
      "SELECT s.stage, s.kind, s.title, s.status, (s.params ->> 'matview')::oid AS matview, s.params ->> 'item' AS item"
      " FROM backfill.step s WHERE s.job_id = $1 AND s.phase = 'after' ORDER BY s.stage, s.id",
      {facts.job.id});
  std::string out = "## 5. Refresh order\n\n";
  if (steps.empty())
    return out + "Nothing has to be done after the publish: nothing known is computed from the table.\n\n";
  Table table({"Turn", "Step", "Kind", "Status"});
  std::int64_t turn = 0, stage = -1;
  for (const pg::Row &row : steps) {
    if (row.integer("stage") != stage) turn++;
    stage = row.integer("stage");
    table.add({std::to_string(turn), escaped(row.text("title")), escaped(row.text("kind")), row.text("status")});
  }
  out +=
      "Workers do this after each publish and rollback; steps of one turn at the same time:\n\n" + table.text() + "\n";
  std::string const statements = by_hand(facts, steps);
  if (statements.empty()) return out;
  return out + "By hand, in this order (it takes the place of a step that failed):\n\n" + when("published", statements);
}

// ---- rollback ----

std::string before_publish(const Facts &facts) {
  return "### Before the publish\n\n"
         "If a check or a query of section 3 fails here, do not publish: the table in service has not been touched, "
         "and "
         "there is nothing to roll back. Put the cause right and audit again (step 6), or drop what was built beside "
         "the "
         "table and end the capture of its changes:\n\n" +
         when("planned, running, paused, failed, stalled, suspended or ready", call(facts, "cancel"));
}

std::string lost_columns(const Facts &facts) {
  std::string columns;
  for (const auto &[column, type] : facts.job.spec.transform.add_columns)
    columns += (columns.empty() ? "" : ", ") + code_span(column);
  if (columns.empty()) return "";
  return "The old version has no column " + columns +
         ": values that people wrote there since the publish have no place in it. The rollback refuses then and says "
         "how "
         "many; the argument `discard` of `backfill_rollback` gives them up.\n\n";
}

std::string after_publish(const Facts &facts) {
  return "### After the publish\n\n"
         "If a query of section 3 or somebody's numbers are wrong: see how many rows written since the publish are "
         "carried "
         "along, and whether something stands in the way (`problem`):\n\n" +
         when("published",
              "SELECT archive, archive_until, inserted, updated, deleted, pending_keys, problem\nFROM "
              "backfill.way_back\n"
              "WHERE " +
                  of_job(facts) + ";") +
         (placement_of(facts.job).in_place
              ? "Then what was written is written back, but where somebody has written since"
              : "Then the same swap backwards, as short as the publish") +
         ". Only the backfill is undone; rows inserted, updated and deleted since stay so:\n\n" +
         when("published", call(facts, "rollback")) + lost_columns(facts) +
         "After it the backfill is `ready` again, with the rejected version as its new version: audit it, publish it "
         "again, "
         "or cancel it. Send the third notice of section 4.\n\n";
}

std::string rollback(const Facts &facts) {
  return "## 6. Rollback\n\n" + before_publish(facts) + after_publish(facts) +
         "### After the end\n\nOnce finished, or once the retention is over, the old version is dropped, and the way "
         "back "
         "is a backup. What was done when, and by whom:\n\n" +
         when("at any time", "SELECT number, event, at, by, detail\nFROM backfill.events\nWHERE " + of_job(facts) +
                                 "\nORDER BY number;");
}

// ---- trouble ----

std::string open_failures(const Facts &facts) {
  pg::Result const failed = pg::execute(
      "SELECT chunk, title, sqlstate, error FROM backfill.step WHERE job_id = $1 AND status = 'failed' ORDER BY stage, "
      "id"
      " LIMIT 20",
      {facts.job.id});
  std::string out;
  for (const pg::Row &row : failed) {
    out += "- **" + escaped(row.null("chunk") ? row.text("title") : "chunk " + row.text("chunk")) +
           "**: " + escaped(without_secrets(row.text("error"))) + " (SQLSTATE " + escaped(row.text("sqlstate")) + ")\n";
  }
  if (out.empty()) return "Nothing has failed so far.\n\n";
  return "Failed now:\n\n" + out + "\n";
}

std::string trouble(const Facts &facts) {
  std::string out = "## 7. When something fails\n\n" + open_failures(facts);
  out +=
      "Every row that failed holds the statement to type in `next_command`. A failed chunk does not stop the others; "
      "what is "
      "done is never done again.\n\n" +
      when("at any time",
           "SELECT chunk, lo, hi, attempts, sqlstate, error, next_command\nFROM backfill.chunks\nWHERE " +
               of_job(facts) +
               " AND status = 'failed';\nSELECT phase, title, attempts, sqlstate, error, error_hint, "
               "next_command\nFROM backfill.steps\nWHERE " +
               of_job(facts) +
               " AND status = 'failed';\nSELECT state, waiting_for, error, next_command\nFROM "
               "backfill.jobs\nWHERE " +
               of_job(facts) + ";");
  Table table({"Sign", "Means", "Do"});
  table.add(
      {"`suspended`", "the job came from another database, with a dump or a copy", "cancel it, then plan it anew"});
  table.add({"`stalled`", "the coordinator is gone: a restart, a crash", "step 3 again"});
  table.add({"a failed chunk", "the transform or a constraint refused its rows",
             "put the cause right, then its `next_command`, or step 3 for all"});
  table.add({"a failed check", "the new version is not what was promised",
             "correct the data or the spec; if it is acceptable, its `next_command` waives it with a reason"});
  table.add({"waits long", "`waiting_for` says for what", "end it, or let it wait: nothing is lost"});
  table.add({"publish gives up", "somebody holds the table; the message names who", "try again in a quieter moment"});
  table.add({"none of it helps", "", "section 6: cancel, or roll back; both leave the table whole"});
  return out + table.text() + "\n";
}

}  // namespace

std::string runbook_of_backfill(const std::string &name) {
  Job const job = find_job(name);
  return pg::as_extension([&] {
    Facts const facts = gather(job);
    std::string out = summary(facts) + script(facts) + "## 3. Validation queries\n\n" + validation_queries(facts) +
                      notification(facts) + refresh_order(facts) + rollback(facts) + trouble(facts);
    while (out.ends_with("\n")) out.pop_back();
    return out;
  });
}

}  // namespace backfill
