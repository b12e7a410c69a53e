// From a document to a spec, section by section:
//
//   1. take off the outer `backfill:`, tell every node its path, and settle its numbers: 1_000 becomes 1000,
//      but where a name stands (name: 2024_01) it is text, so that the stored JSON says the same;
//   2. read each section: unknown keys first, then each key with the unit or words it takes;
//   3. read the checks, other spellings of them included;
//   4. demand what only several keys together can tell (one transform, both ends of the scope, ...).
//
// Null counts as absent everywhere but in transform.set, where it means the SQL NULL.
#include "core/spec.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>

#include "core/spec_keys.hpp"
#include "core/threshold.hpp"
#include "core/units.hpp"
#include "core/webhook.hpp"

namespace backfill {
namespace {

constexpr std::string_view blanks = " \t\r\n";

bool is_blank(const std::string &text) { return text.find_first_not_of(blanks) == std::string::npos; }

Error missing(const std::string &path, const std::string &hint) {
  return Error(sqlstate::invalid_parameter_value, "\"" + path + "\" is missing", {}, hint);
}

Error contradictory(const std::string &message, const std::string &detail, const std::string &hint) {
  return Error(sqlstate::invalid_parameter_value, message, detail, hint);
}

Error not_in_this_version(const Node &node, const std::string &hint) {
  return Error(sqlstate::feature_not_supported, "\"" + node.path + "\" is not supported by this version",
               "Leaving it out of account could do harm, so the backfill is refused.", hint);
}

bool holds_names(const std::string &key) {
  constexpr std::string_view keys[] = {
      "name",    "description", "requested_by", "owner",      "reason", "success_criteria", "table",   "column",
      "columns", "to_table",    "to_column",    "to_columns", "key",    "depends_on",       "cron_job"};
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

void settle_numbers(Node &node, bool names) {
  if (node.kind == Node::Kind::number && names) node.kind = Node::Kind::string;
  if (node.kind == Node::Kind::number) node.scalar = node.value();
  for (Node &item : node.items) settle_numbers(item, names);
  const bool expressions = node.path == "transform.set";
  for (auto &[key, entry] : node.entries) settle_numbers(entry, !expressions && holds_names(key));
}

// nullptr where absent or null.
const Node *given(const Node *section, const std::string &key) {
  const Node *node = section ? section->find(key) : nullptr;
  return node && !node->is_null() ? node : nullptr;
}

// The section under key, its keys checked; nullptr where absent.
const Node *open_section(const Node *parent, const std::string &key, std::string_view name) {
  const Node *section = given(parent, key);
  if (!section) return nullptr;
  if (section->kind != Node::Kind::mapping) throw invalid_value(*section, "a mapping");
  require_known_keys(*section, name);
  return section;
}

std::string text_of(const Node &node) {
  std::string text = node.text();
  if (is_blank(text)) throw invalid_value(node, "text that is not blank");
  return text;
}

std::string value_of(const Node &node) {
  std::string value = node.value();
  if (is_blank(value)) throw invalid_value(node, "a value that is not blank");
  return value;
}

void read_text(const Node *section, const char *key, std::string &into) {
  if (const Node *node = given(section, key)) into = text_of(*node);
}

void read_boolean(const Node *section, const char *key, bool &into) {
  if (const Node *node = given(section, key)) into = node->boolean();
}

void read_duration(const Node *section, const char *key, Milliseconds &into) {
  const Node *node = given(section, key);
  if (!node) return;
  const auto parsed = parse_duration(node->text());
  if (!parsed || *parsed <= 0)
    throw invalid_value(*node, "a positive duration with its unit", "Write it as 200ms, 1s, 10min, 1h or 2 days.");
  into = *parsed;
}

void read_integer(const Node *section, const char *key, int low, int high, int &into) {
  const Node *node = given(section, key);
  if (!node) return;
  const std::string expected = "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  const auto parsed = node->is_scalar() ? parse_number(node->scalar) : std::nullopt;
  if (!parsed || *parsed != static_cast<double>(static_cast<long long>(*parsed)) || *parsed < low || *parsed > high)
    throw invalid_value(*node, expected);
  into = static_cast<int>(*parsed);
}

void read_word(const Node *section, const char *key, const std::vector<std::string> &words, std::string &into) {
  const Node *node = given(section, key);
  if (!node) return;
  const std::string word = node->text();
  if (std::find(words.begin(), words.end(), word) == words.end()) {
    const std::string near = nearest_word(word, words);
    throw invalid_value(*node, "one of " + listed(words), near.empty() ? "" : "Did you mean \"" + near + "\"?");
  }
  into = word;
}

class Interpreter {
 public:
  explicit Interpreter(Node document) {
    spec_.document = std::move(document);
    settle_numbers(spec_.document, false);
  }
  Spec interpret();

 private:
  void read_record();
  void read_scope();
  void read_date_range(const Node &range);
  void read_transform();
  void read_set(const Node &set);
  void read_sources(const Node &sources);
  void read_strategy();
  void read_chunk_by(const Node &node);
  void read_publish();
  void read_read_from();
  void read_monitoring();
  void read_downstream();
  void read_for_the_record();
  void read_all_checks();
  void read_checks(const Node *list, std::vector<CheckSpec> &into);
  void demand_whole_transform() const;
  void demand_whole_scope() const;
  void note(const std::string &sentence) { spec_.notes.push_back(sentence); }

  Spec spec_;
};

Spec Interpreter::interpret() {
  require_known_keys(spec_.document, "");
  read_record();
  read_scope();
  read_transform();
  read_strategy();
  read_publish();
  read_read_from();
  if (const Node *throttle = open_section(&spec_.document, "throttle", "throttle"))
    spec_.throttle = read_throttle(*throttle);
  read_monitoring();
  read_downstream();
  read_for_the_record();
  read_all_checks();
  demand_whole_transform();
  demand_whole_scope();
  return std::move(spec_);
}

void Interpreter::read_record() {
  const Node *top = &spec_.document;
  const Node *name = given(top, "name");
  if (!name) throw missing("name", "Give the backfill a name, such as orders_tier_backfill.");
  require_backfill_name(*name);
  spec_.name = name->text();
  read_text(top, "description", spec_.description);
  read_text(top, "requested_by", spec_.requested_by);
  read_text(top, "owner", spec_.owner);
  read_text(top, "reason", spec_.reason);
  if (const Node *criteria = given(top, "success_criteria"))
    for (const std::string &criterion : criteria->texts())
      spec_.success_criteria += (spec_.success_criteria.empty() ? "" : "; ") + criterion;
  if (const Node *retention = given(top, "retention")) {
    if (retention->kind == Node::Kind::number)
      throw invalid_value(*retention, "an interval with its unit", "Write it as 14 days.");
    spec_.retention = text_of(*retention);
  }
}

void Interpreter::read_scope() {
  const Node *scope = open_section(&spec_.document, "scope", "scope");
  if (!given(scope, "table")) throw missing("scope.table", "Name the table to recompute under scope: {table: ...}.");
  read_text(scope, "table", spec_.scope.table);
  read_text(scope, "column", spec_.scope.column);
  if (const Node *start = given(scope, "start")) spec_.scope.start = value_of(*start);
  const Node *stop = given(scope, "stop");
  const Node *end = given(scope, "end");
  if (stop && end)
    throw contradictory("\"scope.stop\" is given twice", "Here \"end\" is another spelling of \"stop\".",
                        "Keep one of them.");
  if (stop || end) spec_.scope.stop = value_of(stop ? *stop : *end);
  if (const Node *range = given(scope, "date_range")) read_date_range(*range);
  if (const Node *exclude = given(scope, "exclude")) spec_.scope.exclude = exclude->values();
  if (const Node *zone = given(scope, "time_zone")) spec_.scope.time_zone = text_of(*zone);
  for (const char *key : {"estimated_rows", "estimated_duration"})
    if (const Node *node = given(scope, key))
      note("scope." + std::string(key) + " (" + node->text() +
           ") is kept for the record; the plan makes its own estimate.");
}

void Interpreter::read_date_range(const Node &range) {
  const std::string hint = "Write it as {start: 2023-01-01, end: 2024-01-01}.";
  if (spec_.scope.start || spec_.scope.stop)
    throw contradictory("the scope is given twice", "It has both \"date_range\" and \"start\" or \"stop\".",
                        "Keep one of them.");
  if (range.kind == Node::Kind::sequence) {
    if (range.items.size() != 2) throw invalid_value(range, "a list of two values, start and end", hint);
    spec_.scope.start = value_of(range.items[0]);
    spec_.scope.stop = value_of(range.items[1]);
    return;
  }
  if (range.kind != Node::Kind::mapping) throw invalid_value(range, "a mapping with start and end", hint);
  require_known_keys(range, "scope.date_range");
  const Node *start = given(&range, "start");
  const Node *stop = given(&range, "stop");
  const Node *end = given(&range, "end");
  if (stop && end)
    throw contradictory("\"scope.date_range.stop\" is given twice", "Here \"end\" is another spelling of \"stop\".",
                        "Keep one of them.");
  if (start) spec_.scope.start = value_of(*start);
  if (stop || end) spec_.scope.stop = value_of(stop ? *stop : *end);
}

void Interpreter::read_transform() {
  const Node *transform = open_section(&spec_.document, "transform", "transform");
  if (const Node *set = given(transform, "set")) read_set(*set);
  read_text(transform, "join", spec_.transform.join);
  if (const Node *columns = given(transform, "add_columns")) {
    if (columns->kind != Node::Kind::mapping)
      throw invalid_value(*columns, "a mapping of column to type", "Write it as {customer_tier: text}.");
    for (const auto &[column, type] : columns->entries) spec_.transform.add_columns.emplace_back(column, text_of(type));
  }
  read_boolean(transform, "preserve_existing", spec_.transform.preserve_existing);
  read_text(transform, "query", spec_.transform.query);
  read_text(transform, "dedupe", spec_.transform.dedupe);
  if (const Node *sources = given(transform, "sources")) read_sources(*sources);
}

void Interpreter::read_set(const Node &set) {
  if (set.kind != Node::Kind::mapping)
    throw invalid_value(set, "a mapping of column to SQL expression", "Write it as {column: \"expression\"}.");
  for (const auto &[column, expression] : set.entries) {
    if (column.empty()) throw invalid_value(set, "a mapping whose keys are column names");
    spec_.transform.set.emplace_back(column, expression.is_null() ? "NULL" : value_of(expression));
  }
}

void Interpreter::read_sources(const Node &sources) {
  if (sources.kind != Node::Kind::sequence) throw invalid_value(sources, "a list of {table, column, lookback}");
  for (const Node &item : sources.items) {
    if (item.kind != Node::Kind::mapping) throw invalid_value(item, "a mapping {table, column, lookback}");
    require_known_keys(item, "transform.sources");
  }
  if (!sources.items.empty())
    throw not_in_this_version(sources,
                              "Remove it, and retry the chunks concerned after the source tables have changed.");
}

void Interpreter::read_strategy() {
  Strategy &strategy = spec_.strategy;
  const Node *section = open_section(&spec_.document, "strategy", "strategy");
  read_word(section, "type", {"auto", "swap", "partition", "merge", "incremental"}, strategy.type);
  if (strategy.type == "incremental") {
    strategy.type = "auto";
    note("strategy.type \"incremental\" is read as \"auto\".");
  }
  if (const Node *chunk_by = given(section, "chunk_by")) read_chunk_by(*chunk_by);
  if (const Node *size = given(section, "chunk_size")) {
    const auto rows = parse_count(size->text());
    if (!rows || *rows < 1) throw invalid_value(*size, "a positive number of rows", "Write it as 500_000 or 500k.");
    strategy.chunk_size = *rows;
  }
  read_integer(section, "parallelism", 1, 64, strategy.parallelism);
  std::string order = "oldest_first";
  read_word(section, "order", {"oldest_first", "newest_first"}, order);
  strategy.newest_first = order == "newest_first";
  if (const Node *key = given(section, "key")) {
    strategy.key = key->texts();
    if (strategy.key.empty())
      throw invalid_value(*key, "a column or a list of columns", "Leave it out for the primary key.");
  }
  read_duration(section, "batch_target", strategy.batch_target);
  if (const Node *grain = given(section, "grain")) strategy.grain = value_of(*grain);
  read_duration(section, "chunk_timeout", strategy.chunk_timeout);
  read_integer(section, "retries", 0, 20, strategy.retries);
  if (given(section, "preserve_existing")) {
    const Node *transform = given(&spec_.document, "transform");
    if (given(transform, "preserve_existing"))
      throw contradictory("\"transform.preserve_existing\" is given twice", "It stands under \"strategy\" as well.",
                          "Keep one of them.");
    read_boolean(section, "preserve_existing", spec_.transform.preserve_existing);
  }
}

// A calendar word in lower case, or the text of an interval or integer, which the planner reads by the
// chunk column's type.
void Interpreter::read_chunk_by(const Node &node) {
  static const std::vector<std::string> words = {"hour", "day", "week", "month", "quarter", "year", "blocks"};
  std::string text = value_of(node);
  const bool word =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalpha(c) || c == '_' || c == '-'; });
  if (word) {
    std::string folded = text;
    for (char &c : folded) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::find(words.begin(), words.end(), folded) == words.end()) {
      const std::string near = nearest_word(folded, words);
      throw invalid_value(node, "one of " + listed(words) + ", an interval such as 6 hours, or a whole number",
                          near.empty() ? "" : "Did you mean \"" + near + "\"?");
    }
    text = folded;
  }
  spec_.strategy.chunk_by = text;
}

