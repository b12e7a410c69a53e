// The catalogs of foreign servers are read as the extension, since options of a mapping are shown to nobody else; who may
// make use of them is decided by the rules of postgres_fdw.
#include "pg/foreign_server.hpp"

#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "core/sql_text.hpp"
#include "pg/role.hpp"

namespace backfill::pg {

namespace {

constexpr char server_sql[] = R"(
  SELECT s.oid, w.fdwname, has_server_privilege($2::oid, s.oid, 'USAGE') AS usable,
         (SELECT rolsuper FROM pg_roles WHERE oid = $2::oid) AS super,
         (SELECT m.umid FROM pg_user_mappings m WHERE m.srvid = s.oid AND m.umuser IN ($2::oid, 0)
          ORDER BY m.umuser = 0 LIMIT 1) AS mapping
  FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
  WHERE s.srvname = $1::name)";

constexpr char options_sql[] = R"(
  SELECT o.option_name, o.option_value
  FROM (SELECT 1 AS n, srvoptions AS options FROM pg_foreign_server WHERE oid = $1::oid
        UNION ALL SELECT 2, umoptions FROM pg_user_mapping WHERE oid = $2::oid) AS x,
       LATERAL pg_options_to_table(x.options) AS o
  ORDER BY x.n, o.option_name)";

// What postgres_fdw keeps for itself; everything else is libpq's.  The encoding is ours to set.
bool is_of_libpq(const std::string &option) {
  constexpr std::array own = {"use_remote_estimate",
                              "fdw_startup_cost",
                              "fdw_tuple_cost",
                              "extensions",
                              "updatable",
                              "truncatable",
                              "fetch_size",
                              "batch_size",
                              "async_capable",
                              "keep_connections",
                              "password_required",
                              "parallel_commit",
                              "parallel_abort",
                              "analyze_sampling",
                              "use_scram_passthrough",
                              "client_encoding",
                              "fallback_application_name",
                              "schema_name",
                              "table_name",
                              "column_name"};
  return std::find(own.begin(), own.end(), option) == own.end();
}

void require_usable(const std::string &name, Oid role, const Result &found) {
  if (found.empty())
    throw Error(
        sqlstate::undefined_object, "server \"" + name + "\" does not exist",
        "read_from names a foreign server of postgres_fdw that leads to a standby of this server.",
        "CREATE SERVER " + quote_ident(name) + " FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host …, dbname …);");
  if (found[0].text("fdwname") != "postgres_fdw")
    throw Error(sqlstate::wrong_object_type, "server \"" + name + "\" is not a server of postgres_fdw",
                "It belongs to foreign data wrapper \"" + found[0].text("fdwname") + "\".",
                "Name a server that was created FOREIGN DATA WRAPPER postgres_fdw.");
  if (!found[0].boolean("usable"))
    throw Error(sqlstate::insufficient_privilege, "permission denied for foreign server " + name,
                "The work runs as the table's owner, role \"" + role_name(role) + "\".",
                "GRANT USAGE ON FOREIGN SERVER " + quote_ident(name) + " TO " + quote_ident(role_name(role)) + ";");
  if (found[0].oid("mapping") == 0)
    throw Error(sqlstate::undefined_object, "user mapping not found for \"" + role_name(role) + "\"",
                "The work runs as the table's owner, who needs a mapping to server \"" + name + "\".",
                "CREATE USER MAPPING FOR " + quote_ident(role_name(role)) + " SERVER " + quote_ident(name) +
                    " OPTIONS (user …, password …);");
}

}  // namespace

ForeignServer find_foreign_server(const std::string &name, Oid role) {
  return as_extension([&] {
    Result const found = execute(server_sql, {name, Param::oid(role)});
    require_usable(name, role, found);
    ForeignServer server;
    server.name = name;
    bool password = false, required = true;
    Result const options = execute(options_sql, {Param::oid(found[0].oid("oid")), Param::oid(found[0].oid("mapping"))});
    for (const Row &option : options) {
      std::string const keyword = option.text("option_name"), value = option.text("option_value");
      if (keyword == "password_required") required = query_boolean("SELECT $1::boolean", {value});
      if (keyword == "password" && !value.empty()) password = true;
      if (keyword == "user") server.user = value;
      if (is_of_libpq(keyword)) server.options.emplace_back(keyword, value);
    }
    server.needs_password = required && !found[0].boolean("super");
    if (server.needs_password && !password)
      throw Error("2F003", "password is required",
                  "Role \"" + role_name(role) + "\" is no superuser: it must not connect to server \"" + name +
                      "\" as somebody else on the strength of who runs this server.",
                  "Give the password in the user mapping: ALTER USER MAPPING FOR " + quote_ident(role_name(role)) +
                      " SERVER " + quote_ident(name) + " OPTIONS (ADD password …);");
    return server;
  });
}

}  // namespace backfill::pg
