// Indexes, and with them the constraints they carry: the twin on the table that enters service takes the name.
//
// Renaming an index of a constraint renames the constraint.
#include <set>

#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

pg::Result indexes_of(Oid table) {
  return pg::execute(
      "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
      " WHERE i.indrelid = $1 ORDER BY c.relname COLLATE \"C\"",
      {pg::Param::oid(table)});
}

bool has(const pg::Result &indexes, const std::string &name) {
  for (const pg::Row &row : indexes)
    if (row.text("relname") == name) return true;
  return false;
}

std::string rename(const Swap &swap, const std::string &from, const std::string &to) {
  return "ALTER INDEX " + qualified(swap.schema, from) + " RENAME TO " + quote_ident(to);
}

// An index that was created on the new version after a publish and went with it when that was rolled back: its own name,
// where that was not cut and is free.  Empty for any other.
std::string former_name(const Swap &swap, const std::string &name) {
  std::string const ending = swap.waiting_name("");
  if (name.size() <= ending.size() || !name.ends_with(ending)) return {};
  std::string const former = name.substr(0, name.size() - ending.size());
  if (swap.waiting_name(former) != name) return {};
  bool const taken = pg::query_boolean(
      "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND c.relname = $2)",
      {swap.schema, former});
  return taken ? std::string() : former;
}

}  // namespace

std::vector<std::string> move_indexes(const Swap &swap) {
  std::vector<std::string> retire, enter;
  std::set<std::string> paired;
  pg::Result const twins = indexes_of(swap.in);
  for (const pg::Row &row : indexes_of(swap.out)) {
    std::string const name = row.text("relname");
    std::string const twin = swap.waiting_name(name);
    retire.push_back(rename(swap, name, swap.retired_name(name)));
    if (has(twins, twin)) {
      enter.push_back(rename(swap, twin, name));
      paired.insert(twin);
    } else if (swap.forward && row.boolean("indisvalid")) {
      throw Error(
          sqlstate::object_not_in_prerequisite_state,
          "index " + display_name(swap.schema, name) + " has no counterpart on the new version",
          "It was created after the backfill had been planned.",
          "Drop it and create it again after the backfill was published, or cancel the backfill and plan it anew.");
    }
  }
  for (const pg::Row &row : twins) {
    std::string const former =
        swap.forward && paired.count(row.text("relname")) == 0 ? former_name(swap, row.text("relname")) : std::string();
    if (!former.empty()) enter.push_back(rename(swap, row.text("relname"), former));
  }
  retire.insert(retire.end(), enter.begin(), enter.end());
  return retire;
}

}  // namespace backfill
