#include "core/spec_keys.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace backfill {
namespace {

struct Section {
  const char *name;  // path, list positions left out
  std::vector<const char *> keys;
};

const std::vector<Section> &sections() {
  static const std::vector<Section> table = {
      {"", {"name",        "description", "created",  "requested_by", "owner",      "reason",     "success_criteria",
            "scope",       "transform",   "strategy", "throttle",     "read_from",  "pre_checks", "checks",
            "post_checks", "downstream",  "publish",  "retention",    "monitoring", "execution",  "rollback"}},
      {"scope",
       {"table", "column", "start", "stop", "end", "date_range", "exclude", "time_zone", "estimated_rows",
        "estimated_duration"}},
      {"scope.date_range", {"start", "stop", "end"}},
      {"transform", {"set", "join", "add_columns", "preserve_existing", "query", "dedupe", "sources"}},
      {"transform.sources", {"table", "column", "lookback"}},
      {"strategy",
       {"type", "chunk_by", "chunk_size", "parallelism", "preserve_existing", "order", "key", "batch_target", "grain",
        "chunk_timeout", "retries"}},
      {"throttle",
       {"rows_per_second", "wal_per_second", "replica_lag", "active_sessions", "slot_retained", "free_disk",
        "oldest_snapshot", "windows"}},
      {"publish", {"auto", "lock_timeout", "max_lock", "give_up_after", "old_snapshots", "published_shadow"}},
      {"read_from", {"server", "fallback", "fallback_after", "max_lag"}},
      {"downstream", {"name", "refresh", "depends_on", "cron_job"}},
      {"monitoring", {"progress_webhook", "update_frequency"}},
      {"execution", {"pre_checks", "chunks", "post_checks"}},
      {"execution.chunks", {"id", "date_range", "estimated_rows", "status"}},
      {"rollback", {"strategy", "backup_location"}},
  };
  return table;
}

constexpr const char *common_parameters[] = {"check", "name",  "description", "severity",       "warn_if", "error_if",
                                             "where", "scope", "against",     "store_failures", "sample",  "limit"};

const std::vector<CheckWord> &vocabulary() {
  static const std::vector<CheckWord> table = {
      {"unique", {"column", "columns", "max_percent"}, {}},
      {"not_null", {"column", "columns", "max_percent"}, {"column|columns"}},
      {"accepted_values", {"column", "values"}, {"column", "values"}},
      {"accepted_range", {"column", "min", "max", "inclusive"}, {"column", "min|max"}},
      {
          "relationships",
          {"column", "columns", "to_table", "to_column", "to_columns", "from_table", "from_column", "from_columns"},
          {"column|columns", "to_table|from_table"},
      },
      {"expression", {"sql"}, {"sql"}},
      {"failed_rows", {"query"}, {"query"}},
      {"row_count", {"min", "max"}, {"min|max|warn_if|error_if"}},
      {"row_count_delta", {"direction"}, {}},
      {"schema_match", {"allow_added"}, {}},
      {"exact", {}, {}},
      {"source_data_exists", {}, {}},
      {"target_column_exists", {"column", "columns"}, {}},
      {"baseline_metrics", {"column", "columns"}, {}},
      {"way_back_exists", {}, {}},
      {"no_concurrent_backfill", {}, {}},
      {"shrink_guard", {}, {}},
      {"metric_delta", {"metric", "column", "p", "sql", "by", "source_query", "tolerance"}, {"metric|sql"}},
      {"spot_check",
       {"source_query", "metric", "column", "p", "sql", "chunks", "seed", "tolerance"},
       {"source_query", "metric|sql"}},
      {"distribution", {"column", "columns", "method", "bins"}, {}},
      {"freshness", {"column", "max_age"}, {"column", "max_age"}},
      {"no_gaps", {"column", "interval"}, {"column"}},
  };
  return table;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

// The path under which key would be known: "transform.set" for "set"; empty where it is known nowhere else.
std::string home_of(const std::string &key) {
  for (const Section &section : sections()) {
    const bool fixed = std::string_view(section.name) != "transform.sources" &&
                       std::string_view(section.name) != "downstream" &&
                       !std::string_view(section.name).starts_with("execution");
    if (!fixed) continue;
    for (const char *known : section.keys)
      if (key == known) return section.name[0] ? std::string(section.name) + '.' + key : key;
  }
  return {};
}

void require_among(const Node &section, const std::vector<std::string> &known, bool may_belong_elsewhere) {
  for (const auto &[key, node] : section.entries) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string meant = may_belong_elsewhere ? home_of(key) : "";
    if (meant.empty()) meant = nearest_word(key, known);
    throw Error(sqlstate::invalid_parameter_value, "unknown key \"" + node.path + "\"",
                "Known keys here are " + listed(known) + ".",
                meant.empty() ? "Remove it, or use one of the known keys." : "Did you mean \"" + meant + "\"?");
  }
}

}  // namespace

const CheckWord *find_check_word(std::string_view word) {
  for (const CheckWord &entry : vocabulary())
    if (word == entry.word) return &entry;
  return nullptr;
}

std::vector<std::string> check_words() {
  std::vector<std::string> words;
  for (const CheckWord &entry : vocabulary()) words.emplace_back(entry.word);
  return words;
}

std::string nearest_word(std::string_view word, const std::vector<std::string> &candidates) {
  std::string folded(word.substr(0, 100));
  for (char &c : folded) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, folded.size() / 2) + 1;
  for (const std::string &candidate : candidates) {
    const bool begun = folded.size() >= 3 && candidate.starts_with(folded);
    const std::size_t distance = begun ? 1 : edit_distance(folded, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string listed(const std::vector<std::string> &words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i) out += i + 1 == words.size() ? " and " : ", ";
    out += '"' + words[i] + '"';
  }
  return out;
}

void require_known_keys(const Node &section, std::string_view name) {
  for (const Section &entry : sections())
    if (name == entry.name)
      return require_among(section, std::vector<std::string>(entry.keys.begin(), entry.keys.end()), true);
  throw Error(sqlstate::internal_error, "unknown spec section \"" + std::string(name) + "\"");
}

void require_known_keys(const Node &item, const CheckWord &word) {
  std::vector<std::string> known(word.parameters.begin(), word.parameters.end());
  known.insert(known.begin(), std::begin(common_parameters), std::end(common_parameters));
  require_among(item, known, false);
}

}  // namespace backfill