void Interpreter::read_publish() {
  Publish &publish = spec_.publish;
  const Node *section = open_section(&spec_.document, "publish", "publish");
  read_boolean(section, "auto", publish.automatic);
  read_duration(section, "lock_timeout", publish.lock_timeout);
  const Milliseconds at_least = publish.lock_timeout;
  if (!given(section, "max_lock")) publish.max_lock = std::max(publish.max_lock, at_least);
  read_duration(section, "max_lock", publish.max_lock);
  if (publish.max_lock < publish.lock_timeout)
    throw contradictory("\"publish.max_lock\" is shorter than \"publish.lock_timeout\"",
                        "One try waits up to lock_timeout for a lock, within max_lock in total.",
                        "Raise max_lock or lower lock_timeout.");
  read_duration(section, "give_up_after", publish.give_up_after);
  read_word(section, "old_snapshots", {"wait", "refuse"}, publish.old_snapshots);
  std::string published_shadow = "refuse";
  read_word(section, "published_shadow", {"refuse", "allow"}, published_shadow);
  publish.published_shadow = published_shadow == "allow";
}

// The name of a server alone, or a mapping that says what to do when it cannot be read.
void Interpreter::read_read_from() {
  ReadFrom &read_from = spec_.read_from;
  const Node *node = given(&spec_.document, "read_from");
  if (!node) return;
  if (node->kind != Node::Kind::mapping) {
    read_from.server = text_of(*node);
    return;
  }
  require_known_keys(*node, "read_from");
  if (!given(node, "server"))
    throw missing("read_from.server", "Name the foreign server of postgres_fdw that leads to the replica.");
  read_text(node, "server", read_from.server);
  std::string fallback = "wait";
  read_word(node, "fallback", {"wait", "primary"}, fallback);
  read_from.falls_back = fallback == "primary";
  read_duration(node, "fallback_after", read_from.fallback_after);
  if (given(node, "fallback_after") && !read_from.falls_back)
    throw contradictory("\"read_from.fallback_after\" goes only with \"read_from.fallback\": primary",
                        "Without it the work waits for the replica as long as it takes.",
                        "Say fallback: primary, or leave fallback_after out.");
  Milliseconds max_lag = 0;
  read_duration(node, "max_lag", max_lag);
  if (max_lag > 0) read_from.max_lag = max_lag;
}

