// The report: sections one after the other, each from the ledger as it is in this snapshot.
//
//   head         name, when, state, who and why, what is computed
//   progress     bar, chunks, rows, times; of many chunks the first, those that run, those that failed
//   failures     error and the statement to type
//   checks       evidence of the newest audit
//   dependents   what hangs on the table
//   history      who did what when: publish, rollback and all else
//   way back     how to undo it, now
//   next         the statement that takes the job on
//
// It reads base tables as the extension, after find_job has said that the caller may see the job: the views would filter
// by the extension's own role.  C++ because a report is text of many parts; every figure in it comes from SQL.
#include "report/markdown.hpp"

#include <algorithm>
#include <cmath>

#include "catalog/job.hpp"
#include "core/error.hpp"
#include "core/page.hpp"
#include "core/range_text.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "report/facts.hpp"
#include "report/markdown_text.hpp"

namespace backfill {

namespace {

constexpr std::size_t bar_width = 25;
constexpr std::int64_t chunks_in_full = 60, chunks_first = 20, events_shown = 60;

// -- head

std::string head(const Facts &facts) {
  bool const in_progress = facts.is("running") || facts.is("stalled");
  Lines lines;
  lines.add("Started", facts.row().null("started_at") ? "not yet (planned " + facts.text("planned_text") + ")"
                                                      : facts.text("started_text"));
  lines.add("Current Status", state_text(facts) + (in_progress ? " (" + facts.text("phase") + ")" : ""));
  lines.add("Waiting For", escaped(facts.text("waiting_for")));
  lines.add("Published", facts.text("published_text"));
  lines.add("Ended", facts.text("ended_text"));
  return std::string("# Backfill ") + (in_progress ? "Progress" : "Report") + ": " + escaped(facts.job.name) + "\n\n" +
         lines.take();
}

std::string who_and_why(const Facts &facts) {
  auto const told = [&](const char *column) { return escaped(one_line(facts.text(column))); };
  Lines lines;
  lines.add("Description", told("description"));
  lines.add("Requested By", told("requested_by"));
  lines.add("Planned By", told("planned_by"));
  lines.add("Owner", told("responsible"));
  lines.add("Reason", told("reason"));
  lines.add("Success Criteria", told("success_criteria"));
  lines.add("Table", escaped(facts.text("target")) + ", owned by " + escaped(pg::role_name(facts.job.owner)));
  lines.add("Scope", escaped(scope_text(facts.job)));
  return lines.take();
}

// -- progress

std::string progress_bar(const Facts &facts) {
  double const percent = facts.row().number("progress");
  std::size_t const full = static_cast<std::size_t>(std::floor(percent / 100 * bar_width));
  std::string bar;
  for (std::size_t i = 0; i < bar_width; i++) bar += i < full ? "█" : "░";
  return bar + ' ' + std::to_string(static_cast<int>(std::floor(percent))) + "% (" +
         format_count(facts.row().integer("chunks_done")) + '/' + format_count(facts.row().integer("chunks_total")) +
         " chunks)\n\n";
}

std::string chunk_range(const pg::Row &row) {
  if (row.text("kind") == "range") return range_text(row.text("lo"), row.text("hi"));
  std::string const what = row.boolean("whole") ? "blocks " : "out of scope, blocks ";
  if (row.null("hi")) return what + row.text("lo") + " to the end";
  return what + range_text(row.text("lo"), row.text("hi"));
}

std::string chunk_status(const Facts &facts, const pg::Row &row) {
  std::string const status = row.text("status");
  bool const over = is_over(parse_state(facts.job.state));
  std::string out = status == "done"      ? "✅"
                    : status == "running" ? (facts.is("stalled") ? "⚠️ interrupted" : "🔄")
                    : status == "failed"  ? "❌"
                    : status == "skipped" ? "⏭️"
                    : over                ? "-"
                                          : "⏳";
  if (status == "pending" && row.boolean("replace")) out += " again";
  if (row.integer("attempts") > 1) out += " attempt " + row.text("attempts");
  return out;
}

std::string left_out(const Facts &facts, const pg::Result &counts) {
  std::string parts;
  std::int64_t total = 0;
  for (const pg::Row &row : counts) {
    total += row.integer("count");
    parts += (parts.empty() ? "" : ", ") + format_count(row.integer("count")) + ' ' + row.text("status");
  }
  if (total == 0) return "";
  return "\n" + plural(total, "chunk") + (total == 1 ? " is" : " are") + " left out here (" + parts +
         "). All of them:\n\n" +
         sql("SELECT * FROM backfill.chunks WHERE name = " + quote_literal(facts.job.name) +
             " AND id = " + std::to_string(facts.job.id) + " ORDER BY chunk;");
}

std::string chunk_table(const Facts &facts) {
  std::int64_t const total = facts.row().integer("chunks_total");
  std::int64_t const first = total > chunks_in_full ? chunks_first : total;
  std::string const from =
      " FROM (SELECT s.*, s.chunk <= $2 OR (s.status IN ('running', 'failed')"
      "   AND count(*) FILTER (WHERE s.status IN ('running', 'failed') AND s.chunk > $2) OVER (ORDER BY s.chunk) <= "
      "$3) AS shown"
      " FROM backfill.step s WHERE s.job_id = $1 AND s.chunk IS NOT NULL) AS s";
  std::vector<pg::Param> const params = {facts.job.id, static_cast<long long>(first),
                                         static_cast<long long>(chunks_in_full - chunks_first)};
  pg::Result const chunks = pg::execute(
      "SELECT s.chunk, s.kind, s.lo, s.hi, s.status, s.replace, s.attempts, s.rows, (s.params ->> 'whole')::boolean AS "
      "whole,"
      " extract(epoch FROM coalesce(s.finished_at, CASE WHEN s.status = 'running' THEN clock_timestamp() END) - "
      "s.started_at)::float8"
      " AS seconds" +
          from + " WHERE s.shown ORDER BY s.chunk",
      params);
  Table table({"Chunk", "Range", "Rows", "Status", "Duration"});
  std::size_t const digits = std::max<std::size_t>(2, std::to_string(total).size());
  for (const pg::Row &row : chunks) {
    std::string const number = row.text("chunk");
    bool const begun = row.integer("rows") > 0 || row.text("status") == "done";
    table.add({"chunk_" + std::string(digits - std::min(digits, number.size()), '0') + number,
               escaped(chunk_range(row)), begun ? format_count(row.integer("rows")) : "-", chunk_status(facts, row),
               row.null("seconds") ? "-" : format_duration(row.number("seconds"))});
  }
  pg::Result const others = pg::execute(
      "SELECT s.status, count(*)" + from + " WHERE NOT s.shown GROUP BY s.status ORDER BY s.status", params);
  return table.text() + left_out(facts, others) + "\n";
}

// Rows of ranges are recomputed, rows of blocks are copied as they are, unless the plan had blocks only.
std::string rows_text(const Facts &facts) {
  pg::Result const found = pg::execute(
      "SELECT coalesce(sum(rows) FILTER (WHERE kind = 'range'), 0) AS recomputed, coalesce(sum(rows) FILTER (WHERE "
      "kind = 'blocks'), 0) AS copied,"
      " coalesce(bool_or(kind = 'range'), false) AS split, coalesce(bool_or((params ->> 'whole')::boolean), false) AS "
      "whole"
      " FROM backfill.step WHERE job_id = $1 AND chunk IS NOT NULL",
      {facts.job.id});
  pg::Row const row = found.only();
  std::string out =
      format_count(facts.row().integer("rows_done")) + " / ~" + format_count(facts.row().integer("rows_estimated"));
  if (facts.row().integer("rows_done") > 0 && row.boolean("split") && !row.boolean("whole"))
    out += " (" + format_count(row.integer("recomputed")) + " recomputed, " + format_count(row.integer("copied")) +
           " copied as they are)";
  return out;
}

std::string progress(const Facts &facts) {
  std::string out = "## Progress\n\n" + progress_bar(facts) + chunk_table(facts);
  out += "**Rows Processed:** " + rows_text(facts);
  out += "  \n**Elapsed Time:** " +
         (facts.row().null("started_at") ? "-" : format_duration(facts.row().number("elapsed_seconds")));
  if (facts.is("running")) out += "  \n**Estimated Remaining:** " + facts.text("eta");
  return out + "\n\n";
}

// -- failures

std::string failure_text(const std::string &title, const pg::Row &row, const std::string &command) {
  std::string out = "- **" + escaped(title) + "**: " + escaped(row.text("error")) + " (SQLSTATE " +
                    dash_if_empty(row.text("sqlstate")) + ")";
  if (!row.null("error_detail")) out += " " + escaped(row.text("error_detail"));
  if (!row.null("error_hint")) out += " Hint: " + escaped(row.text("error_hint"));
  out += "\n";
  return command.empty() ? out + "\n" : out + "\n" + sql(command) + "\n";
}

std::string failures(const Facts &facts) {
  pg::Result const steps = pg::execute(
      "SELECT chunk, kind, lo, hi, title, sqlstate, error, error_detail, error_hint, (params ->> 'whole')::boolean AS "
      "whole"
      " FROM backfill.step WHERE job_id = $1 AND status = 'failed' ORDER BY stage, id LIMIT 40",
      {facts.job.id});
  bool const own = !facts.row().null("error");
  if (steps.empty() && !own) return "";
  std::string out = "## Failures\n\n";
  if (own && !steps.empty()) out += escaped(facts.text("error")) + ".\n\n";
  bool const over = is_over(parse_state(facts.job.state));
  for (const pg::Row &row : steps) {
    bool const chunk = !row.null("chunk");
    std::string const title = chunk ? "chunk " + row.text("chunk") + " (" + chunk_range(row) + ")" : row.text("title");
    std::string const command =
        over    ? ""
        : chunk ? "SELECT backfill_retry(" + quote_literal(facts.job.name) + ", " + row.text("chunk") + ");"
                : command_for(facts.job.name, Action::run);
    out += failure_text(title, row, command);
  }
  if (own && steps.empty()) out += failure_text("the backfill", facts.row(), "");
  return out;
}

// -- checks

std::string outcome_text(const pg::Row &row) {
  std::string const outcome = row.text("outcome");
  std::string const mark = outcome == "pass"      ? "✅"
                           : outcome == "warn"    ? "⚠️"
                           : outcome == "skipped" ? "⏭️"
                                                  : "❌";
  std::string out = mark + ' ' + outcome;
  if (!row.null("reason")) out += ", waived by " + escaped(row.text("waived_by")) + ": " + escaped(row.text("reason"));
  return out;
}

std::string checks(const Facts &facts) {
  pg::Result const found = pg::execute(
      "SELECT DISTINCT ON (e.scope <> 'pre', e.check_name, e.chunk) e.check_name, e.chunk, e.scope, e.outcome, "
      "e.expected, e.actual,"
      " e.detail, w.waived_by, w.reason, min(e.id) OVER (PARTITION BY e.scope <> 'pre', e.check_name) AS first"
      " FROM backfill.evidence e LEFT JOIN LATERAL (SELECT v.waived_by, v.reason FROM backfill.waiver v"
      "   WHERE v.job_id = e.job_id AND v.check_name = e.check_name AND v.audit = e.audit AND e.outcome IN ('fail', "
      "'error')"
      "   ORDER BY v.id DESC LIMIT 1) w ON true"
      " WHERE e.job_id = $1 AND (e.audit = $2 OR e.scope = 'pre') AND (e.chunk IS NULL OR e.outcome <> 'pass')"
      " ORDER BY e.scope <> 'pre', e.check_name, e.chunk, e.id DESC",
      {facts.job.id, facts.job.audit});
  std::int64_t const waiting = pg::query_integer(
      "SELECT count(*) FROM backfill.step WHERE job_id = $1 AND kind = 'check' AND status NOT IN ('done', 'skipped')",
      {facts.job.id});
  std::string out = "## Checks\n\n";
  if (found.empty())
    return out + (waiting > 0 ? plural(waiting, "check") + " to be run.\n\n" : "None has been run.\n\n");
  Table table({"Check", "Outcome", "Expected", "Actual", "Detail"});
  for (const pg::Row &row : found) {
    std::string name = escaped(row.text("check_name"));
    if (row.text("scope") == "pre") name += " (before the start)";
    if (!row.null("chunk")) name += ", chunk " + row.text("chunk");
    table.add({name, outcome_text(row), dash_if_empty(escaped(row.text("expected"))),
               dash_if_empty(escaped(row.text("actual"))), dash_if_empty(escaped(row.text("detail")))});
  }
  bool const over = is_over(parse_state(facts.job.state));
  if (waiting > 0 && !over) out += plural(waiting, "check") + " to be run.\n\n";
  return out + table.text() + "\n";
}

// -- the rest

std::string dependents(const Facts &facts) {
  pg::Result const found = pg::execute(
      "SELECT object, kind, fate, detail FROM backfill.dependent WHERE job_id = $1 ORDER BY id", {facts.job.id});
  if (found.empty()) return "";
  Table table({"Object", "Kind", "Fate", "Detail"});
  for (const pg::Row &row : found)
    table.add({escaped(row.text("object")), escaped(row.text("kind")), row.text("fate"),
               dash_if_empty(escaped(row.text("detail")))});
  return "## Dependents\n\n" + table.text() + "\n";
}

std::string history(const Facts &facts) {
  pg::Result const found = pg::execute(
      "SELECT * FROM (SELECT id, event, by, detail, to_char(at, 'YYYY-MM-DD HH24:MI:SS TZ') AS at, count(*) OVER () AS "
      "total"
      " FROM backfill.event WHERE job_id = $1 ORDER BY id DESC LIMIT $2) e ORDER BY id",
      {facts.job.id, static_cast<long long>(events_shown)});
  if (found.empty()) return "";
  std::string out = "## History\n\n";
  if (found[0].integer("total") > events_shown)
    out += "The newest " + format_count(events_shown) + " of " + plural(found[0].integer("total"), "event") + ":\n\n";
  Table table({"When", "Event", "By", "Detail"});
  for (const pg::Row &row : found)
    table.add({row.text("at"), escaped(row.text("event")), escaped(row.text("by")),
               dash_if_empty(escaped(row.text("detail")))});
  return out + table.text() + "\n";
}

std::string way_back(const Facts &facts) {
  std::string const name = facts.job.name;
  std::string out = "## Rollback\n\n";
  if (facts.is("published"))
    return out + "The version before the backfill is kept as `" + facts.text("archive") + "` until " +
           facts.text("until_text") +
           ". One statement puts it back; rows written since the publish are carried over:\n\n" +
           sql(command_for(name, Action::rollback)) + "\n";
  if (facts.is("finished")) return out + "The archive is gone, so there is no way back but a backup.\n\n";
  if (facts.is("cancelled")) return out + "Nothing to undo: the table was left as it was.\n\n";
  if (facts.is("planned"))
    return out + "Nothing to undo: nothing has been written but the plan. To drop the plan:\n\n" +
           sql(command_for(name, Action::cancel)) + "\n";
  std::string const left = facts.row().null("shadow") ? "" : ", the new version `" + facts.text("shadow") + "`";
  return out + "The table in service has not been changed. This drops what was built beside it" + left + ":\n\n" +
         sql(command_for(name, Action::cancel)) + "\n";
}

std::string next_step(const Facts &facts) {
  std::string const command = facts.text("next_command");
  if (command.empty()) return "";
  std::string const what =
      facts.is("published") ? "Keep the new version for good; this drops the archive" : "This takes the backfill on";
  return "## Next\n\n" + what + ":\n\n" + sql(command);
}

void require_markdown(const std::string &format) {
  if (format == "markdown" || format == "md") return;
  if (format == "html")
    throw Error(sqlstate::feature_not_supported, "reports in HTML are not supported in this version", {},
                "Use the format 'markdown'.");
  throw Error(sqlstate::invalid_parameter_value, "unknown report format \"" + format + "\"",
              "The format is 'markdown'.", "Leave the format out, or write backfill_report(name, 'markdown').");
}

}  // namespace

std::string report_backfill(const std::string &name, const std::string &format) {
  require_markdown(format);
  Job const job = find_job(name);
  return pg::as_extension([&] {
    Facts const facts = gather(job);
    std::string out = head(facts) + who_and_why(facts) + sql(transform_text(facts.job)) + "\n" + progress(facts) +
                      failures(facts) + checks(facts) + dependents(facts) + history(facts) + way_back(facts) +
                      next_step(facts);
    while (out.ends_with("\n")) out.pop_back();
    return out;
  });
}

}  // namespace backfill
