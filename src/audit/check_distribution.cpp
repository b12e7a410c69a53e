// distribution: are the values of a column spread as those of a reference are?
//
//   against live     the same rows of live
//   against recent   rows of the new version behind the scope, as many days (or keys) as the scope has; where there are
//                    none, before it
//
//   psi          population stability index over bins
//   chi_square   p value of the test of homogeneity over the same bins
//   ks           the largest distance of the two cumulated shares, without bins; numbers and times only
//
// Numbers and times are dealt to bins that hold equal shares of the reference; anything else by value, the most frequent
// ones of the reference a bin each and the others one.  Nulls are a bin of their own.
//
// By default it only warns, and not about what chance alone brings to samples of this size in one case of a hundred.
// That bound is for samples that are drawn apart; the same rows before and after lie closer together.
#include <algorithm>
#include <cmath>

#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/statistics.hpp"
#include "core/units.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

constexpr long long default_bins = 10;

std::string method(const Check &check) {
  std::string const word = check.text("method", "psi");
  if (word != "psi" && word != "chi_square" && word != "ks")
    throw invalid_value(*check.find("method"), "psi, chi_square or ks");
  return word;
}

std::string failing(const Check &check) {
  std::string const word = method(check);
  return word == "psi" ? "> 0.2" : word == "ks" ? "> 0.1" : "< 0.001";
}

std::string against(const Check &check) { return check.text("against", "live"); }

std::string expected(const Check &check, const Job &) {
  std::string const word = method(check), reference = against(check) == "live" ? "live's" : "recent rows'";
  std::string const limit = check.limits.given     ? ""
                            : word == "psi"        ? ", PSI up to 0.2 or chance"
                            : word == "chi_square" ? ", p of chi-square at least 0.001"
                                                   : ", KS distance up to 0.1 or chance";
  return "values are spread as " + reference + limit;
}

long long bins_of(const Check &check) {
  const Node *const bins = check.find("bins");
  if (bins == nullptr) return default_bins;
  long long const count = bins->integer();
  if (count < 2 || count > 1000) throw invalid_value(*bins, "a number from 2 to 1000");
  return count;
}

// Both samples of one column: FROM items and conditions.
struct Samples {
  std::string value;  // SQL over a row of either
  std::string fresh, fresh_rows, reference, reference_rows;
  bool ordered = false;  // numbers and times
};

// Rows of the new version near the scope: behind it, else before it.
std::string recent_rows(const Check &check, const Scene &scene) {
  const Job &job = scene.job;
  if (!job.start)
    throw meaningless(check, "Without a scope there are no rows beside it.",
                      "Give scope.start and scope.stop, or say against: live.");
  const std::string &type = scene.shape.chunk_type;
  std::string const column = scene.table + "." + quote_ident(scene.shape.chunk_column);
  std::string const start = quote_literal(*job.start) + "::" + type, stop = quote_literal(*job.stop) + "::" + type;
  std::string const width = type == "date" || type.rfind("timestamp", 0) == 0
                                ? "(" + stop + " - " + start + ")"
                                : "(" + stop + "::numeric - " + start + "::numeric)";
  bool const calendar = type == "date" || type.rfind("timestamp", 0) == 0;
  auto const near = [&](const std::string &value) { return calendar ? value : value + "::numeric"; };
  std::string const behind =
      near(column) + " >= " + near(stop) + " AND " + near(column) + " < " + near(stop) + " + " + width;
  std::string const before =
      near(column) + " < " + near(start) + " AND " + near(column) + " >= " + near(start) + " - " + width;
  if (scene.trial) return behind;
  bool const any = scene.query("SELECT EXISTS (SELECT FROM " + scene.table + " WHERE " + behind + ")::int AS measured")
                       .only()
                       .integer("measured") > 0;
  return any ? behind : before;
}

Samples samples_of(const Check &check, const Scene &scene, const TableShape::Column &column) {
  Samples samples;
  bool const time = column.base_type == "date" || column.base_type.rfind("timestamp", 0) == 0;
  samples.ordered = time || is_numeric(column);
  std::string const value = scene.table + "." + quote_ident(column.name);
  samples.value = time              ? "extract(epoch FROM " + value + ")::float8"
                  : samples.ordered ? value + "::float8"
                                    : value + "::text";
  samples.fresh = scene.table;
  samples.fresh_rows = samples.reference_rows = scene.rows;
  if (against(check) == "live") {
    samples.reference = scene.live;
  } else {
    samples.reference = scene.table;
    samples.reference_rows = recent_rows(check, scene);
  }
  return samples;
}