void Interpreter::read_monitoring() {
  const Node *section = open_section(&spec_.document, "monitoring", "monitoring");
  std::string frequency = "per_chunk";
  read_word(section, "update_frequency", {"per_chunk", "per_phase"}, frequency);
  spec_.monitoring.per_chunk = frequency == "per_chunk";
  if (const Node *url = given(section, "progress_webhook"))
    spec_.monitoring.webhook = parse_webhook(url->text(), url->path).url;
  else if (given(section, "update_frequency"))
    note("monitoring.update_frequency has no effect without monitoring.progress_webhook.");
}

void Interpreter::read_downstream() {
  const Node *list = given(&spec_.document, "downstream");
  if (!list) return;
  const std::string form = "a mapping {name, refresh, depends_on, cron_job}";
  if (list->kind != Node::Kind::sequence) throw invalid_value(*list, "a list, each item " + form);
  for (const Node &item : list->items) {
    if (item.kind != Node::Kind::mapping) throw invalid_value(item, form);
    require_known_keys(item, "downstream");
    const Node *name = given(&item, "name");
    if (!name) throw missing(item.path + ".name", "Name what is downstream: a table, a report, a team.");
    require_backfill_name(*name);
    Downstream downstream;
    downstream.name = name->text();
    for (const Downstream &other : spec_.downstream)
      if (other.name == downstream.name)
        throw contradictory("downstream \"" + downstream.name + "\" is given twice",
                            "Others refer to it by its name in depends_on.", "Give each its own name.");
    read_text(&item, "refresh", downstream.refresh);
    read_text(&item, "cron_job", downstream.cron_job);
    if (const Node *before = given(&item, "depends_on")) downstream.depends_on = before->texts();
    spec_.downstream.push_back(std::move(downstream));
  }
}

