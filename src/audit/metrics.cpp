// One statement: both sides grouped by bucket, joined on it.
//
// A bucket is an hour, a day, a month or a year of the chunk column in the job's time zone, or a round number of keys:
// whatever gives a chart some dozens to some hundreds of points.
#include "audit/metrics.hpp"

#include <algorithm>
#include <array>

#include "core/sql_text.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

constexpr std::size_t most_columns = 12;
constexpr double most_hours = 3, most_days = 400, most_months = 6000;  // days of scope, each
constexpr int integer_buckets = 100;

// b is the bucket's value.  few: a condition that every row fulfils; the planner takes it for one that few do.  It knows
// nothing of how many values an expression has, would expect a bucket a row, and not think of parallel workers.
struct Bucketing {
  std::string expression = "1", label = "'all'", few = "true";
};

bool is_timestamp(const std::string &type) { return type.rfind("timestamp", 0) == 0; }

Bucketing by_calendar(const TableShape &shape, const std::string &column, double days) {
  const char *const unit = is_timestamp(shape.chunk_type) && days <= most_hours ? "hour"
                           : days <= most_days                                  ? "day"
                           : days <= most_months                                ? "month"
                                                                                : "year";
  std::string const form =
      unit[0] == 'h'   ? shape.chunk_type == "timestamp with time zone" ? "YYYY-MM-DD HH24:MIOF" : "YYYY-MM-DD HH24:MI"
      : unit[0] == 'd' ? "YYYY-MM-DD"
      : unit[0] == 'm' ? "YYYY-MM"
                       : "YYYY";
  std::string const value = shape.chunk_type == "date" ? column + "::timestamp" : column;
  return {unit[0] == 'd' ? column + "::pg_catalog.date"
                         : std::string("pg_catalog.date_trunc('") + unit + "', " + value + ")",
          "pg_catalog.to_char(b, '" + form + "')"};
}

// The first of 1, 2, 5, 10, 20 ... that is at least `least`.
long long round_width(double least) {
  for (long long ten = 1;; ten *= 10)
    for (long long const step : std::array<long long, 3>{1, 2, 5})
      if (static_cast<double>(ten * step) >= least || ten > 100'000'000'000'000'000) return ten * step;
}

Bucketing by_keys(const std::string &column, const std::string &start, double width) {
  std::string const step = std::to_string(round_width(width / integer_buckets));
  return {"pg_catalog.div(" + column + "::numeric - " + start + ", " + step + ")",
          "(" + start + "::numeric + b * " + step + ")::text"};
}

// How wide the scope is: days, or keys.  0: it has no end that could be counted.
double width_of(const Job &job, const TableShape &shape) {
  std::string const &type = shape.chunk_type;
  std::string const difference =
      type == "date"       ? "SELECT ($2::date - $1::date)::float8 WHERE isfinite($1::date) AND isfinite($2::date)"
      : is_timestamp(type) ? "SELECT extract(epoch FROM $2::" + type + " - $1::" + type +
                                 ")::float8 / 86400 WHERE isfinite($1::" + type + ") AND isfinite($2::" + type + ")"
                           : std::string("SELECT ($2::numeric - $1::numeric)::float8");
  return pg::as_extension([&] {
    pg::set_local("TimeZone", job.time_zone);
    pg::Result const found = pg::execute(difference, {*job.start, *job.stop});
    return found.empty() ? 0 : std::stod(*found.values[0][0]);
  });
}

Bucketing bucketing_of(const Scene &scene) {
  const TableShape &shape = scene.shape;
  if (!scene.job.start || scene.trial) return {};
  double const width = width_of(scene.job, shape);
  if (width <= 0) return {};
  std::string const column = scene.table + "." + quote_ident(shape.chunk_column);
  bool const calendar = shape.chunk_type == "date" || is_timestamp(shape.chunk_type);
  Bucketing bucketing = calendar ? by_calendar(shape, column, width) : by_keys(column, *scene.job.start, width);
  bucketing.few = "pg_catalog.num_nonnulls(" + column + ") = 1";
  return bucketing;
}

struct Metric {
  std::string column, word;
  std::string aggregate;  // SQL
  bool in_live = true;
};

std::vector<Metric> metrics_of(const Scene &scene, const std::vector<std::string> &columns) {
  std::vector<Metric> metrics = {{"", "rows", "pg_catalog.count(*)"}};
  for (const std::string &name : columns) {
    const TableShape::Column *const column = find_column(scene.shape, name);
    if (column == nullptr || (scene.pre && column->added)) continue;
    std::string const value = scene.table + "." + quote_ident(name);
    bool const live = !column->added;
    // A row of nulls is not null itself: count() takes it for a value.
    metrics.push_back({name, "nulls", "pg_catalog.count(*) - pg_catalog.count(" + value + ")", live});
    if (!is_numeric(*column)) continue;
    bool const exact = column->base_type != "real" && column->base_type != "double precision";
    std::string const addend = exact ? value : value + "::numeric";  // a sum of doubles may overflow
    metrics.push_back({name, "sum", "pg_catalog.sum(" + addend + ")", live});
    metrics.push_back({name, "avg", "pg_catalog.round(pg_catalog.avg(" + addend + "), 6)", live});
  }
  return metrics;
}

std::string side(const std::string &from, const Scene &scene, const Bucketing &buckets,
                 const std::vector<Metric> &metrics, bool live) {
  std::string values;
  for (const Metric &metric : metrics)
    values +=
        (values.empty() ? "" : ", ") +
        (live && !metric.in_live ? std::string("''")
                                 : "coalesce(pg_catalog.trim_scale((" + metric.aggregate + ")::numeric)::text, '')");
  return "(SELECT " + buckets.expression + " AS b, ARRAY[" + values + "] AS v\n      FROM " + from + " WHERE " +
         scene.rows + " AND " + buckets.few + " GROUP BY 1)";
}

std::string statement(const Scene &scene, const Bucketing &buckets, const std::vector<Metric> &metrics) {
  std::string const fresh = side(scene.table, scene, buckets, metrics, false);
  std::string const places = "pg_catalog.row_number() OVER (ORDER BY b) AS place, " + buckets.label + " AS bucket";
  if (scene.pre) return "SELECT " + places + ", v AS live, NULL::text[] AS shadow\nFROM " + fresh + " AS s";
  return "SELECT " + places + ", l.v AS live, s.v AS shadow\nFROM " + fresh + " AS s\nFULL JOIN " +
         side(scene.live, scene, buckets, metrics, true) + " AS l USING (b)";
}

struct Rows {
  std::vector<std::optional<std::string>> place, bucket, column, metric, live, shadow;
};

// No row at all is none.
std::optional<std::string> value_at(const std::vector<std::string> &values, std::size_t i, bool measured) {
  if (values.empty() && measured && i == 0) return "0";
  if (i >= values.size() || values[i].empty()) return std::nullopt;
  return values[i];
}

void store(const Job &job, bool pre, const Rows &rows) {
  pg::as_extension([&] {
    pg::execute(
        "DELETE FROM backfill.metric m USING backfill.job j"
        " WHERE j.id = $1 AND m.job_id = j.id AND m.audit = CASE WHEN $2 THEN 0 ELSE j.audit END",
        {job.id, pre});
    pg::execute(
        "INSERT INTO backfill.metric (job_id, audit, place, bucket, column_name, metric, live, shadow)"
        " SELECT j.id, CASE WHEN $2 THEN 0 ELSE j.audit END, m.place, m.bucket, m.name, m.metric, m.live, m.shadow"
        " FROM backfill.job j, unnest($3::int[], $4, $5, $6, $7::numeric[], $8::numeric[])"
        "   AS m (place, bucket, name, metric, live, shadow)"
        " WHERE j.id = $1",
        {job.id, pre, rows.place, rows.bucket, rows.column, rows.metric, rows.live, rows.shadow});
  });
}

}  // namespace

