// Gathering a report: the head from backfill.job_status, the lists from the ledger (ledger.cpp).
//
// It reads base tables as the extension, after find_job has said that the caller may see the job: the views would filter
// by the extension's own role.  C++ because a report is text of many parts; every figure in it comes from SQL.
#include "report/story.hpp"

#include <cmath>

#include "core/page.hpp"
#include "core/sql_text.hpp"
#include "core/state.hpp"
#include "core/units.hpp"
#include "report/facts.hpp"
#include "report/ledger.hpp"

namespace backfill {

namespace {

void put(Story::Labelled &list, const std::string &label, const std::string &value) {
  if (!value.empty()) list.emplace_back(label, value);
}

void read_head(const Job &job, const pg::Row &row, Story &story) {
  story.name = job.name;
  story.table = row.text("target");
  story.written = *pg::query_value(
      "SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZ') || ', database ' || current_database() || ', job "
      "' ||"
      " $1::text || ', backfill ' || extversion FROM pg_extension WHERE extname = 'backfill'",
      {job.id});
  story.over = is_over(parse_state(job.state));
  story.state = shown_state(row);
  story.in_progress = story.state.word == "running" || story.state.word == "stalled";
  put(story.times, "Started",
      row.null("started_at") ? "not yet (planned " + row.text("planned_text") + ")" : row.text("started_text"));
  put(story.times, "Waiting For", without_secrets(one_line(row.text("waiting_for"))));
  put(story.times, "Published", row.text("published_text"));
  put(story.times, "Ended", row.text("ended_text"));
  auto const told = [&](const char *column) { return without_secrets(one_line(row.text(column))); };
  put(story.people, "Description", told("description"));
  put(story.people, "Requested By", told("requested_by"));
  put(story.people, "Planned By", told("planned_by"));
  put(story.people, "Owner", told("responsible"));
  put(story.people, "Reason", told("reason"));
  put(story.people, "Success Criteria", told("success_criteria"));
  put(story.people, "Table", story.table + ", owned by " + pg::role_name(job.owner));
  put(story.people, "Scope", scope_text(job));
  put(story.people, "Throttle", throttle_text(job));
}

// Rows of ranges are recomputed, rows of blocks are copied as they are, unless the plan had blocks only.
void read_progress(const Job &job, const pg::Row &row, Story &story) {
  Story::Progress &progress = story.progress;
  progress.percent = row.number("progress");
  progress.chunks_done = row.integer("chunks_done");
  progress.chunks_total = row.integer("chunks_total");
  progress.rows_done = row.integer("rows_done");
  progress.rows_estimated = row.integer("rows_estimated");
  if (!row.null("started_at")) progress.seconds = row.number("elapsed_seconds");
  if (story.state.word == "running") progress.eta = row.text("eta");
  pg::Result const found = pg::execute(
      "SELECT coalesce(sum(rows) FILTER (WHERE kind = 'range'), 0) AS recomputed,"
      " coalesce(sum(rows) FILTER (WHERE kind = 'blocks'), 0) AS copied,"
      " coalesce(bool_or(kind = 'range'), false) AND NOT coalesce(bool_or((params ->> 'whole')::boolean), false) AS "
      "split"
      " FROM backfill.step WHERE job_id = $1 AND chunk IS NOT NULL",
      {job.id});
  progress.recomputed = found.only().integer("recomputed");
  progress.copied = found.only().integer("copied");
  progress.split = found.only().boolean("split");
}

void read_difference(const Job &job, Story &story) {
  story.difference = load_difference(job.id);
  bool const built = job.state == "ready" || job.state == "published";
  if (built) story.difference_command = "SELECT backfill_diff(" + quote_literal(job.name) + ");";
}

void tell_way_back(const pg::Row &row, Story &story) {
  auto const say = [&](const std::string &text, const std::string &command) {
    story.way_back = text;
    story.way_back_command = command;
  };
  std::string const word = story.state.word, cancel = command_for(story.name, Action::cancel);
  if (word == "published")
    return say("The version before the backfill is kept as `" + row.text("archive") + "` until " +
                   row.text("until_text") +
                   ". One statement puts it back; rows written since the publish are carried over:",
               command_for(story.name, Action::rollback));
  if (word == "finished") return say("The archive is gone, so there is no way back but a backup.", "");
  if (word == "cancelled") return say("Nothing to undo: the table was left as it was.", "");
  if (word == "planned")
    return say("Nothing to undo: nothing has been written but the plan. To drop the plan:", cancel);
  std::string const left = row.null("shadow") ? "" : ", the new version `" + row.text("shadow") + "`";
  say("The table in service has not been changed. This drops what was built beside it" + left + ":", cancel);
}

void tell_next(const pg::Row &row, Story &story) {
  story.next_command = row.text("next_command");
  if (story.next_command.empty()) return;
  story.next = story.state.word == "running"     ? "This waits until it is done"
               : story.state.word == "published" ? "Keep the new version for good; this drops the archive"
               : row.boolean("blocked") && story.state.word == "ready"
                   ? "This shows what stands in the way of publishing"
                   : "This takes the backfill on";
}

std::optional<Story::Failure> own_failure(const pg::Row &row) {
  if (row.null("error")) return std::nullopt;
  return Story::Failure{"the backfill",           row.text("error"),      row.text("sqlstate"),
                        row.text("error_detail"), row.text("error_hint"), ""};
}

}  // namespace

Story gather_story(const Job &job) {
  return pg::as_extension([&] {
    Story story;
    Facts const facts = gather(job);
    pg::Row const row = facts.row();
    read_head(job, row, story);
    story.transform = without_secrets(transform_text(job));
    read_progress(job, row, story);
    read_chunks(job, story);
    read_phases(job, story);
    read_failures(job, own_failure(row), story);
    read_checks(job, story);
    read_metrics(job, story);
    read_difference(job, story);
    read_dependents(job, story);
    read_events(job, story);
    tell_way_back(row, story);
    tell_next(row, story);
    return story;
  });
}

}  // namespace backfill
