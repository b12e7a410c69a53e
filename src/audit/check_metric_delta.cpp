// metric_delta: an aggregate of the new version beside the same of a reference: in all, or group by group (chunk, day,
// value of a column).
//
//   against live             the same rows of live; one pass over each side, shared with other checks where it has no groups
//   against source           what source_query returns: one figure, or rows (group, figure); asked once a chunk where it
//                            names the chunk
//   against previous_chunk   the chunk before it, in the new version: figures that jump
//
// A source cannot leave out the keys that wait in the log, so the new version is then looked at as it was last drained.
#include <algorithm>
#include <array>

#include "audit/deltas.hpp"
#include "core/sql_text.hpp"

namespace backfill {

namespace {

constexpr char default_tolerance[] = "1%";

std::string failing(const Check &check) { return tolerated(check, default_tolerance); }

std::string against(const Check &check) {
  return check.text("against", check.find("source_query") ? "source" : "live");
}

std::string by(const Check &check) { return check.text("by", against(check) == "previous_chunk" ? "chunk" : ""); }

std::string named(const Check &check) {
  if (check.find("metric") == nullptr) return check.text("sql");
  return check.text("metric") + "(" + check.text("column") + (check.find("p") ? ", " + check.text("p") : "") + ")";
}

std::string expected(const Check &check, const Job &) {
  std::string const reference = against(check);
  std::string text = named(check) + (by(check).empty() ? "" : " by " + by(check));
  text += reference == "live" ? " as in live" : reference == "source" ? " as in the source" : " as in the chunk before";
  return text + within(check, default_tolerance);
}

std::optional<double> number(const pg::Row &row, const char *column) {
  if (row.null(column)) return std::nullopt;
  return row.number(column);
}

// How rows are grouped: an expression over a row, and whether its values say nothing of any one row.
struct Grouping {
  std::string expression;
  bool labelled = false, chunks = false;
};

Grouping grouping_of(const Check &check, const Scene &scene) {
  constexpr std::array units = {"hour", "day", "week", "month", "quarter", "year"};
  std::string const group = by(check);
  if (group == "chunk") return {chunk_of_row(scene.shape, ordered_chunks(check, scene.job)), true, true};
  if (find_column(scene.shape, group) != nullptr)
    return {scene.table + "." + quote_ident(group), group == scene.shape.chunk_column};
  bool const unit = std::any_of(units.begin(), units.end(), [&](const char *word) { return group == word; });
  if (!unit) return {"(" + fragment(scene.job, *check.find("by")) + "\n)"};
  if (scene.shape.chunk_type != "date" && scene.shape.chunk_type.rfind("timestamp", 0) != 0)
    throw meaningless(check, "by: " + group + " is a stretch of the chunk column, and that is no time.",
                      "Group by chunk, or by an expression.");
  std::string const column = scene.table + "." + quote_ident(scene.shape.chunk_column);
  std::string const value = scene.shape.chunk_type == "date" ? column + "::timestamp" : column;
  std::string const start = "date_trunc('" + group + "', " + value + ")";
  return {group == "hour" ? start : start + "::date", true};
}

void require_sense(const Check &check, const Scene &scene) {
  const Node *const name = check.find("metric") != nullptr ? check.find("column") : nullptr;
  const TableShape::Column *const column = name != nullptr ? find_column(scene.shape, name->text()) : nullptr;
  if (column != nullptr && column->added && against(check) == "live")
    throw meaningless(check, "Live does not have column \"" + name->text() + "\".",
                      "Compare it with a source, or with the chunk before.");
  if (check.scope() == "chunk") throw meaningless(check, "scope: chunk is not a grouping.", "Write by: chunk.");
  std::string const reference = against(check);
  if ((reference == "source") != (check.find("source_query") != nullptr))
    throw meaningless(check, "against: source and source_query belong together.",
                      reference == "source" ? "Give source_query." : "Leave source_query out, or say against: source.");
  if (reference == "previous_chunk" && by(check) != "chunk")
    throw meaningless(check, "The chunk before it is a reference of chunks only.", "Leave `by` out.");
}

std::string as_float(const Aggregate &aggregate) { return "(" + aggregate.sql + ")::float8"; }

// ---- in all ----

std::optional<Aggregates> aggregates(const Check &check, const Scene &scene) {
  require_sense(check, scene);
  if (!by(check).empty() || against(check) != "live") return std::nullopt;
  Aggregate const aggregate = aggregate_of(check, scene);
  auto const read = [&check, aggregate](const std::vector<double> &fresh, const std::vector<double> &live) {
    auto const value = [](double v) { return v == v ? std::optional(v) : std::nullopt; };
    return compare_groups(check, aggregate, {{"", std::nullopt, value(fresh[0]), value(live[0])}}, "live has", false);
  };
  return Aggregates{{as_float(aggregate)}, {as_float(aggregate)}, read};
}

Measurement against_source(const Check &check, const Scene &scene, const Aggregate &aggregate) {
  pg::Result const found = scene.query("SELECT (SELECT " + as_float(aggregate) + " FROM " + scene.drained() +
                                       " WHERE " + scene.rows + " HAVING true) AS fresh,\n       ((" +
                                       fragment(scene.job, *check.find("source_query")) + "\n))::float8 AS reference");
  if (scene.trial) return {};
  pg::Row const row = found.only();
  return compare_groups(check, aggregate, {{"", std::nullopt, number(row, "fresh"), number(row, "reference")}},
                        "the source has", false);
}

// ---- group by group ----

std::string grouped(const Aggregate &aggregate, const Grouping &grouping, const std::string &from, const Scene &scene,
                    bool fresh) {
  return "SELECT " + grouping.expression + " AS label, " + (fresh ? as_float(aggregate) : "NULL::float8") +
         " AS fresh, " + (fresh ? "NULL::float8" : as_float(aggregate)) + " AS reference\n  FROM " + from + " WHERE " +
         scene.rows + " GROUP BY 1";
}

// Rows (group, figure) of the source's.
std::string source_rows(const Check &check, const Scene &scene) {
  return "SELECT source.label, NULL::float8, source.figure::float8\n  FROM (" +
         fragment(scene.job, *check.find("source_query")) + "\n) AS source (label, figure)";
}

// One figure a chunk.
std::string source_by_chunk(const Check &check, const Scene &scene) {
  std::string parts;
  for (const Step &chunk : ordered_chunks(check, scene.job))
    parts += (parts.empty() ? "" : "\nUNION ALL ") + ("SELECT " + std::to_string(chunk.chunk.value_or(0))) +
             ", NULL::float8, ((" + fragment_of_chunk(scene.job, scene.shape, *check.find("source_query"), chunk) +
             "\n))::float8";
  return parts;
}

std::vector<Group> groups_of(const pg::Result &found, bool chunks) {
  std::vector<Group> groups;
  for (pg::Row const row : found) {
    Group group;
    group.label = chunks ? "chunk " + row.text("label") : row.null("label") ? "null" : row.text("label");
    if (chunks && !row.null("label")) group.chunk = static_cast<int>(row.integer("label"));
    group.fresh = number(row, "fresh");
    group.reference = number(row, "reference");
    groups.push_back(std::move(group));
  }
  return groups;
}

// Each chunk's reference is the figure of the one before; the first has none, and is not judged.
std::vector<Group> after_one_another(const Check &check, const Job &job, const std::vector<Group> &found) {
  std::vector<Group> groups;
  std::optional<double> before;
  bool first = true;
  for (const Step &chunk : ordered_chunks(check, job)) {
    auto const at = std::find_if(found.begin(), found.end(), [&](const Group &g) { return g.chunk == chunk.chunk; });
    Group group = at != found.end() ? *at : Group{"chunk " + std::to_string(*chunk.chunk), chunk.chunk, {}, {}};
    group.reference = before;
    before = group.fresh;
    if (!first) groups.push_back(std::move(group));
    first = false;
  }
  return groups;
}

Measurement by_group(const Check &check, const Scene &scene, const Aggregate &aggregate) {
  Grouping const grouping = grouping_of(check, scene);
  std::string const reference = against(check);
  std::string sides = grouped(aggregate, grouping, reference == "source" ? scene.drained() : scene.table, scene, true);
  if (reference == "live") sides += "\nUNION ALL " + grouped(aggregate, grouping, scene.live, scene, false);
  if (reference == "source")
    sides += "\nUNION ALL " + (grouping.chunks ? source_by_chunk(check, scene) : source_rows(check, scene));
  pg::Result const found = scene.query("SELECT label::text, max(fresh) AS fresh, max(reference) AS reference\nFROM (" +
                                       sides + ") AS sides GROUP BY sides.label ORDER BY sides.label");
  if (scene.trial) return {};
  std::vector<Group> groups = groups_of(found, grouping.chunks);
  if (reference == "previous_chunk") groups = after_one_another(check, scene.job, groups);
  std::string const words = reference == "live" ? "live has" : reference == "source" ? "the source has" : "before it";
  return compare_groups(check, aggregate, groups, words, grouping.labelled);
}

Measurement measure(const Check &check, const Scene &scene) {
  if (aggregates(check, scene)) return measure_alone(check, scene);
  Aggregate const aggregate = aggregate_of(check, scene);
  return by(check).empty() ? against_source(check, scene, aggregate) : by_group(check, scene, aggregate);
}

}  // namespace

extern const CheckKind metric_delta_check;
const CheckKind metric_delta_check = {.word = "metric_delta",
                                      .failing = failing,
                                      .expected = expected,
                                      .measure = measure,
                                      .compares = true,
                                      .aggregates = aggregates,
                                      .against = " source previous_chunk ",
                                      .samples = true};

}  // namespace backfill