bool is_numeric(const TableShape::Column &column) {
  static constexpr std::array types = {"smallint", "integer", "bigint", "numeric", "real", "double precision"};
  return std::any_of(types.begin(), types.end(), [&](const char *type) { return column.base_type == type; });
}

std::vector<std::string> metric_columns(const Job &job, const TableShape &shape) {
  std::vector<std::string> columns;
  if (!job.spec.transform.is_query()) {
    for (const auto &[column, expression] : job.spec.transform.set) columns.push_back(column);
    return columns;
  }
  for (const TableShape::Column &column : shape.columns) {
    bool const key = std::any_of(shape.key.begin(), shape.key.end(),
                                 [&](const TableShape::Column &part) { return part.name == column.name; });
    if (!key && column.name != shape.chunk_column && columns.size() < most_columns) columns.push_back(column.name);
  }
  return columns;
}

MetricTotals store_metrics(const Scene &scene, const std::vector<std::string> &columns) {
  std::vector<Metric> const metrics = metrics_of(scene, columns);
  // Buckets are few, and hashing finds them without putting the rows in order.
  if (!scene.trial) pg::set_local("enable_sort", "off");
  pg::Result const found = scene.query(statement(scene, bucketing_of(scene), metrics));
  MetricTotals totals;
  if (scene.trial) return totals;
  Rows rows;
  for (pg::Row const row : found) {
    std::vector<std::string> const live = row.texts("live"), shadow = row.texts("shadow");
    for (std::size_t i = 0; i < metrics.size(); i++) {
      rows.place.push_back(row.get("place"));
      rows.bucket.push_back(row.get("bucket"));
      rows.column.emplace_back(metrics[i].column);
      rows.metric.emplace_back(metrics[i].word);
      rows.live.push_back(value_at(live, i, true));
      rows.shadow.push_back(value_at(shadow, i, !scene.pre));
      if (metrics[i].word == "rows" && rows.live.back()) totals.live_rows += std::stoll(*rows.live.back());
      std::optional<std::string> const subject = scene.pre ? rows.live.back() : rows.shadow.back();
      if (!subject) continue;
      if (metrics[i].word == "rows") totals.rows += std::stoll(*subject);
      if (metrics[i].word == "nulls") totals.nulls[metrics[i].column] += std::stoll(*subject);
    }
  }
  store(scene.job, scene.pre, rows);
  return totals;
}

}  // namespace backfill
