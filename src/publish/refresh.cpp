// 1. Compute.  In place where the server can; else the twin: created empty as the view's owner's, filled by REFRESH (which
//    the server runs as the owner and writes so that older snapshots see the rows), its indexes built.  Then the twin
//    forgets its query: nothing depends on it, so it is in nobody's way, whatever becomes of it.
// 2. Put in place: ACCESS EXCLUSIVE on the view for a moment, in bounded tries; storage of table, TOAST table and indexes
//    changes places, the twin is dropped.
//
// The twin is entered in the step in the transaction that makes it, by an update that needs the step's token.  So when a
// swap (which replaces the steps) or the end of the job has taken the step away, either the twin is known to it or it will
// never have existed.
#include "publish/refresh.hpp"

#include <algorithm>

#include "copy/shadow.hpp"
#include "core/node.hpp"
#include "core/sql_text.hpp"
#include "pg/acl.hpp"
#include "pg/clone_index.hpp"
#include "pg/fault.hpp"
#include "pg/matview.hpp"
#include "pg/role.hpp"
#include "pg/transaction.hpp"
#include "publish/attempt.hpp"
#include "publish/downstream.hpp"
#include "publish/swap.hpp"

namespace backfill {

namespace {

struct Matview {
  Oid oid = 0;
  std::string schema, name, owner, access_method, tablespace, storage, definition;
  bool populated = false, keyed = false;
  std::string sql() const { return qualified(schema, name); }
};

Oid number(const std::string &params, const char *key) {
  Node const document = parse_document(params);
  const Node *const value = document.find(key);
  return value == nullptr ? 0 : static_cast<Oid>(value->integer());
}

// keyed: has an index that REFRESH … CONCURRENTLY takes.
std::optional<Matview> find_matview(Oid oid) {
  pg::Result const found = pg::execute(
      "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner) AS owner, a.amname, t.spcname, c.relispopulated,"
      " c.relfilenode, rtrim(pg_get_viewdef(c.oid), ';') AS definition,"
      " backfill.has_key(c.oid) AS keyed"
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam"
      " LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = $1 AND c.relkind = 'm'",
      {pg::Param::oid(oid)});
  if (found.empty()) return std::nullopt;
  pg::Row const row = found[0];
  return Matview{oid,
                 row.text("nspname"),
                 row.text("relname"),
                 row.text("owner"),
                 row.text("amname"),
                 row.text("spcname"),
                 row.text("relfilenode"),
                 row.text("definition"),
                 row.boolean("relispopulated"),
                 row.boolean("keyed")};
}

std::string listed(const std::string &sql, Oid relation) {
  return pg::query_value(sql, {pg::Param::oid(relation)}).value_or("");
}

// As its owner would: settings that may change what the query means are those of the session that planned.
void refresh(const Job &job, const std::string &how, const std::string &view) {
  pg::set_local("search_path", job.search_path);
  take_settings(job);
  pg::set_local("row_security", "on");
  pg::execute("REFRESH MATERIALIZED VIEW " + how + view);
  pg::set_local("row_security", "off");
  pg::set_local("search_path", "pg_catalog, pg_temp");
}

// ---- the twin ----

std::string creation_sql(const Matview &view, const std::string &twin) {
  std::string const columns = listed(
      "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1 AND attnum "
      "> 0",
      view.oid);
  std::string const options = listed(
      "SELECT string_agg(side.prefix || quote_ident(split_part(o, '=', 1)) || ' = ' ||"
      " quote_literal(substr(o, strpos(o, '=') + 1)), ', ')"
      " FROM (SELECT '' AS prefix, reloptions FROM pg_class WHERE oid = $1 UNION ALL"
      "   SELECT 'toast.', t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = $1)"
      " AS side, unnest(side.reloptions) AS o",
      view.oid);
  return "CREATE MATERIALIZED VIEW " + twin + (columns.empty() ? "" : " (" + columns + ")") + " USING " +
         quote_ident(view.access_method) + (options.empty() ? "" : " WITH (" + options + ")") +
         (view.tablespace.empty() ? "" : " TABLESPACE " + quote_ident(view.tablespace)) + " AS " + view.definition +
         " WITH NO DATA";
}

// What decides how a value is stored.
void copy_storage_settings(const Matview &view, Oid twin, const std::string &twin_sql) {
  for (const pg::Row &row : pg::execute(
           "SELECT v.attname, v.attstorage <> t.attstorage AS stored, v.attcompression <> t.attcompression AS "
           "compressed,"
           " CASE v.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END"
           "   AS storage,"
           " CASE v.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE 'default' END AS compression"
           " FROM pg_attribute v JOIN pg_attribute t ON t.attrelid = $2 AND t.attnum = v.attnum"
           " WHERE v.attrelid = $1 AND v.attnum > 0 ORDER BY v.attnum",
           {pg::Param::oid(view.oid), pg::Param::oid(twin)})) {
    std::string const column =
        "ALTER MATERIALIZED VIEW " + twin_sql + " ALTER COLUMN " + quote_ident(row.text("attname"));
    if (row.boolean("stored")) pg::execute(column + " SET STORAGE " + row.text("storage"));
    if (row.boolean("compressed")) pg::execute(column + " SET COMPRESSION " + row.text("compression"));
  }
}

struct Index {
  Oid oid;
  std::string name, about;
  bool valid;
};

// about: whatever must be equal for one's entries to serve as the other's.
std::vector<Index> indexes_of(Oid relation) {
  std::vector<Index> indexes;
  for (const pg::Row &row : pg::execute(
           "SELECT c.oid, c.relname, i.indisvalid, concat_ws('/', c.relam, c.reltablespace, c.reloptions, "
           "i.indnkeyatts,"
           " i.indisunique, i.indkey, i.indclass, i.indcollation, i.indoption, pg_get_expr(i.indexprs, i.indrelid),"
           " 'where', pg_get_expr(i.indpred, i.indrelid)) AS about"
           " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 ORDER BY c.relname",
           {pg::Param::oid(relation)}))
    indexes.push_back({row.oid("oid"), row.text("relname"), row.text("about"), row.boolean("indisvalid")});
  return indexes;
}

void build_indexes(const Job &job, const Matview &view, Oid twin) {
  for (const Index &index : indexes_of(view.oid)) {
    if (!index.valid)
      throw Error(sqlstate::object_not_in_prerequisite_state,
                  "index " + display_name(view.schema, index.name) + " of materialized view " +
                      display_name(view.schema, view.name) + " is invalid",
                  "It was left behind by a CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY that failed.",
                  "Drop it or REINDEX it, then run REFRESH MATERIALIZED VIEW " + view.sql() + ";");
    pg::set_local("search_path", job.search_path);
    pg::clone_index(index.oid, twin, shadow_index_name(job, index.name));
    pg::set_local("search_path", "pg_catalog, pg_temp");
  }
}

void forget_query(Oid twin) {
  pg::replace_query(twin,
                    "SELECT " +
                        listed("SELECT string_agg(format('NULL::%s AS %I', format_type(atttypid, atttypmod), attname),"
                               " ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1 AND attnum > 0",
                               twin) +
                        " WHERE false");
}

Oid build_twin(const Job &job, const Matview &view) {
  std::string const sql = qualified(view.schema, shadow_index_name(job, view.name));
  pg::execute(creation_sql(view, sql));
  Oid const twin = pg::execute("SELECT $1::regclass::oid AS oid", {sql}).only().oid("oid");
  pg::execute("COMMENT ON MATERIALIZED VIEW " + sql + " IS " +
              quote_literal("new contents for " + view.name + ", made by backfill " + std::to_string(job.id)));
  pg::execute("ALTER MATERIALIZED VIEW " + sql + " OWNER TO " + quote_ident(view.owner));
  pg::clear_privileges(twin);
  copy_storage_settings(view, twin, sql);
  refresh(job, "", sql);
  build_indexes(job, view, twin);
  forget_query(twin);
  return twin;
}

// ---- the exchange ----

// nullopt: the twin's indexes are not those of the view.
std::optional<std::vector<std::pair<Oid, Oid>>> index_pairs(const Job &job, Oid view, Oid twin) {
  std::vector<std::pair<Oid, Oid>> pairs;
  std::vector<Index> const twins = indexes_of(twin);
  std::vector<Index> const indexes = indexes_of(view);
  if (indexes.size() != twins.size()) return std::nullopt;
  for (const Index &index : indexes)
    for (const Index &copy : twins)
      if (index.valid && copy.name == shadow_index_name(job, index.name) && copy.about == index.about)
        pairs.emplace_back(index.oid, copy.oid);
  if (pairs.size() != indexes.size()) return std::nullopt;
  return pairs;
}

// Under the locks.
bool exchange(const Job &job, Oid view, const NewContents &contents, Try &attempt) {
  std::optional<Matview> const now = find_matview(view);
  auto const pairs = index_pairs(job, view, contents.twin);
  if (!now || now->storage != contents.storage || !pairs) return false;
  for (const auto &[index, copy] : *pairs) {
    attempt.lock({index, pg::LockMode::access_exclusive}, true);
    attempt.lock({copy, pg::LockMode::access_exclusive}, true);
  }
  attempt.require_time("exchange its contents");
  pg::exchange_storage(view, contents.twin);
  for (const auto &[index, copy] : *pairs) pg::exchange_storage(index, copy);
  return true;
}

constexpr char running_refreshes[] =
    "SELECT pg_cancel_backend(s.pid) FROM backfill.step s JOIN pg_stat_activity a ON a.pid = s.pid"
    " AND a.backend_type = 'backfill' WHERE s.job_id = $1 AND s.status = 'running'";

// Nobody else claims these steps until our transaction ends, and who has one can no longer commit it: he is told to stop, or he
// would wait for our end with what he read still locked.
std::vector<Step> take_steps(const Job &job) {
  return pg::as_extension([&] {
    pg::execute(
        "WITH open AS (SELECT job_id, id, pid FROM backfill.step WHERE job_id = $1 AND phase = 'after'"
        "   AND kind IN ('refresh', 'downstream') AND status IN ('pending', 'running', 'failed') ORDER BY id FOR "
        "UPDATE),"
        " taken AS (UPDATE backfill.step s SET status = 'pending', pid = NULL, token = nextval('backfill.step_token')"
        "   FROM open WHERE s.job_id = open.job_id AND s.id = open.id RETURNING open.pid)"
        " SELECT pg_cancel_backend(a.pid) FROM taken JOIN pg_stat_activity a ON a.pid = taken.pid"
        "   AND a.backend_type = 'backfill'",
        {job.id});
    std::vector<Step> open;
    for (const char *kind : {"refresh", "downstream"})
      for (Step &step : load_steps(job.id, kind))
        if (step.status == "pending") open.push_back(std::move(step));
    std::stable_sort(open.begin(), open.end(), [](const Step &a, const Step &b) { return a.stage < b.stage; });
    return open;
  });
}

// Of a step taken over: done, or failed with what it met.
void settle(const Step &step, const Error *failure) {
  pg::as_extension([&] {
    pg::execute(
        "UPDATE backfill.step SET status = CASE WHEN $3 IS NULL THEN 'done' ELSE 'failed' END,"
        " started_at = coalesce(started_at, transaction_timestamp()), finished_at = clock_timestamp(),"
        " waiting_for = NULL, not_before = NULL, sqlstate = $3, error = $4, error_hint = nullif($5, '')"
        " WHERE job_id = $1 AND id = $2",
        {step.job, step.id, failure ? pg::Param(failure->sqlstate) : pg::Param(nullptr),
         failure ? pg::Param(failure->what()) : pg::Param(nullptr),
         failure ? pg::Param(failure->hint) : pg::Param(nullptr)});
  });
}

}  // namespace

std::optional<NewContents> compute_contents(const Job &job, const Step &step) {
  return pg::as_extension([&]() -> std::optional<NewContents> {
    std::optional<Matview> const view = find_matview(number(step.params, "matview"));
    if (!view || !view->populated) return std::nullopt;
    if (view->keyed) {
      refresh(job, "CONCURRENTLY ", view->sql());
      return std::nullopt;
    }
    return NewContents{build_twin(job, *view), view->storage};
  });
}

bool put_in_place(const Job &job, const Step &step, const NewContents &contents) {
  Oid const view = number(step.params, "matview");
  bool exchanged = true;
  with_tries(limits_of({job}), step.title, [&](Try &attempt) {
    bool const there = relation_exists(view);
    std::vector<LockRequest> locks = {{contents.twin, pg::LockMode::access_exclusive}};
    if (there) locks.push_back({view, pg::LockMode::access_exclusive});
    attempt.lock_all(locks);
    exchanged = !there || exchange(job, view, contents, attempt);
    pg::execute("DROP MATERIALIZED VIEW " + relation_sql(contents.twin));
    if (there && exchanged) pg::name_toast_table(view);
  });
  return exchanged;
}

void analyze_contents(const Step &step) {
  pg::as_extension([&] {
    std::string const view = relation_sql(number(step.params, "matview"));
    if (!view.empty()) pg::execute("ANALYZE " + view);
  });
}

// An OID is not enough to be sure: the name must be one that we give.
void drop_twin(const Job &job, const std::string &params) {
  Oid const twin = number(params, "twin");
  if (twin == 0) return;
  pg::as_extension([&] {
    pg::Result const found = pg::execute(
        "SELECT FROM pg_class WHERE oid = $1 AND relkind = 'm' AND relname LIKE '%\\_backfill\\_' || $2::bigint",
        {pg::Param::oid(twin), job.id});
    if (!found.empty()) pg::execute("DROP MATERIALIZED VIEW " + relation_sql(twin));
  });
}

void drop_twins(const Job &job, const std::vector<std::string> &params) {
  for (const std::string &one : params) drop_twin(job, one);
}

void interrupt_refreshes(const Job &job) {
  pg::as_extension(
      [&] { pg::execute(std::string(running_refreshes) + " AND s.kind IN ('refresh', 'downstream')", {job.id}); });
}

void give_way(const Job &job) {
  Limits const limits = limits_of({job});
  pg::as_extension([&] {
    pg::execute(std::string(running_refreshes) +
                    " AND s.kind = 'refresh' AND EXISTS (SELECT FROM pg_locks w WHERE NOT w.granted"
                    "   AND w.waitstart < clock_timestamp() - $2::bigint * interval '1 ms'"
                    "   AND s.pid = ANY (pg_blocking_pids(w.pid)))",
                {job.id, limits.lock_timeout + limits.max_lock});
  });
}

std::string tell_refreshes(const Job &job) {
  auto const open = [&](const char *kind) {
    std::int64_t count = 0;
    for (const Step &step : load_steps(job.id, kind)) count += step.status == "done" ? 0 : 1;
    return count;
  };
  std::int64_t const matviews = open("refresh"), declared = open("downstream");
  if (matviews + declared == 0) return {};
  std::string text;
  if (matviews > 0) text = std::to_string(matviews) + " materialized view" + (matviews == 1 ? "" : "s");
  if (declared > 0) text += (text.empty() ? "" : " and ") + std::to_string(declared) + " downstream";
  return "; " + text + (matviews + declared == 1 ? " is" : " are") + " refreshed now: see backfill.steps";
}

void refresh_now(const Job &job) {
  interrupt_refreshes(job);  // he has a step locked while he finishes it
  fault("refresh", "interrupted");
  for (const Step &step : take_steps(job)) {
    try {
      pg::subtransaction([&] {
        if (std::optional<Error> const reason = held_back(step)) throw *reason;
        if (step.kind == "downstream") {
          (void)run_refresh(job, step);
          return;
        }
        drop_twin(job, step.params);
        std::optional<NewContents> const contents = compute_contents(job, step);
        if (contents) (void)put_in_place(job, step, *contents);
      });
      settle(step, nullptr);
    } catch (const KeepsWaiting &) {
      throw;
    } catch (const Error &failure) {
      if (failure.sqlstate.compare(0, 2, "57") == 0) throw;
      settle(step, &failure);
      pg::warning("could not " + step.title + ": " + failure.what(), failure.detail, failure.hint);
    }
  }
}

}  // namespace backfill
