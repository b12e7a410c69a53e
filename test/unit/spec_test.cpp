#include "core/spec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/spec_keys.hpp"
#include "raises.hpp"

namespace backfill {
namespace {

// The smallest spec, with more laid over it.
Node with(const std::string &fragment) {
  const Node base =
      parse_document("{name: x, scope: {table: t, column: c, start: 1, stop: 9}, transform: {set: {a: b + 1}}}");
  return overlay(base, parse_document(fragment));
}

Spec spec_with(const std::string &fragment) { return interpret_spec(with(fragment)); }

bool mentions(const std::vector<std::string> &notes, const std::string &part) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string &note) { return note.find(part) != std::string::npos; });
}

TEST(Spec, DefaultsOfTheSmallest) {
  const Spec spec = spec_with("{}");
  EXPECT_EQ(spec.name, "x");
  EXPECT_EQ(spec.scope.table, "t");
  EXPECT_EQ(spec.scope.start, "1");
  EXPECT_EQ(spec.scope.stop, "9");
  EXPECT_FALSE(spec.scope.time_zone);
  EXPECT_FALSE(spec.transform.is_query());
  EXPECT_EQ(spec.strategy.type, "auto");
  EXPECT_EQ(spec.strategy.chunk_by, "");
  EXPECT_EQ(spec.strategy.parallelism, 2);
  EXPECT_EQ(spec.strategy.batch_target, 1000);
  EXPECT_EQ(spec.strategy.chunk_timeout, 3600000);
  EXPECT_EQ(spec.strategy.retries, 3);
  EXPECT_EQ(spec.publish.lock_timeout, 200);
  EXPECT_EQ(spec.publish.max_lock, 500);
  EXPECT_EQ(spec.publish.give_up_after, 600000);
  EXPECT_EQ(spec.publish.old_snapshots, "wait");
  EXPECT_FALSE(spec.publish.published_shadow);
  EXPECT_EQ(spec.retention, "14 days");
  EXPECT_TRUE(spec.notes.empty());
  EXPECT_TRUE(spec.checks.empty());
}

TEST(Spec, ReadsEveryKey) {
  const Spec spec = parse_spec(R"yaml(
backfill:
  name: orders_tier_backfill
  description: Backfill customer_tier for historical orders
  requested_by: data-team
  owner: Ann
  reason: tiers were introduced in 2024
  success_criteria: [no nulls, same row count]
  scope:
    table: sales."Orders"
    column: ordered_at
    start: 2023-01-01
    end: 2024-01-01
    exclude: [2023-07-04, 2023-12-25]
    time_zone: Europe/Berlin
  transform:
    set: {customer_tier: "CASE WHEN c.spend > 1_0 THEN 'gold' END", n: 1_000, flag: true, empty: null}
    join: "LEFT JOIN customers c USING (customer_id)"
    add_columns: {customer_tier: text, n: "numeric(10,2)"}
    preserve_existing: yes
    dedupe: updated_at DESC
  strategy:
    type: swap
    chunk_by: Month
    chunk_size: 500k
    parallelism: 4
    order: newest_first
    key: [order_id, line]
    batch_target: 500ms
    grain: 1 day
    chunk_timeout: 30 min
    retries: 0
  pre_checks: [source_data_exists]
  checks:
    - unique
    - {check: not_null, columns: [a, b], severity: warn}
    - {check: row_count_delta, warn_if: "not between -2% and 2%"}
  publish: {lock_timeout: 100ms, max_lock: 300ms, give_up_after: 5min, old_snapshots: refuse, auto: false,
            published_shadow: allow}
  retention: 30 days
)yaml");
  EXPECT_EQ(spec.name, "orders_tier_backfill");
  EXPECT_EQ(spec.success_criteria, "no nulls; same row count");
  EXPECT_EQ(spec.scope.table, "sales.\"Orders\"");
  EXPECT_EQ(spec.scope.start, "2023-01-01");
  EXPECT_EQ(spec.scope.stop, "2024-01-01");
  EXPECT_EQ(spec.scope.exclude, (std::vector<std::string>{"2023-07-04", "2023-12-25"}));
  EXPECT_EQ(spec.scope.time_zone, "Europe/Berlin");
  const std::vector<std::pair<std::string, std::string>> set = {
      {"customer_tier", "CASE WHEN c.spend > 1_0 THEN 'gold' END"}, {"n", "1000"}, {"flag", "true"}, {"empty", "NULL"}};
  EXPECT_EQ(spec.transform.set, set);
  EXPECT_EQ(spec.transform.add_columns[1].second, "numeric(10,2)");
  EXPECT_TRUE(spec.transform.preserve_existing);
  EXPECT_EQ(spec.transform.dedupe, "updated_at DESC");
  EXPECT_EQ(spec.strategy.type, "swap");
  EXPECT_EQ(spec.strategy.chunk_by, "month");
  EXPECT_EQ(spec.strategy.chunk_size, 500000);
  EXPECT_TRUE(spec.strategy.newest_first);
  EXPECT_EQ(spec.strategy.key, (std::vector<std::string>{"order_id", "line"}));
  EXPECT_EQ(spec.strategy.batch_target, 500);
  EXPECT_EQ(spec.strategy.grain, "1 day");
  EXPECT_EQ(spec.strategy.chunk_timeout, 1800000);
  EXPECT_EQ(spec.strategy.retries, 0);
  EXPECT_EQ(spec.publish.max_lock, 300);
  EXPECT_EQ(spec.publish.old_snapshots, "refuse");
  EXPECT_TRUE(spec.publish.published_shadow);
  EXPECT_EQ(spec.retention, "30 days");
  ASSERT_EQ(spec.checks.size(), 3u);
  EXPECT_EQ(spec.checks[0].name, "unique");
  EXPECT_EQ(to_json(spec.checks[0].args), R"({"check": "unique"})");
  EXPECT_EQ(spec.checks[1].name, "not_null(a, b)");
  EXPECT_EQ(spec.checks[1].severity, "warn");
  EXPECT_EQ(spec.checks[1].args.find("columns")->path, "checks[1].columns");
  EXPECT_EQ(spec.pre_checks[0].check, "source_data_exists");
  EXPECT_TRUE(spec.notes.empty());
}