void Interpreter::read_for_the_record() {
  const Node *top = &spec_.document;
  if (const Node *created = given(top, "created")) note("created (" + created->text() + ") is kept for the record.");
  if (const Node *execution = open_section(top, "execution", "execution"))
    if (const Node *chunks = given(execution, "chunks")) {
      if (chunks->kind != Node::Kind::sequence) throw invalid_value(*chunks, "a list");
      for (const Node &item : chunks->items)
        if (item.kind == Node::Kind::mapping) require_known_keys(item, "execution.chunks");
      note("execution.chunks is kept for the record; the plan computes the chunks from the scope.");
    }
  if (const Node *rollback = open_section(top, "rollback", "rollback"))
    for (const auto &[key, node] : rollback->entries) {
      if (node.is_null()) continue;
      note(node.path + " (" + node.text() +
           ") is kept for the record; backfill_rollback swaps the archived table back.");
    }
}

// ---- checks ------------------------------------------------------------------------------------------------

// The column that a check named after it means: itself, or the one column of set that ends in _suffix.
std::string resolve_column(const std::string &suffix, const Transform &transform) {
  std::vector<std::string> ending;
  for (const auto &[column, expression] : transform.set) {
    if (column == suffix) return suffix;
    if (column.ends_with('_' + suffix)) ending.push_back(column);
  }
  return ending.size() == 1 ? ending[0] : suffix;
}

