// The SELECTs that turn live rows into shadow rows.  The copy, the drain, the re-run of a chunk, the diff and the
// proof all take their SQL from here.
//
// The live row is visible under the target's own name (the FROM item is `schema.table AS table`).  All statements
// yield exactly the shadow's insertable columns (generated ones left out), in shadow_columns() order, under those
// names.  Boundaries are written as typed literals.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

// What the SQL is made of; read once per worker and step from the job and the server's catalog.
struct TableShape {
  struct Column {
    std::string name, type;   // format_type text
    std::string collation;    // schema-qualified and quoted, "" for the type's default
    std::string default_sql;  // of an added column; "" where none
    bool generated = false;   // stored generated: computed by the server
    bool added = false;       // by this job's transform
  };
  std::string schema, table;  // of live, unquoted
  std::vector<Column> columns;               // of the shadow, in order
  std::vector<Column> key;
  std::string chunk_column, chunk_type;      // "" when there is none
};
TableShape read_shape(const Job &job);

std::vector<std::string> shadow_columns(const TableShape &shape);  // insertable, unquoted

// A condition on the live row: is it in scope?  Never null.  "true" where the job has no scope at all and `set` applies
// to every row.
std::string in_scope_sql(const Job &job, const TableShape &shape);

// Rows of one range chunk [lo, hi) through the transform (`set`, or `query` with its placeholders filled in).
std::string transformed_range(const Job &job, const TableShape &shape, int chunk, const std::string &lo, const std::string &hi);

// Rows of blocks [lo, hi) of live: out of scope verbatim; where `whole` (no index on the chunk column, `set` only) those
// in scope through the transform as well.  hi null: to the end.
std::string block_rows(const Job &job, const TableShape &shape, int chunk, long long lo, std::optional<long long> hi, bool whole);

// What the live rows with these keys look like now in the shadow, in scope and out of it.  `keys` is a FROM item with
// alias and columns k1, k2 … of the key's types (unnest(…) AS k(k1, k2), a log table …).  The result is UNION ALL of
// disjoint parts.
std::string rows_for_keys(const Job &job, const TableShape &shape, const std::string &keys);

// live, transformed, in full or only its out-of-scope part, for audit: every shadow row there should be, with an
// optional extra condition on the *output* columns.
std::string whole_image(const Job &job, const TableShape &shape, bool in_scope, bool out_of_scope);

// Equality of two aliases' keys, by the index's semantics: "s.a = k.k1 AND s.b = k.k2".
std::string key_matches(const TableShape &shape, const std::string &alias, const std::string &key_alias);

}  // namespace backfill