// The agent's configuration, with the two things it leaves to its reader: the chunk column and the transform.
constexpr const char *agent_configuration = R"(
backfill:
  name: orders_tier_backfill
  description: Backfill customer_tier column for historical orders
  created: 2024-01-15
  requested_by: data-team
  scope:
    table: orders
    column: ordered_at
    date_range:
      start: 2023-01-01
      end: 2024-01-01
    estimated_rows: 5_200_000
    estimated_duration: 4h
  transform:
    set: {customer_tier: "'gold'"}
  strategy:
    type: incremental
    chunk_by: month
    chunk_size: ~500_000 rows
    parallelism: 4
    preserve_existing: true # Don't overwrite already-filled values
  execution:
    pre_checks:
      - verify_source_data_exists
      - verify_target_column_exists
      - capture_baseline_metrics
    chunks:
      - id: chunk_01
        date_range: [2023-01-01, 2023-02-01]
        estimated_rows: 420_000
        status: pending
      # ... more chunks
    post_checks:
      - verify_no_nulls_in_tier
      - verify_row_count_unchanged
      - compare_distribution_to_recent
  rollback:
    strategy: restore_from_backup
    backup_location: s3://backups/orders_pre_backfill/
  monitoring:
    progress_webhook: https://slack.../webhook
    update_frequency: per_chunk
)";

TEST(Spec, ReadsTheAgentsConfiguration) {
  const Spec spec = parse_spec(agent_configuration);
  EXPECT_EQ(spec.scope.start, "2023-01-01");
  EXPECT_EQ(spec.scope.stop, "2024-01-01");
  EXPECT_EQ(spec.strategy.type, "auto");
  EXPECT_EQ(spec.strategy.chunk_size, 500000);
  EXPECT_TRUE(spec.transform.preserve_existing);
  ASSERT_EQ(spec.pre_checks.size(), 3u);
  EXPECT_EQ(spec.pre_checks[0].check, "source_data_exists");
  EXPECT_EQ(spec.pre_checks[1].check, "target_column_exists");
  EXPECT_EQ(spec.pre_checks[2].check, "baseline_metrics");
  ASSERT_EQ(spec.checks.size(), 3u);
  EXPECT_EQ(spec.checks[2].check, "distribution");
  EXPECT_EQ(spec.checks[2].severity, "warn");
  EXPECT_EQ(spec.checks[0].name, "not_null(customer_tier)");
  EXPECT_EQ(spec.checks[1].check, "row_count_delta");
  EXPECT_EQ(spec.monitoring.webhook, "https://slack.../webhook");
  EXPECT_TRUE(spec.monitoring.per_chunk);
  for (const char *part : {"created (2024-01-15)", "scope.estimated_rows", "scope.estimated_duration",
                           "execution.chunks", "rollback.strategy", "rollback.backup_location", "incremental"})
    EXPECT_TRUE(mentions(spec.notes, part)) << part;
}

TEST(Spec, TellsOfPhasesAloneWhenAsked) {
  const Spec spec = spec_with("{monitoring: {progress_webhook: 'https://a.example/', update_frequency: per_phase}}");
  EXPECT_FALSE(spec.monitoring.per_chunk);
  EXPECT_TRUE(spec.notes.empty());
  EXPECT_TRUE(mentions(spec_with("{monitoring: {update_frequency: per_phase}}").notes, "no effect"));
}