// A check written as a sentence (verify_no_nulls_in_tier) as the mapping it stands for; nothing for other words.
std::optional<Node> spelled_out(const std::string &word, const Transform &transform) {
  constexpr std::string_view no_nulls = "verify_no_nulls_in_";
  const auto check = [](const char *canonical) {
    Node node = Node::empty_mapping();
    node.put("check", Node::of_string(canonical));
    return node;
  };
  if (word == "verify_source_data_exists") return check("source_data_exists");
  if (word == "verify_target_column_exists") return check("target_column_exists");
  if (word == "capture_baseline_metrics") return check("baseline_metrics");
  if (word == "verify_row_count_unchanged") return check("row_count_delta");
  if (word.starts_with(no_nulls) && word.size() > no_nulls.size()) {
    Node node = check("not_null");
    node.put("columns", Node::of_strings({resolve_column(word.substr(no_nulls.size()), transform)}));
    return node;
  }
  if (word == "compare_distribution_to_recent") {
    Node node = check("distribution");
    node.put("against", Node::of_string("recent"));
    node.put("severity", Node::of_string("warn"));
    return node;
  }
  return std::nullopt;
}

// The item as a mapping, whichever way it was written.
Node check_mapping(const Node &item, const Transform &transform) {
  Node mapping = item;
  const Node *word = &item;
  if (item.kind == Node::Kind::mapping) {
    word = given(&item, "check");
    if (!word)
      throw Error(sqlstate::invalid_parameter_value, "\"" + item.path + ".check\" is missing", {},
                  "Write the item as {check: not_null, columns: [...]}, or as a bare word.");
  } else if (!item.is_scalar()) {
    throw invalid_value(item, "a check's name or a mapping {check: name, ...}");
  }
  const std::string name = word->text();
  if (auto spelled = spelled_out(name, transform)) {
    mapping = item.kind == Node::Kind::mapping ? overlay(*spelled, item) : *spelled;
    mapping.put("check", *spelled->find("check"));
  } else if (item.kind != Node::Kind::mapping) {
    mapping = Node::empty_mapping();
    mapping.put("check", Node::of_string(name));
  }
  const std::string found = mapping.find("check")->text();
  if (!find_check_word(found)) {
    const std::string near = nearest_word(found, check_words());
    throw Error(sqlstate::invalid_parameter_value, "unknown check \"" + found + "\" at \"" + word->path + "\"",
                "Known checks are " + listed(check_words()) + ".",
                near.empty() ? "Use one of the known checks." : "Did you mean \"" + near + "\"?");
  }
  assign_paths(mapping, item.path);
  return mapping;
}