std::string both(const Samples &samples, const std::string &value) {
  return "SELECT " + value + " AS v, 1 AS fresh, 0 AS reference FROM " + samples.fresh + " WHERE " +
         samples.fresh_rows + "\n  UNION ALL SELECT " + value + ", 0, 1 FROM " + samples.reference + " WHERE " +
         samples.reference_rows;
}

// Rows (fresh, reference), one a bin.  NaN and the infinities are values like any other to width_bucket.
std::string binned(const Samples &samples, long long bins) {
  if (samples.ordered) {
    std::string const shares = std::to_string(bins);
    std::string const edges =
        "(SELECT coalesce((SELECT array_agg(DISTINCT e ORDER BY e) FROM unnest(percentile_disc(ARRAY(SELECT i / " +
        shares + ".0 FROM generate_series(1, " + shares + " - 1) AS i)::float8[]) WITHIN GROUP (ORDER BY " +
        samples.value + ")) AS e), '{}'::float8[]) FROM " + samples.reference + " WHERE " + samples.reference_rows +
        ")";
    return "SELECT CASE WHEN v IS NULL THEN -1 ELSE width_bucket(v, " + edges +
           ") END AS bin, sum(fresh) AS fresh, sum(reference) AS reference\nFROM (" + both(samples, samples.value) +
           ") AS both_sides GROUP BY 1";
  }
  return "SELECT CASE WHEN v IS NULL THEN -1 WHEN place <= " + std::to_string(bins) +
         " THEN place ELSE 0 END AS bin, sum(fresh) AS fresh, sum(reference) AS reference\n"
         "FROM (SELECT v, sum(fresh) AS fresh, sum(reference) AS reference, row_number() OVER (ORDER BY v IS NULL, "
         "sum(reference) DESC, v COLLATE \"C\") AS place\n  FROM (" +
         both(samples, samples.value) + ") AS both_sides GROUP BY v) AS by_value GROUP BY 1";
}

// The largest distance, and the sizes of the samples without nulls.
std::string distance(const Samples &samples) {
  return "SELECT coalesce(max(abs(f / nullif(n, 0) - r / nullif(m, 0))), 0)::float8 AS distance, coalesce(max(n), 0) "
         "AS n, "
         "coalesce(max(m), 0) AS m\n"
         "FROM (SELECT sum(sum(fresh)) OVER (ORDER BY v) AS f, sum(sum(reference)) OVER (ORDER BY v) AS r, "
         "sum(sum(fresh)) OVER () AS n, sum(sum(reference)) OVER () AS m\n  FROM (" +
         both(samples, samples.value) + ") AS both_sides WHERE v IS NOT NULL GROUP BY v) AS cumulated";
}

struct Found {
  double measured = 0, chance = 0, n = 0, m = 0;
  std::string told, chance_told;
  bool skipped = false;
};

std::string rounded(double value) {
  std::string text = figure(std::round(value * 10000) / 10000);
  return value > 0 && text == "0" ? "less than 0.0001" : text;
}

Found by_distance(const Scene &scene, const Samples &samples) {
  pg::Result const result = scene.query(distance(samples));
  Found found;
  if (scene.trial) return found;
  pg::Row const row = result.only();
  found.n = row.number("n");
  found.m = row.number("m");
  found.measured = row.number("distance");
  found.chance = found.n > 0 && found.m > 0 ? smirnov_critical(0.01, found.n, found.m) : 0;
  found.told = "KS distance " + rounded(found.measured);
  found.chance_told = "chance alone reaches " + rounded(found.chance) + " in 1 of 100 samples of this size, p " +
                      rounded(smirnov_p_value(found.measured, found.n, found.m));
  return found;
}

