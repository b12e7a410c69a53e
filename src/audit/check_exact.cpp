// exact: the new version is the transform of live, less the keys that wait in the capture log, image for image.
//
// Out of scope (the default) stretch of blocks by stretch of blocks, each in a snapshot of its own, so that none grows
// old (a table of one stretch in one):
//   live    every out-of-scope row of these blocks is in the shadow under its key, with the same image;
//   shadow  every out-of-scope row of these blocks is in live.
// A row that is written meanwhile may move from blocks not yet read to blocks already read; its key is then in the log,
// and the drain owes it the same proof.  In scope chunk by chunk, both ways at once by a full join.
//
// A table of up to 8 GB is first added up: the number of rows and the sum of their images' hashes, one pass over each
// side, no join.  With a seed drawn anew, two sides that differ come to the same sum in one case of 2^64.  Only where they
// do not agree are rows paired, to tell how many are missing, surplus or changed.  Out of scope rows are copied as they
// are: the sum of the bytes they are stored in costs half of that of their images, and mostly agrees as well.
//
// Images are compared with *<>, not <>: 1.0 is not 1.00, and two equal texts may differ.
#include "audit/check.hpp"
#include "catalog/placement.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// Up to this many blocks (8 GB) of a table are added up under one snapshot, and this many (512 MB) are paired.
#ifdef BACKFILL_TESTING
constexpr long long at_once = 8, stretch = 8;
#else
constexpr long long at_once = 1048576, stretch = 65536;
#endif

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &check, const Job &) {
  std::string const scope = check.scope();
  std::string const rows = scope == "out" ? "rows out of scope" : scope == "in" ? "rows in scope" : "all rows";
  return scope == "out" ? rows + " are live's, image for image"
                        : rows + " are what the transform makes of live, image for image";
}

std::string image_row(const TableShape &shape, const std::string &alias) {
  std::string columns;
  for (const std::string &column : shadow_columns(shape))
    columns += (columns.empty() ? "" : ", ") + quote_ident(alias) + "." + quote_ident(column);
  return "ROW(" + columns + ")";
}

std::string no_key(const TableShape &shape, const std::string &alias) {
  return quote_ident(alias) + "." + quote_ident(shape.key[0].name) + " IS NULL";
}

std::string differ(const TableShape &shape) {
  return image_row(shape, "due") + "::record OPERATOR(pg_catalog.*<>) " + image_row(shape, "new") + "::record";
}

std::string in_blocks(const std::string &alias, long long lo, std::optional<long long> hi) {
  std::string const ctid = quote_ident(alias) + ".ctid";
  std::string condition = ctid + " >= '(" + std::to_string(lo) + ",0)'::tid";
  if (hi) condition += " AND " + ctid + " < '(" + std::to_string(*hi) + ",0)'::tid";
  return condition;
}

// What is summed up over snapshots.
struct Tally {
  std::int64_t rows = 0, missing = 0, surplus = 0, changed = 0, pending = 0;
  Measurement out;
  void add(const Scene &scene, const pg::Row &row) {
    add(scene, row.integer("rows"));
    missing += row.integer("missing");
    surplus += row.integer("surplus");
    changed += row.integer("changed");
  }
  void add(const Scene &scene, std::int64_t more) {
    rows += more;
    pending = std::max(pending, scene.pending);
    if (out.sql.empty()) out.sql = scene.sql;
    if (out.taken_at.empty()) out.taken_at = scene.taken_at;
  }
};

long long blocks_of(Oid relation) {
  return pg::as_extension([&] {
    return pg::query_integer("SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint",
                             {pg::Param::oid(relation)});
  });
}

// Calls fn(lo, hi) for stretches of blocks that cover the relation; the last one is open.
template <typename Fn>
void each_stretch(Oid relation, Fn fn) {
  long long const blocks = blocks_of(relation);
  for (long long lo = 0;; lo += stretch) {
    bool const last = lo + stretch >= blocks;
    fn(lo, last ? std::nullopt : std::optional(lo + stretch));
    if (last) return;
  }
}

// A join that reads the whole other table for each stretch would cost the square of the table.
void look_up_by_key() {
  pg::set_local("enable_hashjoin", "off");
  pg::set_local("enable_mergejoin", "off");
}

// Rows that are due, those of them that the shadow lacks, and those it has with another image.
pg::Result compare_due(const Scene &scene, const std::string &image) {
  const TableShape &shape = scene.shape;
  return scene.query("SELECT count(*) AS rows, count(*) FILTER (WHERE " + no_key(shape, "new") +
                     ") AS missing, 0 AS surplus,\n       count(*) FILTER (WHERE NOT (" + no_key(shape, "new") +
                     ") AND " + differ(shape) + ") AS changed\nFROM (" + image + ") AS due\nLEFT JOIN " + scene.table +
                     " AS new ON " + same_key(shape, "new", "due") + "\nWHERE " + scene.settled("due"));
}