void demand_parameters(const Node &item, const CheckWord &word) {
  for (std::string_view wanted : word.required) {
    bool present = false;
    std::vector<std::string> alternatives;
    while (!wanted.empty()) {
      const std::size_t bar = wanted.find('|');
      alternatives.emplace_back(wanted.substr(0, bar));
      present = present || given(&item, alternatives.back());
      wanted = bar == std::string_view::npos ? "" : wanted.substr(bar + 1);
    }
    if (present) continue;
    const bool one = alternatives.size() == 1;
    throw Error(sqlstate::invalid_parameter_value,
                "check \"" + std::string(word.word) + "\" at \"" + item.path + "\" lacks a parameter",
                "It needs " + std::string(one ? "" : "at least one of ") + listed(alternatives) + ".");
  }
  if (given(&item, "column") && given(&item, "columns"))
    throw contradictory("\"" + item.path + ".columns\" is given twice",
                        "Here \"column\" is another spelling of \"columns\".", "Keep one of them.");
}

void validate_common(const Node &item, const std::string &word) {
  for (const char *key : {"warn_if", "error_if"})
    if (const Node *threshold = given(&item, key)) (void)parse_threshold(threshold->text(), threshold->path);
  std::string ignored;
  if (word == "exact")
    read_word(&item, "scope", {"in", "out", "both"}, ignored);
  else
    read_word(&item, "scope", {"chunk", "run", "table"}, ignored);
  read_word(&item, "against", {"live", "source", "previous_chunk", "recent"}, ignored);
  bool ignored_flag = false;
  read_boolean(&item, "store_failures", ignored_flag);
  read_text(&item, "where", ignored);
  int ignored_number = 0;
  read_integer(&item, "limit", 0, 10000, ignored_number);
  for (const char *key : {"column", "columns", "to_column", "to_columns"})
    if (const Node *columns = given(&item, key))
      for (const std::string &column : columns->texts())
        if (is_blank(column)) throw invalid_value(*columns, "a column or a list of columns");
}

std::string default_name(const Node &item, const std::string &word) {
  const Node *columns = given(&item, "columns");
  if (!columns) columns = given(&item, "column");
  if (!columns) return word;
  std::string out = word + '(';
  for (const std::string &column : columns->texts()) out += (out.back() == '(' ? "" : ", ") + column;
  return out + ')';
}

std::string free_name(const std::string &wanted, const std::set<std::string> &taken) {
  std::string name = wanted;
  for (int n = 2; taken.contains(name); ++n) name = wanted + " #" + std::to_string(n);
  return name;
}

void Interpreter::read_checks(const Node *list, std::vector<CheckSpec> &into) {
  if (!list) return;
  if (list->kind != Node::Kind::sequence)
    throw invalid_value(*list, "a list of checks", "Write it as [unique, {check: not_null, columns: [a]}].");
  std::set<std::string> names;
  for (const CheckSpec &check : into) names.insert(check.name);
  for (const Node &item : list->items) {
    CheckSpec check;
    check.args = check_mapping(item, spec_.transform);
    check.check = check.args.find("check")->text();
    const CheckWord &word = *find_check_word(check.check);
    require_known_keys(check.args, word);
    demand_parameters(check.args, word);
    validate_common(check.args, check.check);
    if (check.check == "distribution" && !given(&check.args, "error_if")) check.severity = "warn";
    read_word(&check.args, "severity", {"warn", "error"}, check.severity);
    if (const Node *name = given(&check.args, "name")) {
      require_backfill_name(*name);
      check.name = name->text();
      if (names.contains(check.name))
        throw contradictory("check name \"" + check.name + "\" is given twice", "Checks are waived by name.",
                            "Give each its own name.");
    } else {
      check.name = free_name(default_name(check.args, check.check), names);
    }
    names.insert(check.name);
    into.push_back(std::move(check));
  }
}