Found by_bins(const Check &check, const Scene &scene, const Samples &samples) {
  pg::Result const result = scene.query(binned(samples, bins_of(check)));
  Found found;
  if (scene.trial) return found;
  std::vector<double> fresh, reference;
  double values_here = 0, values_there = 0;  // nulls left out
  for (pg::Row const row : result) {
    if (row.integer("bin") >= 0) values_here += row.number("fresh"), values_there += row.number("reference");
    fresh.push_back(row.number("fresh"));
    reference.push_back(row.number("reference"));
    found.n += fresh.back();
    found.m += reference.back();
  }
  std::string const bins = std::to_string(fresh.size()) + " bins";
  if (values_here == 0 || values_there == 0) return {};
  if (method(check) == "psi") {
    found.measured = stability_index(fresh, reference);
    found.chance = stability_by_chance(found.n, found.m, fresh.size());
    found.told = "PSI " + rounded(found.measured) + " over " + bins;
    found.chance_told = "chance alone reaches " + rounded(found.chance) + " in 1 of 100 samples of this size";
    return found;
  }
  ChiSquare const test = chi_square(fresh, reference);
  found.measured = test.p_value();
  found.told = "chi-square " + rounded(test.statistic) + ", p " + rounded(found.measured) + " over " + bins;
  if (test.degrees > 0)
    found.chance_told =
        "chance alone reaches chi-square " + rounded(chi_square_quantile(0.99, test.degrees)) + " in 1 of 100 samples";
  return found;
}

// The columns it looks at: those named, else those that the transform sets.
std::vector<std::string> columns_of(const Check &check, const Job &job) {
  std::vector<std::string> columns = check.columns();
  if (!columns.empty()) return columns;
  for (const auto &[column, expression] : job.spec.transform.set) columns.push_back(column);
  if (columns.empty())
    throw meaningless(check, "The transform is a query, so nothing tells which columns are meant.", "Give column.");
  return columns;
}

// A column whose values cannot be compared with the reference is passed over, unless it was named.
bool comparable(const Check &check, const TableShape::Column &column) {
  if (column.added && against(check) == "live") {
    if (check.columns().empty()) return false;
    throw meaningless(check, "Live does not have column \"" + column.name + "\".", "Say against: recent.");
  }
  bool const time = column.base_type == "date" || column.base_type.rfind("timestamp", 0) == 0;
  if (method(check) == "ks" && !time && !is_numeric(column)) {
    if (check.columns().empty()) return false;
    throw meaningless(check,
                      "Column \"" + column.name + "\" is of type " + column.type + ", which has no order for KS.",
                      "Say method: psi or chi_square.");
  }
  return true;
}

bool worse(const Check &check, const Found &a, const Found &b) {
  return method(check) == "chi_square" ? a.measured < b.measured : a.measured > b.measured;
}

Measurement measure(const Check &check, const Scene &scene) {
  std::vector<std::string> const columns = columns_of(check, scene.job);
  require_columns(scene.shape, check.find("columns") ? check.find("columns") : check.find("column"), columns);
  if (check.limits.percent())
    throw meaningless(check, "What it measures is no share of anything.", "State thresholds as numbers.");
  (void)bins_of(check);
  std::optional<Found> worst;
  Measurement out;
  for (const std::string &name : columns) {
    const TableShape::Column &column = *find_column(scene.shape, name);
    if (!comparable(check, column)) continue;
    Samples const samples = samples_of(check, scene, column);
    Found found = method(check) == "ks" ? by_distance(scene, samples) : by_bins(check, scene, samples);
    if (scene.trial || found.n == 0 || found.m == 0) continue;
    if (columns.size() > 1) found.told = name + ": " + found.told;
    if (!worst || worse(check, found, *worst)) worst = found;
  }
  if (!worst) {
    out.skipped = true;
    out.detail = "no column has values on both sides";
    return out;
  }
  out.measured = worst->measured;
  out.actual = worst->told;
  out.detail = format_count(std::llround(worst->n)) + " rows against " + format_count(std::llround(worst->m)) +
               (worst->chance_told.empty() ? "" : "; " + worst->chance_told);
  out.by_chance = method(check) != "chi_square" && worst->measured <= worst->chance;
  return out;
}

}  // namespace

extern const CheckKind distribution_check;
const CheckKind distribution_check = {.word = "distribution",
                                      .failing = failing,
                                      .expected = expected,
                                      .measure = measure,
                                      .compares = true,
                                      .against = " recent ",
                                      .samples = true};

}  // namespace backfill