// Rows of the shadow out of scope that fulfil `condition` and are not in live.
pg::Result find_surplus(const Scene &scene, const std::string &condition) {
  const TableShape &shape = scene.shape;
  return scene.query("SELECT 0 AS rows, 0 AS missing, count(*) AS surplus, 0 AS changed\nFROM " + scene.shadow +
                     " AS new\nWHERE " + condition + " AND " + out_of_scope_sql(scene.job, shape, "new") + " AND " +
                     scene.settled("new") + "\n  AND NOT EXISTS (SELECT FROM " + qualified(shape.schema, shape.table) +
                     " AS due WHERE " + same_key(shape, "due", "new") + " AND " +
                     out_of_scope_sql(scene.job, shape, "due") + ")");
}

// Rows, and what their images add up to.
struct Sum {
  std::int64_t rows = 0;
  std::string image;
  bool operator==(const Sum &) const = default;
};

Sum add_up(const Scene &scene, const std::string &from, const char *alias, const std::string &condition,
           std::int64_t seed) {
  pg::Result const found =
      scene.query("SELECT count(*) AS rows, coalesce(sum(backfill.image_hash(" + image_row(scene.shape, alias) +
                  "::record, " + std::to_string(seed) + ")), 0) AS image\nFROM " + from + " AS " + alias + "\nWHERE " +
                  condition + " AND " + scene.settled(alias));
  return {found.only().integer("rows"), found.only().text("image")};
}

std::int64_t new_seed() {
  return pg::query_integer("SELECT pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::text, 0)");
}

// Whether both sides are the same rows; the tally then has them.
bool same_sum(const Scene &scene, const std::string &image, const std::string &from, const std::string &condition,
              Tally &tally) {
  std::int64_t const seed = new_seed();
  Sum const due = add_up(scene, "(" + image + ")", "due", "true", seed);
  if (!(due == add_up(scene, from, "new", condition, seed))) return false;
  tally.add(scene, due.rows);
  return true;
}

// Heap tables, in which whatever live has is of the same type in the shadow; columns that the shadow has besides come last.
bool stored_alike(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "WITH part AS (SELECT a.attrelid, a.atttypid, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS "
        "n"
        "   FROM pg_attribute a WHERE a.attrelid IN ($1, $2) AND a.attnum > 0 AND NOT a.attisdropped)"
        " SELECT (SELECT count(*) FROM pg_class c JOIN pg_am m ON m.oid = c.relam"
        "   WHERE c.oid IN ($1, $2) AND c.relkind = 'r' AND c.relpersistence <> 't' AND m.amname = 'heap') = 2"
        " AND NOT EXISTS (SELECT FROM part AS l WHERE l.attrelid = $1 AND NOT EXISTS"
        "   (SELECT FROM part AS s WHERE s.attrelid = $2 AND s.n = l.n AND s.atttypid = l.atttypid))",
        {pg::Param::oid(job.live), pg::Param::oid(job.shadow)});
  });
}

Sum add_up_stored(const Scene &scene, const std::string &from, std::int64_t seed) {
  pg::Result const found = scene.query("SELECT count(*) AS rows, backfill.stored_sum(r.tableoid, r.ctid, " +
                                       std::to_string(seed) + ") AS image\nFROM ONLY " + from + " AS r\nWHERE " +
                                       out_of_scope_sql(scene.job, scene.shape, "r") + " AND " + scene.settled("r"));
  return {found.only().integer("rows"), found.only().text("image")};
}

// Whether both sides are stored alike, out of scope; the tally then has them.
bool same_bytes(const Scene &scene, Tally &tally) {
  if (!stored_alike(scene.job)) return false;
  std::int64_t const seed = new_seed();
  Sum const due = add_up_stored(scene, qualified(scene.shape.schema, scene.shape.table), seed);
  if (!(due == add_up_stored(scene, scene.shadow, seed))) return false;
  tally.add(scene, due.rows);
  return true;
}

// Both within one stretch: one snapshot, and where each row that is due has its image in the shadow, the unique key lets
// a count stand for the way back.
void prove_at_once(const Job &job, const TableShape &shape, Tally &tally) {
  with_scene(job, shape, false, {}, [&](const Scene &scene) {
    if (same_bytes(scene, tally)) return;
    std::string const image = whole_image(job, shape, false, true);
    if (same_sum(scene, image, scene.shadow, out_of_scope_sql(job, shape, "new"), tally)) return;
    pg::Result const due = compare_due(scene, image);
    std::int64_t const there = scene
                                   .query("SELECT count(*) AS rows FROM " + scene.shadow + " AS new WHERE " +
                                          out_of_scope_sql(job, shape, "new") + " AND " + scene.settled("new"))
                                   .only()
                                   .integer("rows");
    pg::Row const row = due.only();
    bool const all = row.integer("missing") == 0 && row.integer("changed") == 0 && row.integer("rows") == there;
    if (!all) tally.add(scene, find_surplus(scene, "true").only());
    tally.add(scene, row);
  });
}

