// The report as an HTML document, most urgent first:
//
//   head         name, state, the next statement, key figures
//   failures     error and the statement to type
//   chunks       the strip, rows of each chunk, a table
//   checks       evidence of the newest audit, what fails first
//   changes      the newest diff in figures
//   metrics      live and the new version by bucket
//   time         what ran when
//   record       who and why, what is computed; dependents; history
//   way back     how to undo it, now
//
// All comes from Story and passes through escape_html; the policy in the head lets nothing be loaded or run.
#include "report/html.hpp"

#include <algorithm>

#include "audit/diff_text.hpp"
#include "core/page.hpp"
#include "core/units.hpp"
#include "report/html_text.hpp"
#include "report/style.hpp"
#include "report/svg.hpp"

namespace backfill {

namespace {

constexpr std::size_t chunks_open = 12;

const char *css_of(Tone tone) {
  switch (tone) {
    case Tone::busy: return "busy";
    case Tone::good: return "good";
    case Tone::warn: return "warn";
    case Tone::bad: return "bad";
    case Tone::plain: break;
  }
  return "soft";
}

std::string section(const std::string &id, const std::string &title, const std::string &content) {
  if (content.empty()) return "";
  return "<section aria-labelledby=\"" + id + "\">\n<h2 id=\"" + id + "\">" + title + "</h2>\n" + content +
         "</section>\n";
}

std::string command(const std::string &statement) {
  return statement.empty() ? "" : "<pre class=\"command\"><code>" + escape_html(statement) + "</code></pre>\n";
}

std::string note(const std::string &html) { return "<p class=\"note\">" + html + "</p>\n"; }

// A table in a box of its own, which scrolls where the page is narrow.
class Table {
 public:
  struct Head {
    const char *text, *css;
  };
  Table(std::string caption, std::vector<Head> heads) : caption_(std::move(caption)), heads_(std::move(heads)) {}

  // Cells are HTML; the first names the row.
  void add(const std::vector<std::string> &cells) {
    body_ += "<tr>";
    for (std::size_t i = 0; i < cells.size(); i++) {
      std::string const css = *heads_[i].css == '\0' ? "" : std::string(" class=\"") + heads_[i].css + "\"";
      body_ += i == 0 ? "<th scope=\"row\"" + css + ">" + cells[i] + "</th>" : "<td" + css + ">" + cells[i] + "</td>";
    }
    body_ += "</tr>\n";
  }

  std::string text() const {
    std::string out = "<div class=\"box\" tabindex=\"0\" role=\"region\" aria-label=\"" + caption_ +
                      "\">\n<table>\n<caption>" + caption_ + "</caption>\n<thead><tr>";
    for (const Head &head : heads_)
      out += std::string("<th scope=\"col\"") + (std::string(head.css) == "n" ? " class=\"n\"" : "") + ">" + head.text +
             "</th>";
    return out + "</tr></thead>\n<tbody>\n" + body_ + "</tbody>\n</table>\n</div>\n";
  }

