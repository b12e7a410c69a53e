// Chunks, in four moves, set-wise in PostgreSQL's own calendar arithmetic:
//
//   1. freeze    start, stop and zone become typed values; whatever `today` meant, it means it once;
//   2. mark      where units begin inside the scope (calendar units in the zone, multiples of an interval or width from start);
//   3. cut       marks and the edges of excluded ranges split the scope into pieces; the excluded ones fall away;
//   4. split     pieces estimated larger than chunk_size fall into equal parts.
//
// Blocks then hold all that ranges do not: rows out of scope, with NULL and infinite values.  Without an index on the
// chunk column each range would scan the whole table, so a `set` transform takes blocks for everything.
//
// Calendar arithmetic is done in local time and brought back: local_begin() is the first instant at which the zone's
// clocks show at least the local time, which is right where midnight is skipped and where it comes twice.  Hours are
// absolute: a day of 25 hours has 25.
#include "plan/chunks.hpp"

#include <algorithm>
#include <cmath>

#include "core/spec_keys.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/role.hpp"
#include "plan/transform_check.hpp"

namespace backfill {

namespace {

constexpr Oid int8_type = 20, int2_type = 21, int4_type = 23, date_type = 1082, timestamp_type = 1114,
              timestamptz_type = 1184;

constexpr struct Unit {
  const char *word;
  double seconds;  // the shortest there is
  const char *step;
} calendar_units[] = {
    {"year", 365 * 86400.0, "1 year"},         {"quarter", 90 * 86400.0 - 3600, "3 months"},
    {"month", 28 * 86400.0 - 3600, "1 month"}, {"week", 7 * 86400.0 - 3600, "7 days"},
    {"day", 86400.0 - 3600, "1 day"},          {"hour", 3600, "1 hour"},
};

// The type's name without a modifier, for casts.
const char *base_type(Oid type) {
  switch (type) {
    case int2_type: return "smallint";
    case int4_type: return "integer";
    case int8_type: return "bigint";
    case date_type: return "date";
    case timestamp_type: return "timestamp";
    case timestamptz_type: return "timestamptz";
    default: return "";
  }
}

bool is_integer(Oid type) { return type == int2_type || type == int4_type || type == int8_type; }

// An ordinal grows with the value: seconds of the epoch, or the key itself.
std::string ordinal_sql(Oid type, const std::string &value) {
  return is_integer(type) ? "(" + value + ")::float8" : "extract(epoch FROM " + value + ")::float8";
}

// The first instant at which clocks in the session's zone show at least `local`.
std::string local_begin(const std::string &local) {
  return "(SELECT CASE WHEN (c.at - interval '1 hour')::timestamp >= c.local THEN c.at - interval '1 hour' ELSE c.at "
         "END"
         " FROM (SELECT l.local, l.local::timestamptz AS at FROM (SELECT (" +
         local + ")::timestamp AS local) l) c)";
}

std::string from_local(Oid type, const std::string &local) {
  return type == timestamptz_type ? local_begin(local) : "(" + local + ")::" + base_type(type);
}

template <typename Fn>
auto in_zone(const std::string &zone, Fn fn) {
  return pg::as_extension([&] {
    if (!zone.empty()) pg::set_local("TimeZone", zone);
    return fn();
  });
}

Error unknown_zone(const std::string &zone) {
  std::vector<std::string> names;
  for (const pg::Row &row : pg::execute("SELECT name FROM pg_catalog.pg_timezone_names"))
    names.push_back(row.text("name"));
  std::string const near = nearest_word(zone, names);
  return Error(
      sqlstate::invalid_parameter_value, "time zone \"" + zone + "\" is not known", "It is named by scope.time_zone.",
      near.empty() ? "List the names with: SELECT name FROM pg_timezone_names;" : "Did you mean \"" + near + "\"?");
}

// The zone may not be known, and then no SQL runs before the error is on its way: hence the two steps.
void require_zone(const std::string &zone) {
  bool known = true;
  pg::as_extension([&] {
    known = pg::query_boolean(
        "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE lower(name) = lower($1))"
        " OR EXISTS (SELECT FROM pg_timezone_abbrevs WHERE lower(abbrev) = lower($1))",
        {zone});
  });
  if (!known) throw unknown_zone(zone);
}

struct Typed {
  std::string text;
  double ordinal;
};

// The value in the column's type; an error says which path held it.
Typed typed_value(const Column &column, const std::string &value, const std::string &path) {
  std::string const type = base_type(column.type_oid);
  try {
    pg::Result const found = pg::execute("SELECT v::text AS text, " + ordinal_sql(column.type_oid, "v") +
                                             "::text AS ordinal FROM (SELECT $1::" + type + " AS v) x",
                                         {value});
    return {found[0].text("text"), found[0].number("ordinal")};
  } catch (const Error &failure) {
    throw Error(failure.sqlstate, path + " is not a value of type " + type,
                std::string("The server says: ") + failure.what() + ".",
                "The chunk column \"" + column.name + "\" is of that type; write the value as the column shows it.");
  }
}

Typed finite_value(const Column &column, const std::string &value, const std::string &path) {
  Typed const typed = typed_value(column, value, path);
  if (!std::isfinite(typed.ordinal))
    throw Error(
        sqlstate::invalid_parameter_value, path + " must be finite", "Chunks need a beginning and an end.",
        "Give a date, a timestamp or a key; rows with infinite values are out of scope and copied as they are.");
  return typed;
}

// How the scope is divided: marks are start + n * step, or calendar units.
struct Division {
  std::string by;       // as told to people
  std::string mark;     // SQL over n (1, 2, …), start and stop ($1, $2, typed): where the nth unit begins
  double shortest = 0;  // of a unit, as an ordinal
  bool units = true;    // false: the scope is one piece (blocks)
};

Error bad_width(const std::string &text, const std::string &detail, const std::string &hint) {
  return Error(sqlstate::invalid_parameter_value,
               "strategy.chunk_by \"" + text + "\" does not go with the chunk column", detail, hint);
}

Division by_width(const FrozenScope &scope, const std::string &text) {
  auto const width = parse_count(text);
  if (!width || *width < 1)
    throw bad_width(text, "Column \"" + scope.column->name + "\" is of type " + scope.column->type + ".",
                    "Give a whole number of keys, such as 100_000, or blocks.");
  std::string const step = std::to_string(*width) + "::numeric";
  return {format_count(*width) + " keys", "(s.start::numeric + n * " + step + ")", static_cast<double>(*width), true};
}

Division by_unit(const FrozenScope &scope, const Unit &unit) {
  Oid const type = scope.column->type_oid;
  std::string const word = unit.word, step = std::string("interval '") + unit.step + "'";
  if (word == "hour" && type == date_type)
    throw bad_width("hour", "Column \"" + scope.column->name + "\" is of type date, which has no hours.",
                    "Chunk by day or longer.");
  if (word == "hour") return {word, "(date_trunc('hour', s.start) + n * " + step + ")", unit.seconds, true};
  std::string const first = "date_trunc('" + word + "', s.start::timestamp)";
  return {word, from_local(type, first + " + n * " + step), unit.seconds, true};
}

// An interval counts from start: by the clock when it is made of hours, on the calendar when it has days or months.
Division by_interval(const FrozenScope &scope, const std::string &text) {
  Oid const type = scope.column->type_oid;
  std::string const hint = "Write hour, day, week, month, quarter, year, or an interval such as 6 hours or 10 days.";
  pg::Result facts;
  try {
    facts = pg::execute(
        "SELECT (extract(year FROM i) * 12 + extract(month FROM i))::text AS months, extract(day FROM i)::text AS days,"
        " (extract(hour FROM i) * 3600 + extract(minute FROM i) * 60 + extract(second FROM i))::float8::text AS "
        "seconds,"
        " i::text AS text FROM (SELECT $1::interval AS i) x",
        {text});
  } catch (const Error &failure) {
    throw bad_width(text, std::string("It is neither a unit nor an interval: ") + failure.what() + ".", hint);
  }
  pg::Row const row = facts.only();
  double const months = row.number("months"), days = row.number("days"), seconds = row.number("seconds");
  double const shortest = months * (28 * 86400.0) + days * 86400.0 + seconds - (months + days > 0 ? 3600 : 0);
  if (months < 0 || days < 0 || seconds < 0 || shortest <= 0)
    throw bad_width(text, "An interval of chunks must be positive in each of its parts.", hint);
  if (parse_number(text)) throw bad_width(text, "A bare number is not an interval.", hint);
  if (type == date_type && seconds != 0)
    throw bad_width(text, "Column \"" + scope.column->name + "\" is of type date; the interval has hours.",
                    "Use whole days.");
  std::string const step = "n * interval " + quote_literal(row.text("text"));
  bool const clock = months == 0 && days == 0;
  return {row.text("text"),
          clock || type != timestamptz_type ? "(s.start + " + step + ")::" + base_type(type)
                                            : from_local(type, "s.start::timestamp + " + step),
          shortest, true};
}

Division divide_by(const FrozenScope &scope, const std::string &text) {
  if (text == "blocks") return {"blocks", "NULL", 0, false};
  const Unit *unit = nullptr;
  for (const Unit &candidate : calendar_units)
    if (text == candidate.word) unit = &candidate;
  if (is_integer(scope.column->type_oid)) return by_width(scope, text);
  return unit ? by_unit(scope, *unit) : by_interval(scope, text);
}

// The longest unit that gives ten chunks; shorter ones while chunks hold more than five million rows.
std::string choose_division(const FrozenScope &scope, double rows) {
  double const span = scope.stop_ordinal - scope.start_ordinal;
  if (is_integer(scope.column->type_oid)) {
    double const wanted = std::clamp(rows / 500000, 10.0, 500.0);
    double const width = std::max(1.0, span / wanted), power = std::pow(10.0, std::floor(std::log10(width)));
    for (double nice : {5.0, 2.0, 1.0})
      if (nice * power <= width) return std::to_string(static_cast<long long>(nice * power));
  }
  std::string chosen = scope.column->type_oid == date_type ? "day" : "hour";
  for (const Unit &unit : calendar_units) {
    if (std::string(unit.word) == "hour" && scope.column->type_oid == date_type) break;
    double const count = span / unit.seconds;
    if (count < 10) continue;
    if (count > 500 && chosen != "hour" && chosen != "day") break;
    chosen = unit.word;
    if (rows / count <= 5e6) break;
  }
  return chosen;
}

struct Piece {
  std::string lo, hi;
  double lo_ordinal, hi_ordinal;
  double rows = 0;
};

Error too_many(const std::string &by) {
  return Error(sqlstate::program_limit_exceeded, "the scope has more than " + format_count(chunk_limit) + " chunks",
               "It is divided by " + by + ".", "Take longer chunks in strategy.chunk_by, or a larger chunk_size.");
}

// Excluded ranges as typed pairs, unclipped: a bare date is that calendar day, another time the unit that contains it, a
// key itself.
struct ExcludedItems {
  std::vector<std::optional<std::string>> lo, hi;  // of days and keys
  std::vector<std::optional<std::string>> at;      // whose unit is meant
};

bool is_bare_date(const std::string &text) {
  int digits = 0, dashes = 0;
  for (char c : text) {
    if (c >= '0' && c <= '9')
      digits++;
    else if (c == '-')
      dashes++;
    else
      return false;
  }
  return dashes == 2 && digits >= 6;
}

ExcludedItems read_excluded(const FrozenScope &scope, const Spec &spec, bool has_units) {
  ExcludedItems items;
  Oid const type = scope.column->type_oid;
  for (std::size_t i = 0; i < spec.scope.exclude.size(); i++) {
    std::string const &text = spec.scope.exclude[i];
    std::string const path = "scope.exclude[" + std::to_string(i) + "]";
    Typed const value = finite_value(*scope.column, text, path);
    if (value.ordinal < scope.start_ordinal - (scope.calendar() ? 86400 : 0) || value.ordinal >= scope.stop_ordinal)
      throw Error(sqlstate::invalid_parameter_value, path + " lies outside of the scope",
                  "\"" + text + "\" is not in [" + *scope.start + ", " + *scope.stop + ").",
                  "Remove it, or correct it.");
    if (is_integer(type)) {
      items.lo.push_back(value.text);
      items.hi.push_back(pg::query_value("SELECT ($1::numeric + 1)::text", {value.text}));
    } else if (type == date_type || is_bare_date(text)) {
      pg::Result const day =
          pg::execute("SELECT " + from_local(type, "d") + "::text AS lo, " + from_local(type, "d + interval '1 day'") +
                          "::text AS hi FROM (SELECT $1::date::timestamp AS d) x",
                      {text});
      items.lo.push_back(day[0].get("lo"));
      items.hi.push_back(day[0].get("hi"));
    } else if (has_units) {
      items.at.push_back(value.text);
    } else {
      throw Error(sqlstate::invalid_parameter_value,
                  path + " names a time, but chunks of blocks have no unit to leave out",
                  "A time stands for the unit of chunk_by that contains it.", "Give a date, or another chunk_by.");
    }
  }
  return items;
}

struct Pieces {
  std::vector<Piece> pieces;
  std::vector<std::string> exclude;
};

// The excluded ranges, clipped to the scope and merged where they touch.
constexpr char merged_sql[] = R"(
  merged AS (SELECT min(lo) AS lo, max(hi) AS hi
               FROM (SELECT lo, hi, count(*) FILTER (WHERE gap) OVER (ORDER BY lo, hi) AS run
                       FROM (SELECT lo, hi, lo > max(hi) OVER (ORDER BY lo, hi ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                                    IS NOT FALSE AS gap FROM cut) g) r
              GROUP BY run))";

Pieces cut_scope(const FrozenScope &scope, const Spec &spec, const Division &division) {
  Oid const type = scope.column->type_oid;
  std::string const T = is_integer(type) ? "numeric" : base_type(type);
  double const units = division.units ? (scope.stop_ordinal - scope.start_ordinal) / division.shortest + 2 : 0;
  std::int64_t const steps = static_cast<std::int64_t>(std::min<double>(units, chunk_limit + 2));
  ExcludedItems const items = read_excluded(scope, spec, division.units);

  std::string const with =
      "WITH s AS (SELECT $1::" + T + " AS start, $2::" + T +
      " AS stop),"
      "  mark AS MATERIALIZED (SELECT m.p FROM s, generate_series(1, $3::bigint) n, LATERAL (SELECT " +
      division.mark + "::" + T +
      " AS p) m WHERE m.p > s.start AND m.p < s.stop),"
      "  point AS (SELECT p FROM mark UNION SELECT start FROM s UNION SELECT stop FROM s),"
      "  unit AS (SELECT p AS lo, lead(p) OVER (ORDER BY p) AS hi FROM point),"
      "  item AS (SELECT l::" +
      T + " AS lo, h::" + T +
      " AS hi FROM unnest($4::text[], $5::text[]) AS x(l, h)"
      "           UNION ALL SELECT u.lo, u.hi FROM unit u, unnest($6::text[]) AS a(t)"
      "           WHERE u.lo <= a.t::" +
      T + " AND a.t::" + T +
      " < u.hi),"
      "  cut AS (SELECT greatest(i.lo, s.start) AS lo, least(i.hi, s.stop) AS hi FROM item i, s"
      "           WHERE i.lo < s.stop AND i.hi > s.start)," +
      merged_sql;
  std::vector<pg::Param> const params = {*scope.start, *scope.stop, static_cast<long>(steps),
                                         items.lo,     items.hi,    items.at};
  pg::Result const kept =
      pg::execute(with +
                      ", edge AS (SELECT p FROM point UNION SELECT lo FROM merged UNION SELECT hi FROM merged),"
                      " piece AS (SELECT p AS lo, lead(p) OVER (ORDER BY p) AS hi FROM edge)"
                      " SELECT lo::text AS lo, hi::text AS hi, " +
                      ordinal_sql(type, "lo") + "::text AS lo_ordinal, " + ordinal_sql(type, "hi") +
                      "::text AS hi_ordinal FROM piece"
                      " WHERE hi IS NOT NULL AND NOT EXISTS (SELECT FROM merged m WHERE m.lo <= piece.lo AND piece.hi "
                      "<= m.hi) ORDER BY piece.lo",
                  params);
  if (kept.size() > static_cast<std::size_t>(chunk_limit)) throw too_many(division.by);

  Pieces out;
  for (const pg::Row &row : kept)
    out.pieces.push_back({row.text("lo"), row.text("hi"), row.number("lo_ordinal"), row.number("hi_ordinal")});
  if (!spec.scope.exclude.empty())
    for (const pg::Row &row :
         pg::execute(with + " SELECT lo::text AS lo, hi::text AS hi FROM merged m ORDER BY m.lo", params)) {
      out.exclude.push_back(row.text("lo"));
      out.exclude.push_back(row.text("hi"));
    }
  if (out.pieces.empty())
    throw Error(sqlstate::invalid_parameter_value, "nothing is left of the scope",
                "Everything from start to stop is excluded.", "Exclude less.");
  return out;
}

// Rows by the histogram; without one, spread evenly over what the statistics do not tell.
void estimate_pieces(std::vector<Piece> &pieces, const ColumnHistogram &histogram, const Target &target) {
  double total = 0;
  for (const Piece &piece : pieces) total += piece.hi_ordinal - piece.lo_ordinal;
  for (Piece &piece : pieces)
    piece.rows = target.rows * (histogram.empty() ? (piece.hi_ordinal - piece.lo_ordinal) / total
                                                  : fraction_between(histogram, piece.lo_ordinal, piece.hi_ordinal));
}

// Pieces larger than size rows, each into equal parts of whole days (dates), seconds or keys.
void split_pieces(std::vector<Piece> &pieces, Oid type, std::int64_t size, const std::string &by) {
  std::vector<std::optional<std::string>> lo, hi, parts;
  double total = 0;
  for (const Piece &piece : pieces) {
    double const count = std::clamp(std::ceil(piece.rows / static_cast<double>(size)), 1.0, chunk_limit + 1.0);
    total += count;
    lo.push_back(piece.lo);
    hi.push_back(piece.hi);
    parts.push_back(std::to_string(static_cast<long long>(count)));
  }
  if (total == static_cast<double>(pieces.size())) return;
  if (total > chunk_limit) throw too_many(by + ", in parts of " + format_count(size) + " rows");
  std::string const T = is_integer(type) ? "numeric" : base_type(type);
  std::string const step = type == date_type ? "x.lo::date + ((x.hi::date - x.lo::date)::bigint * i / x.n)::int"
                           : is_integer(type)
                               ? "x.lo::numeric + div((x.hi::numeric - x.lo::numeric) * i, x.n)"
                               : "x.lo::" + T + " + make_interval(secs => floor(extract(epoch FROM x.hi::" + T +
                                     " - x.lo::" + T + ")::float8 * i / x.n))";
  pg::Result const found = pg::execute("SELECT lo::text AS lo, hi::text AS hi, piece, " + ordinal_sql(type, "lo") +
                                           "::text AS lo_ordinal, " + ordinal_sql(type, "hi") +
                                           "::text AS hi_ordinal FROM (SELECT piece, p AS lo, lead(p, 1, stop) OVER "
                                           "(PARTITION BY piece ORDER BY p) AS hi"
                                           " FROM (SELECT DISTINCT x.piece, x.hi::" +
                                           T + " AS stop, (" + step + ")::" + T +
                                           " AS p"
                                           " FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS "
                                           "x(lo, hi, n, piece), generate_series(0, x.n - 1) i) d) q"
                                           " ORDER BY piece, q.lo",
                                       {lo, hi, parts});
  std::vector<Piece> split;
  for (const pg::Row &row : found)
    split.push_back({row.text("lo"), row.text("hi"), row.number("lo_ordinal"), row.number("hi_ordinal")});
  pieces = std::move(split);
}

// About 100,000 rows or 128 MB each, and no more than ten thousand; the last one ends where the table does.
void add_blocks(ChunkPlan *plan, const Target &target, bool whole, double rows) {
  double const pages = static_cast<double>(target.pages);
  double const density = pages > 0 ? std::max(target.rows / pages, 0.01) : 1;
  double const most = 128.0 * 1024 * 1024 / static_cast<double>(target.page_bytes);
  double const per_chunk = std::max({1.0, std::min(most, std::ceil(100000 / density)), std::ceil(pages / 10000)});
  int const count = std::max(1, static_cast<int>(std::ceil(pages / per_chunk)));
  for (int i = 0; i < count; i++) {
    Chunk chunk;
    chunk.blocks = true;
    chunk.lo = std::to_string(static_cast<long long>(per_chunk * i));
    if (i + 1 < count) chunk.hi = std::to_string(static_cast<long long>(per_chunk * (i + 1)));
    chunk.whole = whole;
    chunk.rows = rows / count;
    plan->chunks.push_back(std::move(chunk));
  }
}

constexpr double few_out_of_scope = 0.05;  // of the rows

// All that is out of scope, where that is so little that its batches get it from an index, and read no block in vain.
Chunk found_by_index(double rows) {
  Chunk chunk;
  chunk.blocks = true;
  chunk.lo = "0";
  chunk.rows = rows;
  return chunk;
}

void require_query_scope(const FrozenScope &scope, const Spec &spec) {
  if (!spec.transform.is_query()) return;
  std::string const hint =
      "Give scope.column, scope.start and scope.stop, and chunk by a unit or width; or use transform.set.";
  if (!scope.bounded())
    throw Error(sqlstate::invalid_parameter_value, "a query needs a scope",
                "It is run chunk by chunk, each a range of the chunk column.", hint);
  if (spec.strategy.chunk_by == "blocks")
    throw Error(sqlstate::invalid_parameter_value, "a query cannot be chunked by blocks",
                "What a query yields is not bound to the blocks of the table.", hint);
}

// A query may be split at multiples of its grain only.
void require_grain(const FrozenScope &scope, const Spec &spec) {
  if (!spec.strategy.grain) return;
  FrozenScope probe = scope;
  try {
    if (scope.column && is_integer(scope.column->type_oid))
      (void)by_width(probe, *spec.strategy.grain);
    else if (scope.column)
      (void)by_interval(probe, *spec.strategy.grain);
  } catch (const Error &failure) {
    throw Error(sqlstate::invalid_parameter_value,
                "strategy.grain \"" + *spec.strategy.grain + "\" does not go with the chunk column", failure.detail,
                "Write an interval such as 1 day, or a number of keys.");
  }
}

}  // namespace

bool FrozenScope::calendar() const { return column && !is_integer(column->type_oid); }

FrozenScope freeze_scope(const Target &target, const Spec &spec) {
  FrozenScope scope;
  if (spec.scope.time_zone) require_zone(*spec.scope.time_zone);
  scope.time_zone = spec.scope.time_zone.value_or(pg::setting("TimeZone"));
  if (spec.scope.column.empty()) return scope;
  scope.column = require_column(target, spec.scope.column, "scope.column");
  if (base_type(scope.column->type_oid)[0] == '\0')
    throw Error(sqlstate::datatype_mismatch, "column \"" + scope.column->name + "\" cannot be a chunk column",
                "It is of type " + scope.column->type +
                    "; a chunk column is a date, timestamp, timestamptz, smallint, integer or bigint.",
                "Name another column in scope.column, or take the whole table: strategy: {chunk_by: blocks}, without "
                "start and stop.");
  if (!spec.scope.start || !spec.scope.stop) return scope;
  in_zone(scope.time_zone, [&] {
    Typed const start = finite_value(*scope.column, *spec.scope.start, "scope.start");
    Typed const stop = finite_value(*scope.column, *spec.scope.stop, "scope.stop");
    if (start.ordinal >= stop.ordinal)
      throw Error(sqlstate::invalid_parameter_value, "scope.start is not before scope.stop",
                  "The scope is half-open: [" + start.text + ", " + stop.text + ").",
                  "Give a stop that is later than start.");
    scope.start = start.text;
    scope.stop = stop.text;
    scope.start_ordinal = start.ordinal;
    scope.stop_ordinal = stop.ordinal;
  });
  return scope;
}

ChunkPlan plan_chunks(const Target &target, const FrozenScope &scope, const Spec &spec, bool whole) {
  ChunkPlan plan;
  require_query_scope(scope, spec);
  if (!scope.bounded()) {
    plan.by = "blocks";
    plan.rows_in_scope = target.rows;
    add_blocks(&plan, target, true, target.rows);
    return plan;
  }
  ColumnHistogram const histogram = read_histogram(target, *scope.column, scope.time_zone);
  double const span_rows = histogram.empty()
                               ? target.rows
                               : target.rows * fraction_between(histogram, scope.start_ordinal, scope.stop_ordinal);
  plan.chosen = spec.strategy.chunk_by.empty();
  std::string const wanted = plan.chosen ? choose_division(scope, span_rows) : spec.strategy.chunk_by;
  Pieces cut = in_zone(scope.time_zone, [&] {
    require_grain(scope, spec);
    Division const division = divide_by(scope, wanted);
    plan.by = division.by;
    Pieces pieces = cut_scope(scope, spec, division);
    estimate_pieces(pieces.pieces, histogram, target);
    if (spec.strategy.chunk_size && division.units) {
      split_pieces(pieces.pieces, scope.column->type_oid, *spec.strategy.chunk_size, division.by);
      estimate_pieces(pieces.pieces, histogram, target);
    }
    return pieces;
  });
  plan.exclude = std::move(cut.exclude);
  for (const Piece &piece : cut.pieces) plan.rows_in_scope += piece.rows;
  plan.rows_verbatim = std::max(0.0, target.rows - plan.rows_in_scope);
  if (histogram.empty() && target.rows > 0)
    plan.warnings.push_back("Column \"" + scope.column->name +
                            "\" has no statistics: rows of chunks are a guess. ANALYZE " + target.label() + " first.");

  bool const indexed = has_leading_index(target, scope.column->name);
  bool const needs_ranges = !whole || spec.transform.is_query() || depends_on_chunk(spec.transform);
  bool const by_blocks = wanted == "blocks" || (!indexed && !needs_ranges);
  if (by_blocks) {
    if (wanted != "blocks")
      plan.warnings.push_back("No index begins with \"" + scope.column->name + "\": each chunk by " + plan.by +
                              " would scan the whole table, so the table is read once, by blocks.");
    plan.by = "blocks";
    add_blocks(&plan, target, true, target.rows);
    return plan;
  }
  if (!indexed)
    plan.warnings.push_back("No index begins with \"" + scope.column->name + "\": each of the " +
                            format_count(static_cast<std::int64_t>(cut.pieces.size())) +
                            " chunks may scan the whole table. Create one first.");
  for (const Piece &piece : cut.pieces) plan.chunks.push_back({false, piece.lo, piece.hi, false, piece.rows});
  if (spec.strategy.newest_first) std::reverse(plan.chunks.begin(), plan.chunks.end());
  plan.ranges = static_cast<int>(plan.chunks.size());
  if (whole && indexed && plan.rows_verbatim < few_out_of_scope * target.rows)
    plan.chunks.push_back(found_by_index(plan.rows_verbatim));
  else if (whole)
    add_blocks(&plan, target, false, plan.rows_verbatim);
  return plan;
}

}  // namespace backfill