void prove_live_blocks(const Job &job, const TableShape &shape, Tally &tally) {
  each_stretch(job.live, [&](long long lo, std::optional<long long> hi) {
    with_scene(job, shape, false, {}, [&](const Scene &scene) {
      look_up_by_key();
      tally.add(scene, compare_due(scene, out_of_scope_image(job, shape, lo, hi)).only());
    });
  });
}

void prove_shadow_blocks(const Job &job, const TableShape &shape, Tally &tally) {
  each_stretch(job.shadow, [&](long long lo, std::optional<long long> hi) {
    with_scene(job, shape, false, {}, [&](const Scene &scene) {
      look_up_by_key();
      tally.add(scene, find_surplus(scene, in_blocks("new", lo, hi)).only());
    });
  });
}

void prove_out_of_scope(const Job &job, const TableShape &shape, Tally &tally) {
  if (blocks_of(job.live) <= at_once && blocks_of(job.shadow) <= at_once) return prove_at_once(job, shape, tally);
  prove_live_blocks(job, shape, tally);
  prove_shadow_blocks(job, shape, tally);
}

// `image` and the subject's rows that fulfil `condition`, against each other.
void prove_both_ways(const Job &job, const TableShape &shape, const SceneRange &range, const std::string &image,
                     Tally &tally) {
  with_scene(job, shape, false, range, [&](const Scene &scene) {
    std::string const subject = "(SELECT * FROM " + scene.table + " WHERE " + scene.rows + ")";
    if (same_sum(scene, image, subject, "true", tally)) return;
    pg::Result const found =
        scene.query("SELECT count(*) AS rows, count(*) FILTER (WHERE " + no_key(shape, "new") +
                    ") AS missing,\n"
                    "       count(*) FILTER (WHERE " +
                    no_key(shape, "due") +
                    ") AS surplus,\n"
                    "       count(*) FILTER (WHERE NOT (" +
                    no_key(shape, "due") + ") AND NOT (" + no_key(shape, "new") + ") AND " + differ(shape) +
                    ") AS changed\n"
                    "FROM (SELECT * FROM (" +
                    image + ") AS due WHERE " + scene.settled("due") +
                    ") AS due\n"
                    "FULL JOIN " +
                    subject + " AS new ON " + same_key(shape, "new", "due"));
    tally.add(scene, found.only());
  });
}

void prove_in_scope(const Job &job, const TableShape &shape, Tally &tally) {
  std::vector<Step> const chunks = range_chunks(job);
  if (chunks.empty()) prove_both_ways(job, shape, {}, whole_image(job, shape, true, false), tally);
  for (const Step &chunk : chunks) {
    std::int64_t const before = tally.missing + tally.surplus + tally.changed;
    SceneRange range;
    range.in_scope = false;
    range.chunk = chunk;
    prove_both_ways(job, shape, range, chunk_image(job, shape, chunk), tally);
    std::int64_t const differing = tally.missing + tally.surplus + tally.changed - before;
    if (differing > 0)
      tally.out.chunks.emplace_back(chunk.chunk.value_or(0),
                                    format_count(differing) + (differing == 1 ? " row differs" : " rows differ"));
  }
}

Measurement prove(const Check &check, const Job &job, const TableShape &shape) {
  Tally tally;
  std::string const scope = check.scope();
  bool const has_rest = job.start && placement_of(job).builds_whole;
  if (scope != "in" && has_rest) prove_out_of_scope(job, shape, tally);
  if (scope != "out") prove_in_scope(job, shape, tally);
  Measurement out = std::move(tally.out);
  out.pending = tally.pending;
  out.measured = static_cast<double>(tally.missing + tally.surplus + tally.changed);
  out.population = static_cast<double>(tally.rows);
  out.actual = worded(out.measured, out.population, "row differs|rows differ");
  out.detail = format_count(tally.rows) + " rows compared";
  if (out.measured > 0)
    out.detail += ": " + format_count(tally.missing) + " missing, " + format_count(tally.surplus) + " not in live, " +
                  format_count(tally.changed) + " with another image";
  if (scope == "out" && !has_rest) {
    out.skipped = true;
    out.detail = job.start ? "rows out of scope stay where they are" : "every row is in scope";
  }
  return out;
}

}  // namespace

extern const CheckKind exact_check;
const CheckKind exact_check = {.word = "exact",
                               .failing = failing,
                               .expected = expected,
                               .measure = nullptr,
                               .prove = prove,
                               .whole_table = true,
                               .compares = true,
                               .against = ""};

}  // namespace backfill
