// shrink_guard: no chunk is empty in the new version while live has rows in it.  That is what an empty source, a
// partition not yet loaded or a join gone wrong looks like.
//
// A chunk that has rows costs one probe of the index on the chunk column, one that has none two.
#include "audit/check.hpp"
#include "core/sql_text.hpp"
#include "core/units.hpp"

namespace backfill {

namespace {

std::string failing(const Check &) { return "> 0"; }

std::string expected(const Check &, const Job &) { return "no chunk loses all its rows"; }

std::string chunk_list(const TableShape &shape, const std::vector<Step> &chunks) {
  std::string list;
  for (const Step &chunk : chunks)
    list += (list.empty() ? "" : ", ") + ("(" + std::to_string(chunk.chunk.value_or(0))) + ", " +
            quote_literal(chunk.lo.value_or("")) + "::" + shape.chunk_type + ", " +
            quote_literal(chunk.hi.value_or("")) + "::" + shape.chunk_type + ")";
  return list;
}

Measurement measure(const Check &, const Scene &scene) {
  Measurement out;
  if (scene.trial) return out;
  std::vector<Step> const chunks = range_chunks(scene.job);
  if (chunks.empty()) {
    out.skipped = true;
    out.detail = "the chunks are blocks of live, copied row by row";
    return out;
  }
  std::string const column = scene.table + "." + quote_ident(scene.shape.chunk_column);
  std::string const within = column + " >= c.lo AND " + column + " < c.hi AND " + scene.filter;
  pg::Result const found =
      scene.query("SELECT c.chunk FROM (VALUES " + chunk_list(scene.shape, chunks) +
                  ") AS c (chunk, lo, hi)\nWHERE NOT EXISTS (SELECT FROM " + scene.table + " WHERE " + within +
                  ")\n  AND EXISTS (SELECT FROM " + scene.live + " WHERE " + within + ")\nORDER BY 1");
  for (pg::Row const row : found)
    out.chunks.emplace_back(static_cast<int>(row.integer("chunk")), "empty, but live has rows");
  out.measured = static_cast<double>(found.size());
  out.population = static_cast<double>(chunks.size());
  out.actual = worded(out.measured, out.population, "emptied chunk|emptied chunks");
  out.detail = format_count(static_cast<std::int64_t>(chunks.size())) + " chunks checked";
  return out;
}

}  // namespace

extern const CheckKind shrink_guard_check;
const CheckKind shrink_guard_check = {.word = "shrink_guard",
                                      .failing = failing,
                                      .expected = expected,
                                      .measure = measure,
                                      .whole_table = true,
                                      .compares = true,
                                      .against = ""};

}  // namespace backfill
