// spot_check: some chunks, drawn by a seed and so the same in every audit, are aggregated in the new version and by a
// query of the source; the figures must agree.  It finds what no comparison with live can: that both are wrong.
//
// The new version is looked at as it was last drained, for the source knows nothing of keys that wait.
#include <algorithm>
#include <cstdint>

#include "audit/deltas.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

constexpr char default_tolerance[] = "0.1%";
constexpr long long default_chunks = 3;

std::string failing(const Check &check) { return tolerated(check, default_tolerance); }

long long sample_size(const Check &check) {
  const Node *const chunks = check.find("chunks");
  if (chunks == nullptr) return default_chunks;
  long long const size = chunks->integer();
  if (size < 1 || size > 1000) throw invalid_value(*chunks, "a number of chunks from 1 to 1000");
  return size;
}

std::string expected(const Check &check, const Job &) {
  return std::to_string(sample_size(check)) + " chunks agree with the source" + within(check, default_tolerance);
}

std::uint64_t mixed(const std::string &text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 33);
}

std::vector<Step> drawn(const Check &check, const Job &job) {
  std::vector<Step> chunks = ordered_chunks(check, job);
  std::string const seed = check.text("seed", job.name) + "/";
  auto const draw = [&](const Step &chunk) { return mixed(seed + std::to_string(chunk.chunk.value_or(0))); };
  std::sort(chunks.begin(), chunks.end(), [&](const Step &a, const Step &b) { return draw(a) < draw(b); });
  chunks.resize(std::min(chunks.size(), static_cast<std::size_t>(sample_size(check))));
  std::sort(chunks.begin(), chunks.end(), [](const Step &a, const Step &b) { return a.chunk < b.chunk; });
  return chunks;
}

// Figures of a row as float8s in an array, whatever they are called.
std::string as_figures(const std::string &select) {
  return "SELECT ARRAY(SELECT coalesce(f.value, 'NaN') FROM pg_catalog.json_each_text(pg_catalog.row_to_json(figures)) "
         "AS f)"
         " FROM (" +
         select + "\n) AS figures";
}

std::string figures_here(const Check &check, const Scene &scene, const Step &chunk) {
  std::string const aggregates =
      check.find("metric") != nullptr ? aggregate_of(check, scene).sql : fragment(scene.job, *check.find("sql"));
  return "SELECT " + aggregates + "\n FROM " + scene.drained() + " WHERE " + scene.rows + " AND " +
         within_chunk(scene.shape, chunk);
}

std::vector<double> numbers(const std::vector<std::string> &texts) {
  std::vector<double> values;
  for (const std::string &text : texts) {
    try {
      values.push_back(std::stod(text));
    } catch (const std::logic_error &) {
      throw Error(sqlstate::datatype_mismatch, "a figure of a spot_check is not a number", {},
                  "Aggregate to numbers on both sides.");
    }
  }
  return values;
}

std::string place_of(std::size_t i, std::size_t count) {
  return count == 1 ? std::string() : ", figure " + std::to_string(i + 1);
}

// Each figure of each chunk is a group.
void add_groups(const Step &chunk, const std::vector<double> &here, const std::vector<double> &there,
                std::vector<Group> &groups) {
  if (here.size() != there.size())
    throw Error(
        sqlstate::datatype_mismatch,
        "a spot_check compares " + std::to_string(here.size()) + " figures with " + std::to_string(there.size()),
        "source_query returns one row with as many columns as there are aggregates here.", "Make them as many.");
  auto const value = [](double v) { return v == v ? std::optional(v) : std::nullopt; };
  for (std::size_t i = 0; i < here.size(); i++)
    groups.push_back({"chunk " + std::to_string(chunk.chunk.value_or(0)) + place_of(i, here.size()), chunk.chunk,
                      value(here[i]), value(there[i])});
}

Measurement measure(const Check &check, const Scene &scene) {
  if (check.scope() == "chunk" || (check.find("metric") == nullptr) == (check.find("sql") == nullptr))
    throw meaningless(check, "It aggregates chunks of its own choice, by metric and column or by sql.",
                      "Give one of metric and sql, and leave scope out.");
  std::vector<Group> groups;
  for (const Step &chunk : drawn(check, scene.job)) {
    pg::Result const found = scene.query(
        "SELECT (" + as_figures(figures_here(check, scene, chunk)) + ") AS here,\n       (" +
        as_figures(fragment_of_chunk(scene.job, scene.shape, *check.find("source_query"), chunk)) + ") AS there");
    if (scene.trial) return {};
    pg::Row const row = found.only();
    add_groups(chunk, numbers(row.texts("here")), numbers(row.texts("there")), groups);
  }
  return compare_groups(check, {}, groups, "the source has", true);
}

}  // namespace

extern const CheckKind spot_check_check;
const CheckKind spot_check_check = {.word = "spot_check",
                                    .failing = failing,
                                    .expected = expected,
                                    .measure = measure,
                                    .compares = true,
                                    .against = " source "};

}  // namespace backfill