void Interpreter::read_all_checks() {
  const Node *top = &spec_.document;
  const Node *execution = given(top, "execution");
  read_checks(given(top, "pre_checks"), spec_.pre_checks);
  read_checks(given(execution, "pre_checks"), spec_.pre_checks);
  read_checks(given(top, "checks"), spec_.checks);
  read_checks(given(top, "post_checks"), spec_.checks);
  read_checks(given(execution, "post_checks"), spec_.checks);
}

// ---- what only the whole can tell --------------------------------------------------------------------------

void Interpreter::demand_whole_transform() const {
  const Transform &transform = spec_.transform;
  if (transform.set.empty() && transform.query.empty())
    throw Error(sqlstate::invalid_parameter_value, "the spec has no transform",
                "It needs exactly one of \"transform.set\" and \"transform.query\".",
                "Say how rows are computed: transform: {set: {column: \"expression\"}}.");
  if (!transform.set.empty() && !transform.query.empty())
    throw contradictory("the spec has two transforms",
                        "It needs exactly one of \"transform.set\" and \"transform.query\".", "Remove one of them.");
  if (!transform.is_query()) return;
  const char *only_with_set = !transform.join.empty()          ? "join"
                              : transform.preserve_existing    ? "preserve_existing"
                              : !transform.add_columns.empty() ? "add_columns"
                                                               : nullptr;
  if (only_with_set)
    throw contradictory("\"transform." + std::string(only_with_set) + "\" goes only with \"transform.set\"",
                        "A query states its columns, joins and values itself.", "Write it into the query, or use set.");
}

void Interpreter::demand_whole_scope() const {
  const Scope &scope = spec_.scope;
  const std::string hint = "Give both ends, half-open: {start: 2023-01-01, stop: 2024-01-01}.";
  if (scope.start && !scope.stop) throw missing("scope.stop", hint);
  if (scope.stop && !scope.start) throw missing("scope.start", hint);
  const bool blocks = spec_.strategy.chunk_by == "blocks";
  if (!scope.start && !blocks)
    throw missing("scope.start", hint + " To recompute the whole table say strategy: {chunk_by: blocks}.");
  if (scope.start && scope.column.empty())
    throw missing("scope.column", "Name the column that start and stop are about.");
  if (!scope.start && !scope.exclude.empty())
    throw contradictory("\"scope.exclude\" goes only with \"scope.start\" and \"scope.stop\"",
                        "Without them the scope is the whole table.", hint);
}

}  // namespace

void require_backfill_name(const Node &node) {
  const std::string name = node.text();
  const bool control = std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
  if (is_blank(name) || name.size() > 200 || control)
    throw invalid_value(node, "a name of 1 to 200 bytes without control characters");
}

Node unwrap_spec(const Node &document) {
  const Node *outer = document.find("backfill");
  if (outer && document.entries.size() > 1) {
    const auto beside = std::find_if(document.entries.begin(), document.entries.end(),
                                     [](const auto &entry) { return entry.first != "backfill"; });
    throw Error(sqlstate::invalid_parameter_value, "unknown key \"" + beside->first + "\" beside \"backfill\"",
                "All keys belong inside the mapping \"backfill\".", "Indent what belongs to it.");
  }
  Node inner = outer ? *outer : document;
  if (inner.is_null())
    throw Error(sqlstate::invalid_parameter_value, "the spec is empty", {},
                "Give at least a name, a scope and a transform.");
  if (inner.kind != Node::Kind::mapping) {
    inner.path.clear();
    throw invalid_value(inner, "a mapping of keys", "Write name: ..., scope: {...}, transform: {...}.");
  }
  assign_paths(inner, "");
  return inner;
}

Node frozen_document(const Spec &spec) {
  Node document = spec.document;
  const auto take_out = [](Node &section, const char *key) {
    std::erase_if(section.entries, [&](const auto &entry) { return entry.first == key; });
  };
  take_out(document, "throttle");
  take_out(document, "retention");
  if (Node *strategy = document.find("strategy")) {
    take_out(*strategy, "parallelism");
    if (strategy->entries.empty()) take_out(document, "strategy");
  }
  return document;
}

Spec parse_spec(const std::string &text) { return interpret_spec(parse_document(text)); }

Spec interpret_spec(const Node &document) { return Interpreter(unwrap_spec(document)).interpret(); }

}  // namespace backfill
