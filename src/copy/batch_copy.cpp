// A batch is one INSERT … SELECT as the owner: NOT NULL, CHECK and length are enforced by the server, and an error is the
// server's own.  While the shadow has neither index nor trigger the statement is run by multi-insert (pg/bulk_insert.hpp).
//
// A query with placeholders of its own decides itself which rows belong to a chunk.  If it yields others, a neighbour
// would bring them a second time; so the INSERT returns, in the same pass, whether each row is where it should be.
//
// Replacing a chunk: delete its range, then in one statement delete what is left under the keys of the fresh rows (they
// have moved here from other chunks) and insert them.  The INSERT waits for the DELETE by reading its count.
#include "copy/batch_copy.hpp"

#include "core/sql_text.hpp"
#include "pg/bulk_insert.hpp"

namespace backfill {
namespace {

constexpr char target_alias[] = "s";

std::string shadow_item(const Job &job, const TableShape &shape) {
  return qualified(shape.schema, job.shadow_name) + " AS " + quote_ident(target_alias);
}

std::string column_list(const TableShape &shape) {
  std::string list;
  for (const std::string &name : shadow_columns(shape)) list += (list.empty() ? "" : ", ") + quote_ident(name);
  return list;
}

// `source` is a SELECT; system values are overridden, since identity columns are copied like any other.
std::string insert_sql(const Job &job, const TableShape &shape, const std::string &source) {
  return "INSERT INTO " + shadow_item(job, shape) + " (" + column_list(shape) + ")\nOVERRIDING SYSTEM VALUE\n" + source;
}

// The plain way, for a shadow with indexes or triggers.  `with`: common table expressions, may be empty.
pg::BulkInsert insert_row_by_row(const std::string &with, const std::string &insert, bool marks) {
  if (!marks) {
    const pg::Result result = pg::execute((with.empty() ? "" : "WITH " + with + "\n") + insert);
    return {.rows = static_cast<std::int64_t>(result.processed)};
  }
  const pg::Result result =
      pg::execute("WITH " + (with.empty() ? "" : with + ",\n") + "placed AS (\n" + insert +
                  ")\nSELECT count(*) AS rows, count(*) FILTER (WHERE stray) AS strays FROM placed");
  return {.rows = result.only().integer("rows"), .marked = result.only().integer("strays")};
}

// Inserts `source`, every row of which must fulfil `within` (unless that is empty).
std::int64_t insert_rows(const Job &job, const TableShape &shape, const Step &chunk, const std::string &with,
                         const std::string &source, const std::string &within) {
  const std::string insert =
      insert_sql(job, shape, source) + (within.empty() ? "" : "\nRETURNING (" + within + ") IS NOT TRUE AS stray");
  const pg::BulkInsert done = as_job_owner(job, [&] {
    if (with.empty())
      if (const std::optional<pg::BulkInsert> fast = pg::bulk_insert(insert)) return *fast;
    return insert_row_by_row(with, insert, !within.empty());
  });
  if (done.marked > 0) refuse_strays(chunk, done.rows, done.marked);
  return done.rows;
}

void delete_range(const Job &job, const TableShape &shape, const Step &chunk) {
  const std::string column = quote_ident(target_alias) + "." + quote_ident(shape.chunk_column);
  const std::string type = shape.chunk_type;
  const std::string sql = "DELETE FROM " + shadow_item(job, shape) + " WHERE " + column + " >= CAST(" +
                          quote_literal(*chunk.lo) + " AS " + type + ") AND " + column + " < CAST(" +
                          quote_literal(*chunk.hi) + " AS " + type + ")";
  as_job_owner(job, [&] { pg::execute(sql); });
}

// fresh (its key columns are named as in the table) against the rows of the shadow.
std::string same_key(const TableShape &shape) {
  std::string same;
  for (const TableShape::Column &column : shape.key)
    same += (same.empty() ? "" : " AND ") + quote_ident(target_alias) + "." + quote_ident(column.name) + " " +
            column.equals + " fresh." + quote_ident(column.name);
  return same;
}

}  // namespace

std::string chunk_select(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                         const std::optional<std::string> &hi) {
  if (chunk.kind == "range") return transformed_range(job, shape, chunk, lo, *hi);
  return block_rows(job, shape, chunk, std::stoll(lo), hi ? std::optional(std::stoll(*hi)) : std::nullopt);
}

void refuse_strays(const Step &chunk, std::int64_t rows, std::int64_t strays) {
  throw Error(
      sqlstate::cardinality_violation,
      "the query returned rows outside of chunk " + std::to_string(chunk.chunk.value_or(0)),
      std::to_string(strays) + " of " + std::to_string(rows) + " rows are not within [" + *chunk.lo + ", " + *chunk.hi +
          ") of the chunk column.",
      "Restrict the query to chunk_column >= :chunk_start AND chunk_column < :chunk_stop, on the chunk column as "
      "it is returned.");
}

std::int64_t copy_batch(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                        const std::optional<std::string> &hi) {
  return insert_rows(job, shape, chunk, {}, chunk_select(job, shape, chunk, lo, hi),
                     within_chunk_sql(job, shape, chunk));
}

std::int64_t replace_chunk(const Job &job, const TableShape &shape, const Step &chunk) {
  if (chunk.kind == "range") delete_range(job, shape, chunk);
  const std::string with = "fresh AS MATERIALIZED (\n" + chunk_select(job, shape, chunk, *chunk.lo, chunk.hi) +
                           "),\ngone AS (\nDELETE FROM " + shadow_item(job, shape) + " USING fresh WHERE " +
                           same_key(shape) + "\nRETURNING 1)";
  return insert_rows(job, shape, chunk, with,
                     "SELECT " + column_list(shape) + " FROM fresh WHERE (SELECT count(*) FROM gone) IS NOT NULL",
                     within_chunk_sql(job, shape, chunk));
}

}  // namespace backfill
