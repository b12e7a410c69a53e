#include "capture/log.hpp"

#include "core/error.hpp"
#include "pg/role.hpp"

namespace backfill {

std::vector<KeyColumn> read_key(const Job &job, Oid table) {
  pg::Result const result = pg::as_extension([&] {
    return pg::execute(
        "WITH RECURSIVE base AS ("
        "  SELECT k.ord, a.attname, a.attnum, a.atttypid AS type, a.attcollation AS collation"
        "    FROM unnest($2) WITH ORDINALITY AS k(name, ord)"
        "    JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped"
        "  UNION ALL"
        "  SELECT b.ord, b.attname, b.attnum, t.typbasetype, b.collation"
        "    FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd') "
        "SELECT b.attname, b.attnum, format_type(b.type, -1) AS type,"
        "       (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname)"
        "          FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace"
        "         WHERE c.oid = b.collation) AS collation,"
        "       t.typlen > 0 AND EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod"
        "                                 WHERE m.amname = 'btree' AND o.opcdefault AND o.opcintype = t.oid) AS sorts "
        "  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype <> 'd' ORDER BY b.ord",
        {pg::Param::oid(table), pg::Param(job.key)});
  });
  if (result.size() != job.key.size())
    throw Error(sqlstate::undefined_column, "a column of the key of backfill \"" + job.name + "\" no longer exists",
                "The key was " + std::to_string(job.key.size()) + " columns when the job was planned.",
                "Cancel the job and plan it again.");
  std::vector<KeyColumn> key;
  for (const auto row : result)
    key.push_back({row.text("attname"), static_cast<int>(row.integer("attnum")), row.text("type"),
                   row.text("collation"), row.boolean("sorts")});
  return key;
}

std::string log_name(const Job &job) { return "backfill.log_" + std::to_string(job.id); }
std::string reverse_log_name(const Job &job) { return "backfill.reverse_" + std::to_string(job.id); }

std::string key_list(std::size_t keys, const std::string &prefix) {
  std::string list;
  for (std::size_t i = 1; i <= keys; i++) list += (i > 1 ? ", " : "") + prefix + std::to_string(i);
  return list;
}

std::vector<pg::Param> key_params(const std::vector<KeyText> &keys, std::size_t columns) {
  std::vector<pg::Param> params;
  std::vector<std::string> values;
  for (std::size_t column = 0; column < columns; column++) {
    values.clear();
    values.reserve(keys.size());
    for (const KeyText &key : keys) values.push_back(key[column]);
    params.emplace_back(values);
  }
  return params;
}

std::string keys_item(const std::vector<KeyColumn> &key, int first, const std::string &alias) {
  std::string arrays, values, order;
  bool sorts = true;
  for (std::size_t i = 0; i < key.size(); i++) {
    std::string const name = "k" + std::to_string(i + 1), comma = i > 0 ? ", " : "";
    arrays += comma + "pg_catalog.unnest($" + std::to_string(first + static_cast<int>(i)) + ")";
    values += comma + "u." + name + "::" + key[i].type;
    if (!key[i].collation.empty()) values += " COLLATE " + key[i].collation;
    values += " AS " + name;
    sorts = sorts && key[i].sorts;
    if (sorts) order += (i > 0 ? ", " : " ORDER BY ") + name;
  }
  return "(SELECT DISTINCT " + values + " FROM ROWS FROM (" + arrays + ") AS u(" + key_list(key.size(), "k") + ")" +
         order + ") AS " + alias;
}

}  // namespace backfill
