// The server and its mapping are looked up as they will be at the run; the tables that the transform reads come from its
// plan, views looked through.
#include "plan/read_from.hpp"

#include "core/sql_text.hpp"
#include "core/units.hpp"
#include "pg/foreign_server.hpp"
#include "pg/parse.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// Unlogged tables are empty on a standby, temporary ones are not there.
void require_replicated(const std::vector<Oid> &relations) {
  for (const Oid relation : relations) {
    pg::Result const found = pg::as_extension([&] {
      return pg::execute(
          "SELECT relation::regclass AS name, relpersistence FROM (SELECT oid AS relation, relpersistence"
          " FROM pg_class WHERE oid = $1 AND relpersistence <> 'p') AS x",
          {pg::Param::oid(relation)});
    });
    if (found.empty()) continue;
    bool const unlogged = found[0].text("relpersistence") == "u";
    throw Error(sqlstate::feature_not_supported,
                "the transform reads " + found[0].text("name") + ", which a replica does not have",
                unlogged ? "An unlogged table is empty on a standby." : "A temporary table belongs to one session.",
                unlogged ? "ALTER TABLE … SET LOGGED, or leave read_from out."
                         : "Make it an ordinary table, or leave read_from out.");
  }
}

// Rows outside of their chunk are told by the chunk column as it arrives.
void require_arriving_chunk_column(const Target &target, const Spec &spec) {
  if (!uses_placeholder(spec.transform.query, "chunk_start")) return;
  const Column *const column = target.find_column(spec.scope.column);
  if (column == nullptr || !column->generated) return;
  throw Error(sqlstate::feature_not_supported,
              "chunk column \"" + column->name + "\" is generated, and the query restricts itself to its chunk",
              "Whether a row that a replica sends is in its chunk is not known until it is stored.",
              "Leave :chunk_start and :chunk_stop out of the query, or leave read_from out.");
}

std::string address(const pg::ForeignServer &server) {
  std::string text;
  for (const auto &[keyword, value] : server.options)
    if (keyword == "host" || keyword == "hostaddr" || keyword == "port" || keyword == "dbname")
      text += (text.empty() ? "" : " ") + keyword + "=" + value;
  return text;
}

}  // namespace

std::vector<std::string> check_read_from(const Target &target, const Spec &spec, const TransformFacts &transform,
                                         const std::string &search_path) {
  const ReadFrom &read_from = spec.read_from;
  if (read_from.server.empty()) return {};
  pg::ForeignServer const server = pg::find_foreign_server(read_from.server, target.owner);
  require_replicated(pg::as_owner(
      target.owner, [&] { return pg::relations_read(transform.probe); }, search_path));
  require_arriving_chunk_column(target, spec);
  std::string const who = server.user.empty() ? "" : ", as " + quote_ident(server.user);
  std::string const lag =
      read_from.max_lag ? " or more than " + format_duration(static_cast<double>(*read_from.max_lag) / 1000) + " behind"
                        : "";
  return {
      "chunks on replica " + quote_ident(server.name) + " (" + address(server) + ")" + who +
          "; changes and checks on this server",
      "while it cannot be read" + lag + ", the work waits" +
          (read_from.falls_back ? ", after " + format_duration(static_cast<double>(read_from.fallback_after) / 1000) +
                                      " it reads on this server"
                                : "")};
}

}  // namespace backfill
