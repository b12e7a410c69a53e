// Sequences.  A serial column's goes on: only OWNED BY moves, so that dropping the old version never drops it.  An
// identity column's is part of its table: the twin carries on from the same value, under the same name, with the same
// parameters and comment.
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

constexpr char serial[] = "a", identity[] = "i";  // pg_depend.deptype

// Sequences bound to columns of a table.
pg::Result sequences_of(Oid table, const char *deptype) {
  return pg::execute(
      "SELECT s.oid, n.nspname, s.relname, a.attname, q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache,"
      " q.seqcycle, format_type(q.seqtypid, NULL) AS type, obj_description(s.oid, 'pg_class') AS comment"
      " FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = "
      "s.oid"
      " JOIN pg_namespace n ON n.oid = s.relnamespace"
      " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
      " WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
      " AND d.deptype = $2::\"char\" AND d.objsubid = 0 ORDER BY s.relname COLLATE \"C\"",
      {pg::Param::oid(table), deptype});
}

bool has_column(Oid table, const std::string &column) {
  return pg::query_boolean(
      "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1 AND attname = $2 AND attnum > 0)",
      {pg::Param::oid(table), column});
}

std::string sql_name(const pg::Row &row) { return qualified(row.text("nspname"), row.text("relname")); }

std::string parameters(const pg::Row &row) {
  return " AS " + row.text("type") + " INCREMENT BY " + row.text("seqincrement") + " MINVALUE " + row.text("seqmin") +
         " MAXVALUE " + row.text("seqmax") + " START WITH " + row.text("seqstart") + " CACHE " + row.text("seqcache") +
         (row.boolean("seqcycle") ? " CYCLE" : " NO CYCLE");
}

// Where the sequence stands when this is run: nobody draws from it then, since both tables and both sequences are locked.
std::string carry_value(const std::string &from, Oid to) {
  return "SELECT setval(" + std::to_string(to) + "::oid::regclass, last_value, is_called) FROM " + from;
}

void move_identity(const Swap &swap, const pg::Row &old, const pg::Row &twin, std::vector<std::string> &retire,
                   std::vector<std::string> &enter) {
  std::string const name = old.text("relname");
  std::string const in_service = sql_name(old);
  if (parameters(old) != parameters(twin)) enter.push_back("ALTER SEQUENCE " + sql_name(twin) + parameters(old));
  enter.push_back(carry_value(qualified(old.text("nspname"), swap.retired_name(name)), twin.oid("oid")));
  retire.push_back("ALTER SEQUENCE " + in_service + " RENAME TO " + quote_ident(swap.retired_name(name)));
  enter.push_back("ALTER SEQUENCE " + sql_name(twin) + " RENAME TO " + quote_ident(name));
  if (old.get("comment") != twin.get("comment"))
    enter.push_back("COMMENT ON SEQUENCE " + in_service + " IS " +
                    (old.null("comment") ? std::string("NULL") : quote_literal(old.text("comment"))));
}

}  // namespace

std::vector<LockRequest> sequence_locks(const Swap &swap) {
  std::vector<LockRequest> locks;
  for (Oid const table : {swap.out, swap.in}) {
    for (const pg::Row &row : sequences_of(table, serial))
      locks.push_back({row.oid("oid"), pg::LockMode::share_row_exclusive});
    for (const pg::Row &row : sequences_of(table, identity))
      locks.push_back({row.oid("oid"), pg::LockMode::access_exclusive});
  }
  return locks;
}

std::vector<std::pair<Oid, Oid>> identity_twins(const Swap &swap) {
  std::vector<std::pair<Oid, Oid>> pairs;
  pg::Result const twins = sequences_of(swap.in, identity);
  for (const pg::Row &old : sequences_of(swap.out, identity))
    for (const pg::Row &twin : twins)
      if (twin.text("attname") == old.text("attname")) pairs.emplace_back(old.oid("oid"), twin.oid("oid"));
  return pairs;
}

std::vector<std::string> move_sequences(const Swap &swap) {
  std::vector<std::string> retire, enter;
  for (const pg::Row &row : sequences_of(swap.out, serial)) {
    std::string const column = row.text("attname");
    if (has_column(swap.in, column))
      enter.push_back("ALTER SEQUENCE " + sql_name(row) + " OWNED BY " + swap.target_sql() + "." + quote_ident(column));
  }
  pg::Result const twins = sequences_of(swap.in, identity);
  for (const pg::Row &old : sequences_of(swap.out, identity))
    for (const pg::Row &twin : twins)
      if (twin.text("attname") == old.text("attname")) move_identity(swap, old, twin, retire, enter);
  retire.insert(retire.end(), enter.begin(), enter.end());
  return retire;
}

}  // namespace backfill
