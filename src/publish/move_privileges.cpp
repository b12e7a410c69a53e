// Privileges of the table and of its columns: what was granted or revoked since the shadow got them holds as well.
#include "core/sql_text.hpp"
#include "pg/role.hpp"
#include "publish/movers.hpp"

namespace backfill {

namespace {

std::string grantee_sql(const pg::Row &row) {
  return row.oid("grantee") == 0 ? "PUBLIC" : quote_ident(row.text("role"));
}

// One row a privilege granted, `acl` an expression over one row of `source`; NULL acls mean the default of the kind.
pg::Result privileges(const std::string &acl, const std::string &source, Oid relation) {
  return pg::execute("SELECT x.grantee, pg_get_userbyid(x.grantee) AS role, x.privilege_type, x.is_grantable FROM " +
                         source + ", aclexplode(" + acl + ") AS x ORDER BY x.grantee, x.privilege_type",
                     {pg::Param::oid(relation)});
}

constexpr char relation_acl[] = "coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))";
constexpr char relation_source[] = "(SELECT * FROM pg_class WHERE oid = $1) AS c";

bool same(const pg::Result &one, const pg::Result &other) { return one.values == other.values; }

void exchange(const pg::Result &has, const pg::Result &shall, const std::string &columns, const std::string &object,
              std::vector<std::string> &sql) {
  if (same(has, shall)) return;
  std::string last;
  for (const pg::Row &row : has) {
    std::string const grantee = grantee_sql(row);
    if (grantee != last) sql.push_back("REVOKE ALL" + columns + " ON " + object + " FROM " + grantee + " CASCADE");
    last = grantee;
  }
  for (const pg::Row &row : shall)
    sql.push_back("GRANT " + row.text("privilege_type") + columns + " ON " + object + " TO " + grantee_sql(row) +
                  (row.boolean("is_grantable") ? " WITH GRANT OPTION" : ""));
}

}  // namespace

std::vector<std::string> privilege_statements(Oid from, Oid of_to, const std::string &object, const std::string &to) {
  std::vector<std::string> sql;
  exchange(privileges(relation_acl, relation_source, of_to), privileges(relation_acl, relation_source, from), "",
           object + " " + to, sql);
  return sql;
}

std::vector<std::string> move_privileges(const Swap &swap) {
  std::vector<std::string> sql = privilege_statements(swap.out, swap.in, "TABLE", swap.target_sql());
  for (const pg::Row &column : pg::execute(
           "SELECT o.attname FROM pg_attribute o JOIN pg_attribute i ON i.attrelid = $2 AND i.attname = o.attname"
           " WHERE o.attrelid = $1 AND o.attnum > 0 AND NOT o.attisdropped AND NOT i.attisdropped"
           " AND (o.attacl IS NOT NULL OR i.attacl IS NOT NULL)",
           {pg::Param::oid(swap.out), pg::Param::oid(swap.in)})) {
    std::string const name = column.text("attname");
    std::string const source = "(SELECT * FROM pg_attribute WHERE attrelid = $1 AND attname = " + quote_literal(name) + ") AS a";
    exchange(privileges("a.attacl", source, swap.in), privileges("a.attacl", source, swap.out),
             " (" + quote_ident(name) + ")", "TABLE " + swap.target_sql(), sql);
  }
  return sql;
}

}  // namespace backfill