TEST(Spec, StoredDocumentReadsTheSame) {
  const Spec once = parse_spec(agent_configuration);
  const Spec again = parse_spec(to_json(once.document));
  EXPECT_EQ(to_json(again.document), to_json(once.document));
  EXPECT_EQ(again.notes, once.notes);
  EXPECT_EQ(again.transform.set, once.transform.set);
  ASSERT_EQ(again.checks.size(), once.checks.size());
  for (std::size_t i = 0; i < once.checks.size(); ++i) {
    EXPECT_EQ(again.checks[i].name, once.checks[i].name);
    EXPECT_EQ(to_json(again.checks[i].args), to_json(once.checks[i].args));
  }
}

TEST(Spec, NamesThatLookLikeNumbersStayText) {
  const Spec spec = spec_with(
      "{name: 2024_01, strategy: {key: [1_0]}, transform: {set: {name: 1_000}}, checks: [{check: accepted_range, "
      "column: 1_0, min: 1_000}]}");
  EXPECT_EQ(spec.name, "2024_01");
  EXPECT_EQ(spec.strategy.key, std::vector<std::string>{"1_0"});
  const Spec again = parse_spec(to_json(spec.document));
  EXPECT_EQ(again.name, "2024_01");
  EXPECT_EQ(again.transform.set[1], (std::pair<std::string, std::string>("name", "1000")));
  EXPECT_EQ(again.checks[0].args.find("column")->text(), "1_0");
  EXPECT_EQ(again.checks[0].args.find("min")->text(), "1000");
}

TEST(Spec, TheOuterKeyIsOptionalAndPathsDoNotName) {
  EXPECT_EQ(interpret_spec(parse_document("{backfill: " + to_json(with("{}")) + "}")).name, "x");
  const Error error = raised_by([] { parse_spec("{backfill: {name: x, scope: {tabel: t}}}"); });
  EXPECT_STREQ(error.what(), "unknown key \"scope.tabel\"");
  EXPECT_EQ(error.hint, "Did you mean \"table\"?");
  EXPECT_NE(error.detail.find("\"table\", \"column\""), std::string::npos);
}

TEST(Spec, NullCountsAsAbsent) {
  const Spec spec = spec_with(
      "{throttle: {rows_per_second: , windows: }, read_from: , retention: , strategy: , checks: , publish: {auto: }, "
      "downstream: []}");
  EXPECT_EQ(spec.retention, "14 days");
  EXPECT_EQ(spec.strategy.parallelism, 2);
}

