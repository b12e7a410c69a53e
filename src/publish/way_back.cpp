// Three questions, cheapest first: are the columns of the old version still there, does anything need a column that it
// lacks, and have writers put values there?
#include "publish/way_back.hpp"

#include <algorithm>

#include "capture/log.hpp"
#include "core/joined.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "publish/preconditions.hpp"
#include "publish/service.hpp"
#include "publish/swap.hpp"

namespace backfill {

namespace {

Error refusal(const Job &job, const char *state, const std::string &why, const std::string &detail,
              const std::string &hint) {
  return Error(state, "backfill \"" + job.name + "\" cannot be rolled back: " + why, detail, hint);
}

bool named(const std::vector<std::string> &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A rollback would bring back what somebody dropped on purpose, or lose what is now written under another name.
void require_old_columns(const Job &job) {
  pg::Result const gone = pg::execute(
      "SELECT quote_ident(a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a"
      " WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (SELECT FROM pg_attribute l"
      "   WHERE l.attrelid = $2 AND l.attname = a.attname AND NOT l.attisdropped) ORDER BY a.attnum",
      {pg::Param::oid(job.archive), pg::Param::oid(job.live)});
  if (gone.empty()) return;
  std::vector<std::string> names, additions;
  for (const pg::Row row : gone) {
    names.push_back(row.text("name"));
    additions.push_back("ADD COLUMN " + row.text("name") + " " + row.text("type"));
  }
  throw refusal(job, sqlstate::object_not_in_prerequisite_state, "columns of the old version are gone",
                "Dropped or renamed since publish: " + joined(names, ", ") + ".",
                "Rename them back; or, to have their old values again, ALTER TABLE " +
                    display_name(job.target_schema, job.target_name) + " " + joined(additions, ", ") +
                    "; then roll back.");
}

// Indexes, constraints and defaults stay with the rejected version; a view that stays in service could not.
void require_unused(const Job &job, const std::vector<UnplacedColumn> &columns) {
  std::vector<std::string> numbers;
  for (const UnplacedColumn &column : columns) numbers.push_back(std::to_string(column.attnum));
  std::vector<std::string> uses;
  for (const pg::Row row : pg::execute(
           "SELECT DISTINCT a.attname, pg_describe_object(o.classid, o.objid, 0) AS object FROM pg_depend d"
           "  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
           "  LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid"
           "  CROSS JOIN LATERAL (SELECT CASE WHEN r.rulename = '_RETURN' THEN 'pg_class'::regclass ELSE d.classid END,"
           "                             CASE WHEN r.rulename = '_RETURN' THEN r.ev_class ELSE d.objid END)"
           "    AS o(classid, objid)"
           " WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = ANY ($2::int[])"
           "   AND d.classid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass,"
           "                         'pg_statistic_ext'::regclass) ORDER BY 1, 2",
           {pg::Param::oid(job.live), numbers}))
    uses.push_back(row.text("object") + " uses " + row.text("attname"));
  if (uses.empty()) return;
  throw refusal(job, sqlstate::dependent_objects_still_exist, "columns that the old version does not have are in use",
                joined(uses, "\n"), "Drop these objects; create them anew when the backfill is published again.");
}

std::string place_for(const Job &job, const std::vector<Unplaced> &unplaced) {
  std::vector<std::string> additions;
  for (const Unplaced &one : unplaced)
    additions.push_back("ADD COLUMN " + quote_ident(one.column.name) + " " + one.column.type);
  return "ALTER TABLE " + display_name(job.target_schema, job.archive_name) + " " + joined(additions, ", ") + ";";
}

// A column of live whose type is another than in the old version.
struct Retyped {
  std::string name, type, old_type;
};

std::vector<Retyped> retyped_columns(const Job &job) {
  pg::Result const rows = pg::as_extension([&] {
    return pg::execute(
        "SELECT l.attname, format_type(l.atttypid, l.atttypmod) AS type, format_type(a.atttypid, a.atttypmod) AS "
        "old_type"
        "  FROM pg_attribute l JOIN pg_attribute a ON a.attrelid = $2 AND a.attname = l.attname AND NOT a.attisdropped"
        " WHERE l.attrelid = $1 AND l.attnum > 0 AND NOT l.attisdropped AND a.attgenerated = ''"
        "   AND (l.atttypid, l.atttypmod) <> (a.atttypid, a.atttypmod) ORDER BY l.attnum",
        {pg::Param::oid(job.live), pg::Param::oid(job.archive)});
  });
  std::vector<Retyped> columns;
  for (const pg::Row row : rows) columns.push_back({row.text("attname"), row.text("type"), row.text("old_type")});
  return columns;
}

// Which of the rows that wait to be carried have values that a type does not take: found by halves, since a conversion
// that fails says no more than that.
class Misfits {
 public:
  Misfits(const Job &job, const TableShape &shape) : job_(job), shape_(shape), key_(read_key(job, job.live)) {
    std::string const k = key_list(key_.size(), "k");
    pg::Result const rows = pg::as_extension(
        [&] { return pg::execute("SELECT DISTINCT " + k + " FROM " + reverse_log_name(job) + " WHERE op <> 't'"); });
    for (const auto &values : rows.values) {
      keys_.emplace_back();
      for (const auto &value : values) keys_.back().push_back(value.value_or(""));
    }
  }

  std::int64_t count(const Retyped &column) { return count(column, 0, keys_.size(), most); }
  static constexpr std::int64_t most = 100;  // worth finding

 private:
  std::int64_t count(const Retyped &column, std::size_t from, std::size_t to, std::int64_t enough) {
    if (from == to || enough <= 0 || fit(column, from, to)) return 0;
    if (to - from == 1) return 1;
    std::size_t const middle = from + (to - from) / 2;
    std::int64_t const found = count(column, from, middle, enough);
    return found + count(column, middle, to, enough - found);
  }

  // By the type's input function, which minds length and precision as an assignment does.
  bool fit(const Retyped &column, std::size_t from, std::size_t to) {
    auto const at = [&](std::size_t n) { return keys_.begin() + static_cast<std::ptrdiff_t>(n); };
    std::vector<pg::Param> const params = key_params({at(from), at(to)}, key_.size());
    try {
      pg::subtransaction([&] {
        as_job_owner(job_, [&] {
          pg::execute("SELECT count(pg_catalog.jsonb_populate_record(NULL::" +
                          qualified(job_.target_schema, job_.archive_name) + ", pg_catalog.jsonb_build_object(" +
                          quote_literal(column.name) + ", l." + quote_ident(column.name) +
                          "::pg_catalog.text))) FROM " + keys_item(key_) + " JOIN ONLY " +
                          qualified(shape_.schema, shape_.table) + " AS l ON " + key_matches(shape_, "l", "k"),
                      params);
        });
      });
      return true;
    } catch (const Error &failure) {
      if (failure.sqlstate.compare(0, 2, "22") != 0) throw;
      return false;
    }
  }

  const Job &job_;
  const TableShape &shape_;
  std::vector<KeyColumn> key_;
  std::vector<KeyText> keys_;
};

// Why it cannot be rolled back just now, in one line; nothing where it can be.
std::optional<std::string> find_problem(const Job &job) {
  try {
    pg::subtransaction([&] { service_of(job).require_way_back(job); });
    return std::nullopt;
  } catch (const Error &failure) {
    if (failure.sqlstate.compare(0, 2, "57") == 0) throw;
    return std::string(failure.what()) + (failure.detail.empty() ? "" : ": " + failure.detail);
  }
}

}  // namespace

std::vector<Unplaced> find_unplaced(const Job &job, const TableShape &shape) {
  std::vector<UnplacedColumn> const columns = unplaced_columns(job);
  std::vector<std::int64_t> const rows = count_unplaced(job, shape, columns);
  std::vector<Unplaced> found;
  for (std::size_t i = 0; i < columns.size(); i++) found.push_back({columns[i], rows[i]});
  return found;
}

std::string describe(const std::vector<Unplaced> &unplaced) {
  std::vector<std::string> parts;
  for (const Unplaced &one : unplaced)
    parts.push_back(one.column.name + (one.column.by_backfill ? "" : " (added since publish)") + " in " +
                    std::to_string(one.rows) + (one.rows == 1 ? " row" : " rows"));
  return joined(parts, ", ");
}

std::string discarding_call(const Job &job, const std::vector<Unplaced> &unplaced) {
  std::vector<std::string> names;
  for (const Unplaced &one : unplaced) names.push_back(quote_literal(one.column.name));
  return "SELECT backfill_rollback(" + quote_literal(job.name) + ", discard => ARRAY[" + joined(names, ", ") + "]);";
}

void require_archive(const Job &job) {
  pg::Result const found = pg::as_extension([&] {
    return pg::execute(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name, n.nspname = $2 AND c.relname = $3 AS same"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
        {pg::Param::oid(job.archive), job.target_schema, job.archive_name});
  });
  std::string const expected = display_name(job.target_schema, job.archive_name);
  if (!found.empty() && !relation_exists(job.live))
    throw refusal(
        job, sqlstate::undefined_table,
        "table " + display_name(job.target_schema, job.target_name) + " no longer exists",
        "It was dropped since publish. The old version is still there, as " + found[0].text("name") +
            ", without what was written since.",
        "SELECT backfill_finish(" + quote_literal(job.name) + "); keeps it, as an ordinary table: rename it.");
  if (found.empty())
    throw refusal(job, sqlstate::undefined_table, "table " + expected + " no longer exists",
                  "It was the old version; somebody dropped it, and there is no way back.",
                  "Keep the new version with SELECT backfill_finish(" + quote_literal(job.name) + ");");
  if (!found[0].boolean("same"))
    throw refusal(job, sqlstate::object_not_in_prerequisite_state, "the old version has another name",
                  "It was " + expected + " and is " + found[0].text("name") + " now.",
                  "Give it its name and schema back with ALTER TABLE, and roll back again.");
}

void require_placeable(const Job &job, const std::vector<std::string> &discard) {
  std::vector<UnplacedColumn> const columns = unplaced_columns(job);
  for (const std::string &name : discard) {
    bool const lacks =
        std::any_of(columns.begin(), columns.end(), [&](const UnplacedColumn &column) { return column.name == name; });
    if (lacks) continue;
    std::vector<std::string> choice;
    for (const UnplacedColumn &column : columns) choice.push_back(column.name);
    throw Error(sqlstate::invalid_parameter_value, "there is nothing to discard of column \"" + name + "\"",
                choice.empty() ? "The old version has all columns of the table."
                               : "Columns that the old version does not have: " + joined(choice, ", ") + ".",
                "Leave it out of discard.");
  }
  pg::as_extension([&] {
    require_old_columns(job);
    require_unused(job, columns);
  });
}

std::vector<Unplaced> require_placed(const Job &job, const TableShape &shape, const std::vector<std::string> &discard) {
  std::vector<Unplaced> left, all;
  for (const Unplaced &one : find_unplaced(job, shape)) {
    if (!one.matters()) continue;
    all.push_back(one);
    if (!named(discard, one.column.name)) left.push_back(one);
  }
  if (left.empty()) return all;
  throw refusal(job, sqlstate::object_not_in_prerequisite_state,
                "the old version has no place for what was written since publish",
                "Values of writers in columns it does not have: " + describe(left) + ".",
                "Make a place for them with " + place_for(job, left) + " and roll back again; or give them up with " +
                    discarding_call(job, all));
}

Error explain_refusal(const Job &job, const TableShape &shape, const Error &failure) {
  if (failure.sqlstate.compare(0, 2, "22") != 0) return failure;
  std::vector<std::string> lines, changes;
  Misfits misfits(job, shape);
  for (const Retyped &column : retyped_columns(job)) {
    std::int64_t const rows = misfits.count(column);
    if (rows == 0) continue;
    lines.push_back("Column " + column.name + " is " + column.type + " now and " + column.old_type +
                    " in the old version: " + (rows >= Misfits::most ? "at least " : "") + std::to_string(rows) +
                    (rows == 1 ? " row has a value" : " rows have values") + " it does not take.");
    changes.push_back("ALTER COLUMN " + quote_ident(column.name) + " TYPE " + column.type);
  }
  if (lines.empty()) return failure;
  return refusal(
      job, failure.sqlstate.c_str(), "the old version cannot hold values written since publish", joined(lines, "\n"),
      "Change these values; or make room with ALTER TABLE " + display_name(job.target_schema, job.archive_name) + " " +
          joined(changes, ", ") + "; and roll back again.");
}

void require_way_back_by_swap(const Job &job) {
  require_archive(job);
  require_placeable(job, {});
  require_undoable(job);
  (void)require_placed(job, read_shape(job), {});
}

std::vector<std::vector<std::optional<std::string>>> look_back(int id) {
  Oid const caller = pg::current_role();
  std::optional<Job> const job = load_job(id);
  if (!job || job->state != "published" || job->home != this_home() || !may_see(caller, *job)) return {};
  std::vector<std::optional<std::string>> row(5);
  if (relation_exists(job->live) && relation_exists(job->archive)) {
    try {
      Carried const carried = pg::subtransaction([&] { return count_carried(*job, read_shape(*job)); });
      row[0] = std::to_string(carried.inserted);
      if (!carried.truncated) row[1] = std::to_string(carried.updated), row[2] = std::to_string(carried.deleted);
    } catch (const Error &failure) {
      if (failure.sqlstate.compare(0, 2, "57") == 0) throw;
    }
  }
  row[3] = find_problem(*job);
  if (!row[3]) row[4] = "SELECT backfill_rollback(" + quote_literal(job->name) + ");";
  return {row};
}

}  // namespace backfill
