// The SELECTs that turn live rows into shadow rows.  The copy, the drain, the re-run of a chunk, the diff and the
// proof all take their SQL from here: if they could differ, the shadow could not be proven.
//
// The live row is visible under the target's own name (the FROM item is `schema.table AS table`).  All statements
// yield exactly the shadow's insertable columns (generated ones left out), in shadow_columns() order, under those
// names.  Boundaries are written as typed literals.  Run them inside as_job_owner().
//
// Values come in one of two forms.  Those to be inserted are cast to the column's type without its length or precision,
// so that the INSERT's assignment judges them (too long a text is an error, not a cut).  Those of an image (what is
// stored) carry the column's exact type and collation, so that they can be compared with the shadow's.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "pg/role.hpp"

namespace backfill {

// What the SQL is made of; read once per worker and step from the job and the server's catalog.
struct TableShape {
  struct Column {
    std::string name;
    std::string type;        // format_type text, with length and precision
    std::string base_type;   // without, and below any domain
    std::string collation;   // schema-qualified and quoted, "" for types that have none
    std::string equals;      // of key columns: the operator of the key's index, "=" or OPERATOR(schema.=)
    bool generated = false;  // stored generated: computed by the server
    bool added = false;      // by this job's transform
  };
  std::string schema, table;    // of live, unquoted
  std::vector<Column> columns;  // of the shadow, in order
  std::vector<Column> key;
  std::string chunk_column, chunk_type;  // "" when there is none
};

// Works before the shadow exists too (columns of live, then the added ones in the order of the spec).
TableShape read_shape(const Job &job);

std::vector<std::string> shadow_columns(const TableShape &shape);  // insertable, unquoted

// A condition on the row called `alias` (default: the live row): is it in scope?  Can use an index on the chunk column.
// Null where the chunk column is null, which is out of scope: negate it with IS NOT TRUE.  "true" where the job has no
// scope, so that the transform applies to every row.
std::string in_scope_sql(const Job &job, const TableShape &shape, const std::string &alias = {});

// The opposite, true where the other is false or null: so written that an index on the chunk column answers it too, which it
// cannot where a condition is negated.  "false" where the job has no scope.
std::string out_of_scope_sql(const Job &job, const TableShape &shape, const std::string &alias = {});

// Rows of [lo, hi) of a range chunk through the transform (`set`, or `query` with its placeholders filled in).  The
// placeholders always stand for the whole chunk.
std::string transformed_range(const Job &job, const TableShape &shape, const Step &chunk, const std::string &lo,
                              const std::string &hi);
// The condition (on the shadow's columns) that every row of transformed_range(the whole chunk) must fulfil; "" where
// its SQL already sees to it.  Only a query with placeholders of its own can stray.
std::string within_chunk_sql(const Job &job, const TableShape &shape, const Step &chunk);

// Rows of blocks [lo, hi) of live, for a chunk of kind blocks: out of scope verbatim; where the step's params say
// "whole" (no index on the chunk column, `set` only) those in scope through the transform as well.  hi null: to the
// end.
std::string block_rows(const Job &job, const TableShape &shape, const Step &chunk, long long lo,
                       std::optional<long long> hi);

// What the live rows with these keys look like now in the shadow, in scope and (where the strategy builds the whole table)
// out of it.  `keys` is a FROM item with
// columns k1, k2 … of the key's types (unnest(…) AS k(k1, k2), a log table …); it may appear more than once.  The
// result is UNION ALL of disjoint parts.
std::string rows_for_keys(const Job &job, const TableShape &shape, const std::string &keys);

// The image of live, transformed: every row the shadow should hold, in scope, out of it, or both (as far as the strategy
// builds them).
std::string whole_image(const Job &job, const TableShape &shape, bool in_scope, bool out_of_scope);
// The same for one range chunk, or for the blocks [lo, hi) (hi null: to the end) of what is out of scope.
std::string chunk_image(const Job &job, const TableShape &shape, const Step &chunk);
std::string out_of_scope_image(const Job &job, const TableShape &shape, long long lo, std::optional<long long> hi);

// Equality of two aliases' keys, by the index's semantics: "s"."a" = "k".k1 AND "s"."b" = "k".k2.
std::string key_matches(const TableShape &shape, const std::string &alias, const std::string &key_alias);

}  // namespace backfill