TEST(Spec, Downstream) {
  const Spec spec = spec_with(
      "{downstream: [{name: 2024, refresh: CALL r(), depends_on: b, cron_job: nightly}, {name: b, depends_on: [c, d]}, "
      "{name: team}]}");
  ASSERT_EQ(spec.downstream.size(), 3u);
  EXPECT_EQ(spec.downstream[0].name, "2024");
  EXPECT_EQ(spec.downstream[0].refresh, "CALL r()");
  EXPECT_EQ(spec.downstream[0].cron_job, "nightly");
  EXPECT_EQ(spec.downstream[0].depends_on, std::vector<std::string>{"b"});
  EXPECT_EQ(spec.downstream[1].depends_on, (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(spec.downstream[2].refresh, "");
}

TEST(Spec, WholeTableByBlocks) {
  const Spec spec = interpret_spec(
      parse_document("{name: x, scope: {table: t}, transform: {set: {a: '1'}}, strategy: {chunk_by: blocks}}"));
  EXPECT_FALSE(spec.scope.start);
  EXPECT_EQ(spec.scope.column, "");
}

TEST(Spec, ChunkByTakesIntervalsAndWidths) {
  EXPECT_EQ(spec_with("{strategy: {chunk_by: 6 hours}}").strategy.chunk_by, "6 hours");
  EXPECT_EQ(spec_with("{strategy: {chunk_by: 100_000}}").strategy.chunk_by, "100000");
}

TEST(Spec, MaxLockFollowsLockTimeout) { EXPECT_EQ(spec_with("{publish: {lock_timeout: 1s}}").publish.max_lock, 1000); }

TEST(Spec, DefaultCheckNamesAreUnique) {
  const Spec spec = spec_with(
      "{checks: [{check: expression, sql: a > 0}, {check: expression, sql: b > 0}, {check: expression, sql: c > 0, "
      "name: third}], "
      "post_checks: [{check: expression, sql: d}]}");
  ASSERT_EQ(spec.checks.size(), 4u);
  EXPECT_EQ(spec.checks[0].name, "expression");
  EXPECT_EQ(spec.checks[1].name, "expression #2");
  EXPECT_EQ(spec.checks[2].name, "third");
  EXPECT_EQ(spec.checks[3].name, "expression #3");
}

TEST(Spec, SentencesFindTheColumnTheyMean) {
  const auto name = [](const std::string &set, const std::string &check) {
    return spec_with("{transform: {set: " + set + "}, checks: [" + check + "]}").checks[0].name;
  };
  EXPECT_EQ(name("{customer_tier: x}", "verify_no_nulls_in_customer_tier"), "not_null(customer_tier)");
  EXPECT_EQ(name("{customer_tier: x}", "verify_no_nulls_in_tier"), "not_null(customer_tier)");
  EXPECT_EQ(name("{customer_tier: x, tier: y}", "verify_no_nulls_in_tier"), "not_null(tier)");
  EXPECT_EQ(name("{customer_tier: x, order_tier: y}", "verify_no_nulls_in_tier"), "not_null(tier)");
  EXPECT_EQ(name("{x: x}", "{check: verify_no_nulls_in_tier, severity: warn}"), "not_null(tier)");
}

TEST(Spec, ADistributionOnlyWarnsUnlessToldOtherwise) {
  const auto severity = [](const std::string &more) {
    return spec_with("{checks: [{check: distribution, column: c" + more + "}]}").checks[0].severity;
  };
  EXPECT_EQ(severity(""), "warn");
  EXPECT_EQ(severity(", warn_if: '> 0.1'"), "warn");
  EXPECT_EQ(severity(", error_if: '> 0.1'"), "error");
  EXPECT_EQ(severity(", severity: error"), "error");
}

TEST(Spec, AnOverlayMayBeWrapped) {
  const Node fragment = unwrap_spec(parse_document("backfill: {strategy: {retries: 7}}"));
  EXPECT_EQ(interpret_spec(overlay(with("{}"), fragment)).strategy.retries, 7);
}

struct BadCase {
  const char *fragment;
  const char *sqlstate;
  const char *message;
  const char *told;  // a part of detail or hint
};

class Bad : public testing::TestWithParam<BadCase> {};

TEST_P(Bad, IsRefusedWithAWayOut) {
  const BadCase &bad = GetParam();
  const Error error = raised_by([&] { spec_with(bad.fragment); });
  EXPECT_EQ(error.sqlstate, bad.sqlstate) << error.what();
  EXPECT_STREQ(error.what(), bad.message);
  EXPECT_NE((error.detail + '\n' + error.hint).find(bad.told), std::string::npos) << error.detail << '\n' << error.hint;
}

INSTANTIATE_TEST_SUITE_P(
    Keys, Bad,
    testing::Values(
        BadCase{"{nmae: y}", "22023", "unknown key \"nmae\"", "Did you mean \"name\"?"},
        BadCase{"{parallelism: 4}", "22023", "unknown key \"parallelism\"", "Did you mean \"strategy.parallelism\"?"},
        BadCase{"{scope: {strat: 1}}", "22023", "unknown key \"scope.strat\"", "Did you mean \"start\"?"},
        BadCase{"{scope: {set: {}}}", "22023", "unknown key \"scope.set\"", "Did you mean \"transform.set\"?"},
        BadCase{"{scope: {date_range: {from: 1}}}", "22023", "the scope is given twice", "Keep one of them."},
        BadCase{"{scope: {start: , stop: , date_range: {strat: 1, end: 2}}}", "22023",
                "unknown key \"scope.date_range.strat\"", "\"start\""},
        BadCase{"{transform: {add-columns: {}}}", "22023", "unknown key \"transform.add-columns\"", "\"add_columns\""},
        BadCase{"{transform: {sources: [{tables: x}]}}", "22023", "unknown key \"transform.sources[0].tables\"",
                "\"table\""},
        BadCase{"{strategy: {chunksize: 5}}", "22023", "unknown key \"strategy.chunksize\"", "\"chunk_size\""},
        BadCase{"{strategy: {zzzzzzzzzzzz: 5}}", "22023", "unknown key \"strategy.zzzzzzzzzzzz\"",
                "Known keys here are \"type\""},
        BadCase{"{throttle: {rows_per_sec: }}", "22023", "unknown key \"throttle.rows_per_sec\"",
                "\"rows_per_second\""},
        BadCase{"{publish: {lock_timeuot: 1s}}", "22023", "unknown key \"publish.lock_timeuot\"", "\"lock_timeout\""},
        BadCase{"{downstream: [{nam: a}]}", "22023", "unknown key \"downstream[0].nam\"", "\"name\""},
        BadCase{"{monitoring: {webhook: a}}", "22023", "unknown key \"monitoring.webhook\"", "\"progress_webhook\""},
        BadCase{"{execution: {checks: []}}", "22023", "unknown key \"execution.checks\"", "\"checks\""},
        BadCase{"{execution: {chunks: [{idd: a}]}}", "22023", "unknown key \"execution.chunks[0].idd\"", "\"id\""},
        BadCase{"{rollback: {strategi: a}}", "22023", "unknown key \"rollback.strategi\"", "\"strategy\""},
        BadCase{"{checks: [{check: not_null, colunms: a}]}", "22023", "unknown key \"checks[0].colunms\"",
                "\"columns\""},
        BadCase{"{checks: [{check: unique, sql: a}]}", "22023", "unknown key \"checks[0].sql\"", "\"max_percent\""}));

INSTANTIATE_TEST_SUITE_P(
    Values, Bad,
    testing::Values(
        BadCase{"{name: }", "22023", "\"name\" is missing", "Give the backfill a name"},
        BadCase{"{name: ''}", "22023", "invalid value for \"name\"", "1 to 200 bytes"},
        BadCase{"{name: '  '}", "22023", "invalid value for \"name\"", "1 to 200 bytes"},
        BadCase{R"({name: "a\nb"})", "22023", "invalid value for \"name\"", "control characters"},
        BadCase{"{name: [a]}", "22023", "invalid value for \"name\"", "must be text, but is a list"},
        BadCase{"{description: {a: b}}", "22023", "invalid value for \"description\"", "a mapping"},
        BadCase{"{retention: 14}", "22023", "invalid value for \"retention\"", "14 days"},
        BadCase{"{scope: t}", "22023", "invalid value for \"scope\"", "must be a mapping"},
        BadCase{"{scope: {table: }}", "22023", "\"scope.table\" is missing", "Name the table"},
        BadCase{"{scope: {column: }}", "22023", "\"scope.column\" is missing", "start and stop"},
        BadCase{"{scope: {stop: }}", "22023", "\"scope.stop\" is missing", "half-open"},
        BadCase{"{scope: {start: }}", "22023", "\"scope.start\" is missing", "half-open"},
        BadCase{"{scope: {start: , stop: }}", "22023", "\"scope.start\" is missing", "chunk_by: blocks"},
        BadCase{"{scope: {start: , stop: , exclude: [1]}, strategy: {chunk_by: blocks}}", "22023",
                "\"scope.exclude\" goes only with \"scope.start\" and \"scope.stop\"", "whole table"},
        BadCase{"{scope: {end: 5}}", "22023", "\"scope.stop\" is given twice", "another spelling"},
        BadCase{"{scope: {start: , stop: , date_range: {start: 1, end: 2, stop: 3}}}", "22023",
                "\"scope.date_range.stop\" is given twice", "Keep one"},
        BadCase{"{scope: {start: , stop: , date_range: [1]}}", "22023", "invalid value for \"scope.date_range\"",
                "two values"},
        BadCase{"{scope: {start: , stop: , date_range: 2023}}", "22023", "invalid value for \"scope.date_range\"",
                "a mapping with start and end"},
        BadCase{"{scope: {start: [1]}}", "22023", "invalid value for \"scope.start\"", "single value"},
        BadCase{"{scope: {exclude: {a: b}}}", "22023", "invalid value for \"scope.exclude\"", "list"},
        BadCase{"{transform: {set: }}", "22023", "the spec has no transform", "exactly one"},
        BadCase{"{transform: {query: select 1}}", "22023", "the spec has two transforms", "exactly one"},
        BadCase{"{transform: {set: [a]}}", "22023", "invalid value for \"transform.set\"", "column to SQL expression"},
        BadCase{"{transform: {set: {a: ''}}}", "22023", "invalid value for \"transform.set.a\"", "not blank"},
        BadCase{"{transform: {set: {a: {b: c}}}}", "22023", "invalid value for \"transform.set.a\"", "single value"},
        BadCase{"{transform: {set: , query: q, join: j}}", "22023",
                "\"transform.join\" goes only with \"transform.set\"", "query"},
        BadCase{"{transform: {set: , query: q, preserve_existing: on}}", "22023",
                "\"transform.preserve_existing\" goes only with \"transform.set\"", "query"},
        BadCase{"{transform: {set: , query: q, add_columns: {a: text}}}", "22023",
                "\"transform.add_columns\" goes only with \"transform.set\"", "query"},
        BadCase{"{transform: {set: , query: '  '}}", "22023", "invalid value for \"transform.query\"", "not blank"},
        BadCase{"{transform: {preserve_existing: maybe}}", "22023", "invalid value for \"transform.preserve_existing\"",
                "true or false"},
        BadCase{"{transform: {preserve_existing: no}, strategy: {preserve_existing: yes}}", "22023",
                "\"transform.preserve_existing\" is given twice", "strategy"},
        BadCase{"{transform: {add_columns: [a]}}", "22023", "invalid value for \"transform.add_columns\"",
                "column to type"},
        BadCase{"{strategy: {type: swop}}", "22023", "invalid value for \"strategy.type\"", "Did you mean \"swap\"?"},
        BadCase{"{strategy: {chunk_by: mnoth}}", "22023", "invalid value for \"strategy.chunk_by\"",
                "Did you mean \"month\"?"},
        BadCase{"{strategy: {chunk_size: many}}", "22023", "invalid value for \"strategy.chunk_size\"", "500k"},
        BadCase{"{strategy: {chunk_size: 0}}", "22023", "invalid value for \"strategy.chunk_size\"", "positive"},
        BadCase{"{strategy: {parallelism: 0}}", "22023", "invalid value for \"strategy.parallelism\"", "from 1 to 64"},
        BadCase{"{strategy: {parallelism: 65}}", "22023", "invalid value for \"strategy.parallelism\"", "from 1 to 64"},
        BadCase{"{strategy: {parallelism: 1.5}}", "22023", "invalid value for \"strategy.parallelism\"",
                "whole number"},
        BadCase{"{strategy: {parallelism: 99999999999999999999}}", "22023",
                "invalid value for \"strategy.parallelism\"", "whole number"},
        BadCase{"{strategy: {parallelism: many}}", "22023", "invalid value for \"strategy.parallelism\"",
                "but is \"many\""},
        BadCase{"{strategy: {retries: 21}}", "22023", "invalid value for \"strategy.retries\"", "from 0 to 20"},
        BadCase{"{strategy: {order: oldest}}", "22023", "invalid value for \"strategy.order\"",
                "Did you mean \"oldest_first\"?"},
        BadCase{"{strategy: {key: []}}", "22023", "invalid value for \"strategy.key\"", "primary key"},
        BadCase{"{strategy: {batch_target: 1}}", "22023", "invalid value for \"strategy.batch_target\"",
                "with its unit"},
        BadCase{"{strategy: {batch_target: 0s}}", "22023", "invalid value for \"strategy.batch_target\"", "positive"},
        BadCase{"{strategy: {chunk_timeout: 1 month}}", "22023", "invalid value for \"strategy.chunk_timeout\"",
                "10min"},
        BadCase{"{publish: {max_lock: 100ms}}", "22023",
                "\"publish.max_lock\" is shorter than \"publish.lock_timeout\"", "Raise max_lock"},
        BadCase{"{publish: {old_snapshots: ignore}}", "22023", "invalid value for \"publish.old_snapshots\"",
                "\"refuse\""},
        BadCase{"{publish: {published_shadow: yes}}", "22023", "invalid value for \"publish.published_shadow\"",
                "\"allow\""},
        BadCase{"{throttle: fast}", "22023", "invalid value for \"throttle\"", "a mapping"},
        BadCase{"{downstream: [{refresh: 'CALL r()'}]}", "22023", "\"downstream[0].name\" is missing", "Name what"},
        BadCase{"{downstream: [{name: a}, {name: b}, {name: a}]}", "22023", "downstream \"a\" is given twice",
                "own name"},
        BadCase{"{downstream: [{name: a, refresh: ' '}]}", "22023", "invalid value for \"downstream[0].refresh\"", ""},
        BadCase{"{downstream: x}", "22023", "invalid value for \"downstream\"", "list"},
        BadCase{"{monitoring: {progress_webhook: [a]}}", "22023", "invalid value for \"monitoring.progress_webhook\"",
                "text"},
        BadCase{"{monitoring: {progress_webhook: 'http://a.example/'}}", "22023",
                "invalid value for \"monitoring.progress_webhook\"", "https"},
        BadCase{"{monitoring: {progress_webhook: 'https://a.example/', update_frequency: hourly}}", "22023",
                "invalid value for \"monitoring.update_frequency\"", "\"per_phase\""},
        BadCase{"{execution: {chunks: 3}}", "22023", "invalid value for \"execution.chunks\"", "a list"}));

INSTANTIATE_TEST_SUITE_P(
    Checks, Bad,
    testing::Values(BadCase{"{checks: unique}", "22023", "invalid value for \"checks\"", "list of checks"},
                    BadCase{"{checks: [[a]]}", "22023", "invalid value for \"checks[0]\"", "a check's name"},
                    BadCase{"{checks: [{columns: a}]}", "22023", "\"checks[0].check\" is missing", "{check: not_null"},
                    BadCase{"{checks: [unique, uniqe]}", "22023", "unknown check \"uniqe\" at \"checks[1]\"",
                            "Did you mean \"unique\"?"},
                    BadCase{"{pre_checks: [{check: not_nul}]}", "22023",
                            "unknown check \"not_nul\" at \"pre_checks[0].check\"", "\"not_null\""},
                    BadCase{"{checks: [verify_no_nulls_in_]}", "22023",
                            "unknown check \"verify_no_nulls_in_\" at \"checks[0]\"", "Known checks"},
                    BadCase{"{checks: [not_null]}", "22023", "check \"not_null\" at \"checks[0]\" lacks a parameter",
                            "at least one of \"column\" and \"columns\""},
                    BadCase{"{checks: [{check: expression}]}", "22023",
                            "check \"expression\" at \"checks[0]\" lacks a parameter", "It needs \"sql\"."},
                    BadCase{"{checks: [{check: accepted_range, column: a}]}", "22023",
                            "check \"accepted_range\" at \"checks[0]\" lacks a parameter", "\"min\" and \"max\""},
                    BadCase{"{checks: [{check: unique, column: a, columns: [b]}]}", "22023",
                            "\"checks[0].columns\" is given twice", "Keep one"},
                    BadCase{"{checks: [{check: unique, columns: ['']}]}", "22023",
                            "invalid value for \"checks[0].columns\"", "a column"},
                    BadCase{"{checks: [{check: unique, severity: fatal}]}", "22023",
                            "invalid value for \"checks[0].severity\"", "\"warn\" and \"error\""},
                    BadCase{"{checks: [{check: unique, warn_if: 5}]}", "22023",
                            "invalid value for \"checks[0].warn_if\"", "not between"},
                    BadCase{"{checks: [{check: unique, error_if: lots}]}", "22023",
                            "invalid value for \"checks[0].error_if\"", "failing condition"},
                    BadCase{"{checks: [{check: unique, scope: all}]}", "22023", "invalid value for \"checks[0].scope\"",
                            "\"chunk\""},
                    BadCase{"{checks: [{check: row_count_delta, against: past}]}", "22023",
                            "invalid value for \"checks[0].against\"", "\"live\""},
                    BadCase{"{checks: [{check: unique, limit: -1}]}", "22023", "invalid value for \"checks[0].limit\"",
                            "whole number"},
                    BadCase{"{checks: [{check: unique, name: a}, {check: exact, name: a}]}", "22023",
                            "check name \"a\" is given twice", "own name"},
                    BadCase{"{checks: [{check: freshness, column: c}]}", "22023",
                            "check \"freshness\" at \"checks[0]\" lacks a parameter", ""}));

INSTANTIATE_TEST_SUITE_P(
    ReadFromBad, Bad,
    testing::Values(
        BadCase{"{read_from: {fallback: primary}}", "22023", "\"read_from.server\" is missing", "postgres_fdw"},
        BadCase{"{read_from: {server: r, fallback: never}}", "22023", "invalid value for \"read_from.fallback\"",
                "\"primary\""},
        BadCase{"{read_from: {server: r, fallback_after: 1min}}", "22023",
                "\"read_from.fallback_after\" goes only with \"read_from.fallback\": primary", "Say fallback"},
        BadCase{"{read_from: {server: r, max_lag: 0s}}", "22023", "invalid value for \"read_from.max_lag\"", "200ms"},
        BadCase{"{read_from: {server: r, lag: 1s}}", "22023", "unknown key \"read_from.lag\"", "max_lag"}));

TEST(ReadFromTest, NameAlone) {
  const Spec spec = parse_spec(
      "{name: a, scope: {table: t, column: c, start: 1, stop: 2}, transform: {set: {x: '1'}}, read_from: standby}");
  EXPECT_EQ(spec.read_from.server, "standby");
  EXPECT_FALSE(spec.read_from.falls_back);
  EXPECT_FALSE(spec.read_from.max_lag.has_value());
}

TEST(ReadFromTest, Mapping) {
  const Spec spec = parse_spec(
      "{name: a, scope: {table: t, column: c, start: 1, stop: 2}, transform: {set: {x: '1'}},"
      " read_from: {server: standby, fallback: primary, fallback_after: 5min, max_lag: 10s}}");
  EXPECT_EQ(spec.read_from.server, "standby");
  EXPECT_TRUE(spec.read_from.falls_back);
  EXPECT_EQ(spec.read_from.fallback_after, 300000);
  EXPECT_EQ(spec.read_from.max_lag, 10000);
}

INSTANTIATE_TEST_SUITE_P(
    Throttles, Bad,
    testing::Values(
        BadCase{"{throttle: {rows_per_second: 0}}", "22023", "invalid value for \"throttle.rows_per_second\"", "20k"},
        BadCase{"{throttle: {rows_per_second: fast}}", "22023", "invalid value for \"throttle.rows_per_second\"",
                "20k"},
        BadCase{"{throttle: {wal_per_second: 10MB/s}}", "22023", "invalid value for \"throttle.wal_per_second\"",
                "10MB"},
        BadCase{"{throttle: {replica_lag: 5}}", "22023", "invalid value for \"throttle.replica_lag\"", "5s"},
        BadCase{"{throttle: {active_sessions: -1}}", "22023", "invalid value for \"throttle.active_sessions\"",
                "number of sessions"},
        BadCase{"{throttle: {active_sessions: 1.5}}", "22023", "invalid value for \"throttle.active_sessions\"",
                "number of sessions"},
        BadCase{"{throttle: {slot_retained: much}}", "22023", "invalid value for \"throttle.slot_retained\"", "10MB"},
        BadCase{"{throttle: {free_disk: 101%}}", "22023", "invalid value for \"throttle.free_disk\"", "100 %"},
        BadCase{"{throttle: {free_disk: some}}", "22023", "invalid value for \"throttle.free_disk\"", "20GB or 10%"},
        BadCase{"{throttle: {oldest_snapshot: 0s}}", "22023", "invalid value for \"throttle.oldest_snapshot\"",
                "10min"},
        BadCase{"{throttle: {windows: ['22:00']}}", "22023", "invalid value for \"throttle.windows[0]\"",
                "22:00-06:00"}));

INSTANTIATE_TEST_SUITE_P(Later, Bad,
                         testing::Values(BadCase{"{transform: {sources: [{table: p, column: c, lookback: 2 days}]}}",
                                                 "0A000", "\"transform.sources\" is not supported by this version",
                                                 "retry"}));

struct TopCase {
  const char *text;
  const char *sqlstate;
  const char *message;
};

class Top : public testing::TestWithParam<TopCase> {};

TEST_P(Top, IsRefused) {
  const Error error = raised_by([&] { parse_spec(GetParam().text); });
  EXPECT_EQ(error.sqlstate, GetParam().sqlstate);
  EXPECT_STREQ(error.what(), GetParam().message);
  EXPECT_FALSE((error.detail + error.hint).empty());
}

INSTANTIATE_TEST_SUITE_P(
    Spec, Top,
    testing::Values(TopCase{"", "22023", "the spec is empty"}, TopCase{"backfill:", "22023", "the spec is empty"},
                    TopCase{"orders_tier", "22023", "invalid spec"}, TopCase{"[a, b]", "22023", "invalid spec"},
                    TopCase{"backfill: x", "22023", "invalid spec"}, TopCase{"{}", "22023", "\"name\" is missing"},
                    TopCase{"{name: x}", "22023", "\"scope.table\" is missing"},
                    TopCase{"{backfill: {name: x}, scope: {table: t}}", "22023",
                            "unknown key \"scope\" beside \"backfill\""},
                    TopCase{"a: [", "22P02", "the document is not valid YAML or JSON"}));

// Whatever the text, it is read or refused with one of the documented codes, and what is read can be stored.
TEST(Spec, SurvivesMutations) {
  std::mt19937 random(20240115);
  const std::string alphabet = "{}[],:-#&*!|>'\"%@`~_ \n\t\\x0a1.\xc3\xa9\xff\x01";
  const std::set<std::string> documented = {"22P02", "22023", "22021", "54000", "0A000"};
  const auto below = [&](std::size_t n) { return random() % n; };
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = agent_configuration;
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      const std::size_t at = below(text.size());
      switch (below(3)) {
        case 0: text[at] = alphabet[below(alphabet.size())]; break;
        case 1: text.insert(at, 1 + below(3), alphabet[below(alphabet.size())]); break;
        default: text.erase(at, 1 + below(20));
      }
    }
    try {
      const Spec spec = parse_spec(text);
      const std::string stored = to_json(spec.document);
      EXPECT_EQ(to_json(parse_spec(stored).document), stored);
      ++accepted;
    } catch (const Error &error) {
      EXPECT_TRUE(documented.contains(error.sqlstate)) << error.sqlstate << ' ' << error.what() << '\n' << text;
    }
  }
  EXPECT_GT(accepted, 300);
}

TEST(SpecKeys, NearestWord) {
  EXPECT_EQ(nearest_word("Tabel", {"table", "column"}), "table");
  EXPECT_EQ(nearest_word("qqqq", {"table", "column"}), "");
  EXPECT_EQ(nearest_word(std::string(100000, 'x'), {"table"}), "");
  EXPECT_EQ(listed({"a"}), "\"a\"");
  EXPECT_EQ(listed({"a", "b", "c"}), "\"a\", \"b\" and \"c\"");
}

TEST(SpecKeys, EveryCheckWordRequiresOnlyWhatItKnows) {
  for (const std::string &word : check_words()) {
    const CheckWord *entry = find_check_word(word);
    ASSERT_NE(entry, nullptr);
    for (std::string required : entry->required) {
      required = required.substr(0, required.find('|'));
      EXPECT_NE(std::find(entry->parameters.begin(), entry->parameters.end(), required), entry->parameters.end())
          << word << ' ' << required;
    }
  }
}

}  // namespace
}  // namespace backfill
