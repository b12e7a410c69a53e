#include "catalog/difference.hpp"

#include <charconv>
#include <iterator>

#include "core/node.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

std::string number_text(double value) {
  char text[32];
  auto const end = std::to_chars(std::begin(text), std::end(text), value);
  return std::string(std::begin(text), end.ptr);
}

std::string json_of(const ColumnDifference &column) {
  std::string json = "{\"name\": " + json_quote(column.name) + ", \"changed\": " + std::to_string(column.changed) +
                     ", \"emptied\": " + std::to_string(column.emptied) +
                     ", \"filled\": " + std::to_string(column.filled);
  if (column.shift) {
    ColumnDifference::Shift const &shift = *column.shift;
    json += ", \"shift\": {\"unit\": " + std::string(shift.seconds ? "\"s\"" : "null") +
            ", \"values\": " + std::to_string(shift.values) + ", \"mean\": " + number_text(shift.mean) +
            ", \"p50\": " + number_text(shift.p50) + ", \"p95\": " + number_text(shift.p95) +
            ", \"max\": " + number_text(shift.max) + ", \"net\": " + number_text(shift.net) + "}";
  }
  return json + "}";
}

ColumnDifference read_column(const pg::Row &row) {
  ColumnDifference column{row.text("name"), row.integer("changed"), row.integer("emptied"), row.integer("filled"), {}};
  if (!row.null("mean"))
    column.shift = {row.integer("values"), row.number("mean"), row.number("p50"),     row.number("p95"),
                    row.number("max"),     row.number("net"),  row.boolean("seconds")};
  return column;
}

}  // namespace

void store_difference(int job, const Difference &difference) {
  if (pg::setting("transaction_read_only") == "on") return;
  std::string const by = pg::role_name(pg::session_role());
  pg::as_extension([&] {
    std::string columns;
    for (const ColumnDifference &column : difference.columns)
      columns += (columns.empty() ? "" : ", ") + json_of(column);
    pg::execute(
        "INSERT INTO backfill.difference (job_id, audit, published, added, removed, changed, unchanged, pending, "
        "columns,"
        " at, by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10::text::timestamptz, $11)"
        " ON CONFLICT (job_id) DO UPDATE SET audit = excluded.audit, published = excluded.published,"
        " added = excluded.added, removed = excluded.removed, changed = excluded.changed,"
        " unchanged = excluded.unchanged, pending = excluded.pending, columns = excluded.columns, at = excluded.at,"
        " by = excluded.by",
        {job, difference.audit, difference.published, static_cast<long long>(difference.added),
         static_cast<long long>(difference.removed), static_cast<long long>(difference.changed),
         static_cast<long long>(difference.unchanged), static_cast<long long>(difference.pending), "[" + columns + "]",
         difference.at, by});
  });
}

std::optional<Difference> load_difference(int job) {
  return pg::as_extension([&]() -> std::optional<Difference> {
    pg::Result const found = pg::execute(
        "SELECT d.*, to_char(d.at, 'YYYY-MM-DD HH24:MI:SS TZ') AS at_text FROM backfill.difference d WHERE job_id = $1",
        {job});
    if (found.empty()) return std::nullopt;
    pg::Row const row = found[0];
    Difference difference;
    difference.audit = static_cast<int>(row.integer("audit"));
    difference.published = row.boolean("published");
    difference.added = row.integer("added");
    difference.removed = row.integer("removed");
    difference.changed = row.integer("changed");
    difference.unchanged = row.integer("unchanged");
    difference.pending = row.integer("pending");
    difference.at = row.text("at_text");
    difference.by = row.text("by");
    pg::Result const columns = pg::execute(
        "SELECT c.name, c.changed, c.emptied, c.filled, c.shift ->> 'unit' IS NOT NULL AS seconds, s.*"
        " FROM backfill.difference d CROSS JOIN LATERAL jsonb_to_recordset(d.columns)"
        "   AS c(name text, changed bigint, emptied bigint, filled bigint, shift jsonb)"
        " CROSS JOIN LATERAL jsonb_to_record(coalesce(c.shift, '{}'))"
        "   AS s(values bigint, mean float8, p50 float8, p95 float8, max float8, net float8) WHERE d.job_id = $1",
        {job});
    for (const pg::Row &column : columns) difference.columns.push_back(read_column(column));
    return difference;
  });
}

}  // namespace backfill