 private:
  std::string caption_, body_;
  std::vector<Head> heads_;
};

std::string cell(const std::string &value) {
  return value.empty() ? "<span class=\"soft\">&#8211;</span>" : escape_html(value);
}

// -- head

std::string lower_case(std::string text, std::size_t from = 0) {
  for (std::size_t i = from; i < text.size(); i++)
    if (text[i] >= 'A' && text[i] <= 'Z') text[i] = static_cast<char>(text[i] - 'A' + 'a');
  return text;
}

std::string sentence_case(const std::string &text) { return lower_case(text, 1); }

const char *glyph_of(Tone tone) {
  switch (tone) {
    case Tone::good: return "&#10003;";
    case Tone::warn: return "!";
    case Tone::bad: return "&#10005;";
    case Tone::busy: return "&#8635;";
    case Tone::plain: break;
  }
  return "&#9675;";
}

std::string figure(const std::string &label, const std::string &value, const std::string &detail = {}) {
  return "<div><dt>" + label + "</dt><dd>" + value + (detail.empty() ? "" : "<small>" + detail + "</small>") +
         "</dd></div>\n";
}

std::string percent_text(double percent) { return std::to_string(static_cast<int>(percent)) + "%"; }

std::string figures(const Story &story) {
  Story::Progress const &progress = story.progress;
  std::string out = "<dl class=\"figures\">\n";
  out += figure("Progress", percent_text(progress.percent));
  out += figure("Chunks", format_count(progress.chunks_done), "of " + format_count(progress.chunks_total));
  std::string const parts =
      progress.rows_done > 0 && progress.split
          ? format_count(progress.recomputed) + " recomputed, " + format_count(progress.copied) + " copied"
          : "of about " + format_count(progress.rows_estimated);
  out += figure("Rows", format_count(progress.rows_done), parts);
  if (progress.seconds) out += figure("Elapsed", format_duration(*progress.seconds));
  if (!progress.eta.empty() && progress.eta != "-") out += figure("Remaining", escape_html(progress.eta));
  std::int64_t const failed = std::count_if(story.checks.begin(), story.checks.end(), [](const Story::Check &check) {
    return check.waiver.empty() && !check.pre && (check.outcome == "fail" || check.outcome == "error");
  });
  bool const audited =
      std::any_of(story.checks.begin(), story.checks.end(), [](const Story::Check &check) { return !check.pre; });
  if (audited)
    out += figure("Checks", failed > 0 ? format_count(failed) + " failed" : "passed",
                  plural(static_cast<std::int64_t>(story.checks.size()), "result"));
  return out + "</dl>\n";
}

std::string person(const Story &story, const std::string &label) {
  for (const auto &[known, value] : story.people)
    if (known == label) return name_html(value);
  return "";
}

// What it is for, and who stands behind it; the whole of it is in the record.
std::string lead(const Story &story) {
  std::string const description = person(story, "Description");
  std::string out = description.empty() ? "" : "<p class=\"lead\">" + description + "</p>\n", people;
  for (const char *label : {"Requested By", "Planned By", "Owner"}) {
    std::string const who = person(story, label);
    if (who.empty()) continue;
    people += people.empty() ? sentence_case(label) : ", " + lower_case(label);
    people += " " + who;
  }
  if (people.empty()) return out;
  return out + "<p class=\"over\">" + people + "</p>\n";
}

std::string head(const Story &story) {
  std::string out = "<header>\n<p class=\"over\">Backfill of " + name_html(story.table) + "</p>\n<h1>" +
                    name_html(story.name) + "</h1>\n" + lead(story) + "<p><span class=\"state " +
                    css_of(story.state.tone) + "\">" + glyph_of(story.state.tone) + "&#8194;" +
                    escape_html(sentence_case(story.state.text)) + "</span>";
  if (!story.state.detail.empty()) out += "<span class=\"soft\">" + escape_html(story.state.detail) + "</span>";
  out += "</p>\n" + figures(story);
  if (!story.next_command.empty())
    out += "<div class=\"next\">" + note(escape_html(story.next) + ":") + command(story.next_command) + "</div>\n";
  return out + "</header>\n";
}

// -- failures

std::string failures(const Story &story) {
  if (story.failures.empty()) return "";
  std::string out = story.own_error.empty() ? "" : note(escape_html(story.own_error) + ".");
  for (const Story::Failure &failure : story.failures) {
    out += "<div class=\"failure\">\n<h3>" + escape_html(failure.title) + "</h3>\n<p>" + escape_html(failure.error) +
           " <span class=\"soft\">SQLSTATE " + cell(failure.sqlstate) + "</span></p>\n";
    if (!failure.detail.empty()) out += "<p class=\"soft\">" + escape_html(failure.detail) + "</p>\n";
    if (!failure.hint.empty()) out += "<p>" + escape_html(failure.hint) + "</p>\n";
    out += command(failure.command) + "</div>\n";
  }
  return out;
}

// -- chunks

std::string chunk_word(const Story &story, const Story::Chunk &chunk) {
  std::string out = chunk.status == "done"      ? "<span class=\"good\">&#10003; done</span>"
                    : chunk.status == "running" ? "<span class=\"busy\">&#8635; running</span>"
                    : chunk.status == "stalled" ? "<span class=\"warn\">! interrupted</span>"
                    : chunk.status == "failed"  ? "<span class=\"bad\">&#10005; failed</span>"
                    : chunk.status == "skipped" ? "skipped"
                    : chunk.again               ? "to do again"
                    : story.over                ? "<span class=\"soft\">not run</span>"
                                                : "<span class=\"soft\">to do</span>";
  if (chunk.attempts > 1) out += ", attempt " + std::to_string(chunk.attempts);
  return out;
}

std::string chunk_table(const Story &story) {
  Table table(
      "Chunks",
      {{"Chunk", "no"}, {"Range", "any"}, {"Status", "word"}, {"Rows", "n"}, {"Estimated", "n"}, {"Duration", "n"}});
  for (const Story::Chunk &chunk : story.chunks)
    table.add({std::to_string(chunk.number), escape_html(chunk.range), chunk_word(story, chunk),
               chunk.begun ? format_count(chunk.rows) : cell(""), format_count(chunk.estimated),
               chunk.seconds ? format_duration(*chunk.seconds) : cell("")});
  std::int64_t others = 0;
  for (const auto &[status, count] : story.chunks_left_out) others += count;
  return table.text() +
         (others > 0 ? note(plural(others, "chunk") + " not listed here. All of them:") + command(story.all_chunks)
                     : "");
}

std::string chunks(const Story &story) {
  if (story.cells.empty()) return "";
  bool const open = story.chunks.size() <= chunks_open;
  return progress_strip(story) + rows_chart(story) + "<details" + (open ? " open=\"open\"" : "") +
         "><summary>Chunk by chunk</summary>\n" + chunk_table(story) + "</details>\n";
}

// -- checks

int urgency(const Story::Check &check) {
  if (check.outcome == "error") return 0;
  if (check.outcome == "fail") return check.waiver.empty() ? 1 : 2;
  if (check.outcome == "warn") return 3;
  return check.outcome == "skipped" ? 5 : 4;
}

std::string outcome_html(const Story::Check &check) {
  if (check.outcome == "pass") return "<span class=\"good\">&#10003; pass</span>";
  if (check.outcome == "warn") return "<span class=\"warn\">! warn</span>";
  if (check.outcome == "skipped") return "<span class=\"soft\">skipped</span>";
  return "<span class=\"bad\">&#10005; " + escape_html(check.outcome) + "</span>";
}

std::string check_detail(const Story::Check &check) {
  std::string out = check.detail.empty() ? "" : escape_html(check.detail);
  if (!check.waiver.empty())
    out += (out.empty() ? "" : "<br/>") + std::string("Waived by ") + name_html(check.waived_by) + ": " +
           escape_html(check.waiver);
  return out.empty() ? cell("") : out;
}

std::string check_table(const std::vector<Story::Check> &checks, const std::string &caption) {
  Table table(caption,
              {{"Check", "any"}, {"Outcome", "outcome"}, {"Expected", "any"}, {"Actual", "any"}, {"Detail", "any"}});
  for (const Story::Check &check : checks) {
    std::string name = name_html(check.name);
    if (check.pre) name += " <small>before the start</small>";
    if (check.chunk) name += " <small>chunk " + std::to_string(*check.chunk) + "</small>";
    table.add({name, "<span title=\"" + escape_html(check.checked_at) + "\">" + outcome_html(check) + "</span>",
               cell(check.expected), cell(check.actual), check_detail(check)});
  }
  return table.text();
}

// What passed before the start is of little interest later.
std::string checks(const Story &story) {
  std::string out =
      story.checks_waiting > 0 && !story.over ? note(plural(story.checks_waiting, "check") + " to be run.") : "";
  std::vector<Story::Check> told, before;
  for (const Story::Check &check : story.checks)
    (check.pre && check.outcome == "pass" ? before : told).push_back(check);
  std::stable_sort(told.begin(), told.end(),
                   [](const Story::Check &a, const Story::Check &b) { return urgency(a) < urgency(b); });
  if (!told.empty()) out += check_table(told, "Evidence of the newest audit");
  if (!before.empty())
    out += "<details><summary>" + plural(static_cast<std::int64_t>(before.size()), "check") +
           " passed before the start</summary>\n" + check_table(before, "Checks before the start") + "</details>\n";
  return out.empty() ? note("None has been run.") : out;
}

// -- changes

std::string changed_columns(const Difference &difference) {
  if (difference.columns.empty()) return "";
  Table table("Columns with a change; moves are |new &#8722; old| of values that are numbers or times in both",
              {{"Column", "any"},
               {"Changed", "n"},
               {"Of rows", "wide"},
               {"Became null", "n"},
               {"Filled", "n"},
               {"Mean", "n"},
               {"p50", "n"},
               {"p95", "n"},
               {"Max", "n"},
               {"Net mean", "n"}});
  std::int64_t const pairs = difference.changed + difference.unchanged;
  auto const count = [](std::int64_t number) { return number == 0 ? cell("") : format_count(number); };
  for (const ColumnDifference &column : difference.columns) {
    std::vector<std::string> cells = {name_html(column.name), format_count(column.changed),
                                      meter(column.changed, pairs), count(column.emptied), count(column.filled)};
    if (column.shift) {
      ColumnDifference::Shift const &shift = *column.shift;
      for (double const value : {shift.mean, shift.p50, shift.p95, shift.max})
        cells.push_back(shift_text(shift, value));
      cells.push_back((shift.net > 0 ? "+" : "") + shift_text(shift, shift.net));
    }
    cells.resize(10, cell(""));
    table.add(cells);
  }
  return table.text();
}

std::string changes(const Story &story) {
  if (!story.difference)
    return story.difference_command.empty()
               ? ""
               : note("Not measured yet. This compares both versions, row by row:") + command(story.difference_command);
  Difference const &difference = *story.difference;
  std::string out =
      "Rows in scope, measured " + escape_html(difference.at) + " by " + name_html(difference.by) +
      (difference.published ? ": the version before against the one in service." : ": live against the new version.");
  if (difference.pending > 0)
    out += " " + plural(difference.pending, "key") + " written meanwhile and not drained left out.";
  return note(out) + rows_share(difference) + changed_columns(difference);
}

// -- metrics

std::string metrics(const Story &story) {
  std::string charts;
  for (const Story::Metric &metric : story.metrics) charts += metric_chart(metric);
  return charts.empty() ? "" : "<div class=\"charts\">\n" + charts + "</div>\n" + metric_key();
}

// -- the record

std::string about(const Story &story) {
  std::string out = "<dl class=\"about\">\n";
  for (const Story::Labelled *list : {&story.people, &story.times})
    for (const auto &[label, value] : *list)
      out += "<dt>" + escape_html(sentence_case(label)) + "</dt><dd>" + name_html(value) + "</dd>\n";
  return out + "</dl>\n";
}

std::string transform(const Story &story) {
  return "<pre tabindex=\"0\"><code>" + escape_html(story.transform) + "</code></pre>\n";
}

std::string dependents(const Story &story) {
  if (story.dependents.empty()) return "";
  Table table("Objects bound to the table, and what a publish does with each",
              {{"Object", "any"}, {"Kind", "word"}, {"Fate", "word"}, {"Detail", "any"}});
  for (const Story::Dependent &dependent : story.dependents)
    table.add({name_html(dependent.object), escape_html(dependent.kind), escape_html(dependent.fate),
               cell(dependent.detail)});
  return table.text();
}

std::string history(const Story &story) {
  if (story.events.empty()) return "";
  Table table(story.events_total > shown::events
                  ? "The newest " + format_count(shown::events) + " of " + plural(story.events_total, "event")
                  : "Who did what, and when",
              {{"When", "when"}, {"Event", "word"}, {"By", "any"}, {"Detail", "any"}});
  for (const Story::Event &event : story.events)
    table.add({escape_html(event.at), escape_html(event.event), name_html(event.by), cell(event.detail)});
  return table.text();
}

std::string way_back(const Story &story) { return note(prose_html(story.way_back)) + command(story.way_back_command); }

std::string document_head(const Story &story) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
         "base-uri "
         "'none'; form-action 'none'\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
         "<meta name=\"referrer\" content=\"no-referrer\"/>\n<title>" +
         escape_html(story.name) + ": " + escape_html(sentence_case(story.state.text)) + "</title>\n<style>" +
         report_style + "</style>\n</head>\n";
}

}  // namespace

std::string html_report(const Story &story) {
  return document_head(story) + "<body>\n<main class=\"page\">\n" + head(story) +
         section("failures", "Failures", failures(story)) + section("chunks", "Chunks", chunks(story)) +
         section("checks", "Checks", checks(story)) + section("changes", "Changes", changes(story)) +
         section("metrics", "Metrics", metrics(story)) + section("time", "Time", phase_timeline(story)) +
         section("record", "Record", about(story)) + section("transform", "What is computed", transform(story)) +
         section("dependents", "Dependents", dependents(story)) + section("history", "History", history(story)) +
         section("rollback", "Way back", way_back(story)) + "<footer>Written " + escape_html(story.written) +
         "</footer>\n</main>\n</body>\n</html>";
}

}  // namespace backfill
