// Logs, and the triggers that fill them.
//
// All of it is DDL of the extension's; each trigger is installed by install_trigger(), enabled ALWAYS (so that
// replication apply and session_replication_role = replica do not pass it), and recognised by trigger_intact().
#include "capture/capture.hpp"

#include "capture/log.hpp"
#include "core/error.hpp"
#include "core/sql_text.hpp"
#include "pg/replica_identity.hpp"
#include "pg/role.hpp"

namespace backfill {

namespace {

// The versions of the columns' rows in pg_attribute: every ALTER of a column makes a new one.
constexpr char columns_sql[] =
    "SELECT string_agg(a.attnum || ':' || a.xmin, ' ' ORDER BY a.attnum) FROM pg_attribute a"
    " WHERE a.attrelid = $2 AND a.attnum > 0";

// One trigger of a job, as it is made and as it must be found again.
struct Trigger {
  std::string name;
  std::string when;      // AFTER INSERT OR UPDATE OR DELETE
  std::string level;     // ROW, STATEMENT
  std::string function;  // in schema backfill
  std::vector<std::string> arguments;
  int type;  // pg_trigger.tgtype
};

// pg_trigger.tgtype is bits: row 1, before 2, insert 4, delete 8, update 16, truncate 32.
constexpr int after_row = 1 + 4 + 8 + 16, before_row = after_row + 2, after_truncate = 32, before_truncate = 32 + 2;

constexpr char any_row[] = "INSERT OR UPDATE OR DELETE";

std::string trigger_name(const Job &job, const char *what) {
  return std::string("backfill_") + what + "_" + std::to_string(job.id);
}

Oid log_oid(const std::string &name) {
  return static_cast<Oid>(pg::query_integer("SELECT coalesce(to_regclass($1)::oid, 0)::bigint", {name}));
}

std::string present_log(const Job &job) { return job.state == "published" ? reverse_log_name(job) : log_name(job); }

std::string table_text(const Job &job, Oid table) {
  auto const name =
      pg::query_value("SELECT max(oid::regclass::text) FROM pg_class WHERE oid = $1", {pg::Param::oid(table)});
  if (!name)
    throw Error(sqlstate::undefined_table, "a table of backfill \"" + job.name + "\" no longer exists", {},
                "Cancel the job and plan it again.");
  return *name;
}

// The two triggers that capture the changes of `table`: rows and TRUNCATE.
std::vector<Trigger> capture_triggers(const Job &job, Oid table, const std::string &log, const char *function) {
  std::vector<std::string> const whose = {std::to_string(log_oid(log)), std::to_string(job.id)};
  std::vector<std::string> keys = whose;
  for (const KeyColumn &column : read_key(job, table)) keys.push_back(std::to_string(column.attnum));
  return {{trigger_name(job, "capture"), std::string("AFTER ") + any_row, "ROW", function, keys, after_row},
          {trigger_name(job, "truncate"), "AFTER TRUNCATE", "STATEMENT", "capture_truncate", whose, after_truncate}};
}

std::vector<Trigger> guard_triggers(const Job &job) {
  std::vector<std::string> const arguments = {std::to_string(log_oid(reverse_log_name(job))), std::to_string(job.id),
                                              job.name};
  return {{trigger_name(job, "guard"), std::string("BEFORE ") + any_row, "ROW", "guard", arguments, before_row},
          {trigger_name(job, "guard_truncate"), "BEFORE TRUNCATE", "STATEMENT", "guard", arguments, before_truncate}};
}

// In place of one of that name: dropping it would make readers wait, replacing it does not.
void install_trigger(const std::string &table, const Trigger &trigger) {
  std::string arguments;
  for (const std::string &argument : trigger.arguments)
    arguments += (arguments.empty() ? "" : ", ") + quote_literal(argument);
  pg::execute("CREATE OR REPLACE TRIGGER " + quote_ident(trigger.name) + " " + trigger.when + " ON " + table +
              " FOR EACH " + trigger.level + " EXECUTE FUNCTION backfill." + trigger.function + "(" + arguments + ")");
  pg::execute("ALTER TABLE " + table + " ENABLE ALWAYS TRIGGER " + quote_ident(trigger.name));
}

bool trigger_intact(Oid table, const Trigger &trigger) {
  return pg::query_boolean(
      "SELECT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
      "  WHERE t.tgrelid = $1 AND t.tgname = $2 AND NOT t.tgisinternal AND t.tgenabled = 'A' AND t.tgtype = $3"
      "    AND p.pronamespace = 'backfill'::regnamespace AND p.proname = $4"
      "    AND t.tgqual IS NULL AND cardinality(t.tgattr::int2[]) = 0 AND NOT t.tgdeferrable"
      "    AND t.tgargs = (SELECT string_agg(convert_to(a, getdatabaseencoding()) || '\\x00'::bytea, ''::bytea"
      "                                      ORDER BY ord) FROM unnest($5) WITH ORDINALITY AS u(a, ord)))",
      {pg::Param::oid(table), trigger.name, trigger.type, trigger.function, pg::Param(trigger.arguments)});
}

void install(const Job &job, Oid table, const std::vector<Trigger> &triggers) {
  std::string const name = table_text(job, table);
  for (const Trigger &trigger : triggers) install_trigger(name, trigger);
}

std::vector<std::string> names(const std::vector<Trigger> &triggers) {
  std::vector<std::string> names;
  for (const Trigger &trigger : triggers) names.push_back(trigger.name);
  return names;
}

// Whoever disables a trigger and enables it again, or makes it anew, leaves it as it was found; its row in pg_trigger is
// another version all the same.  (VACUUM keeps the raw xmin, FREEZE and FULL do too.)
constexpr char seal_sql[] =
    "SELECT string_agg(t.oid || ':' || t.xmin, ' ' ORDER BY t.oid) FROM pg_trigger t"
    " WHERE t.tgrelid = $1 AND t.tgname = ANY ($2::name[])";

void install_sealed(const Job &job, Oid table, const std::vector<Trigger> &triggers) {
  install(job, table, triggers);
  pg::execute(std::string("UPDATE backfill.job SET capture_seal = (") + seal_sql + ") WHERE id = $3",
              {pg::Param::oid(table), names(triggers), job.id});
}

bool sealed(const Job &job, Oid table, const std::vector<Trigger> &triggers) {
  for (const Trigger &trigger : triggers)
    if (!trigger_intact(table, trigger)) return false;
  return pg::query_boolean(
      std::string("SELECT EXISTS (SELECT FROM backfill.job WHERE id = $3 AND capture_seal = (") + seal_sql + "))",
      {pg::Param::oid(table), names(triggers), job.id});
}

void drop_triggers(const Job &job, Oid table, const char *rows, const char *truncate) {
  std::string const name = table_text(job, table);
  for (const char *what : {rows, truncate})
    pg::execute_quietly("DROP TRIGGER IF EXISTS " + quote_ident(trigger_name(job, what)) + " ON " + name);
}

std::string key_columns(const std::vector<KeyColumn> &key, const char *prefix) {
  std::string columns;
  for (std::size_t i = 0; i < key.size(); i++) {
    columns += prefix + std::to_string(i + 1) + " " + key[i].type;
    if (!key[i].collation.empty()) columns += " COLLATE " + key[i].collation;
    columns += ", ";
  }
  return columns;
}

// The heap of a log is filled at its end and emptied at its beginning.  Autovacuum comes often and never truncates it:
// that would take a lock writers wait for.
Oid create(const std::string &name, const std::string &columns, const std::string &comment) {
  return pg::as_extension([&] {
    pg::execute("CREATE TABLE " + name + " (" + columns +
                ") USING heap WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,"
                " autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)");
    pg::execute("COMMENT ON TABLE " + name + " IS " + quote_literal(comment));
    pg::execute("REVOKE ALL ON " + name + " FROM PUBLIC");
    pg::identify_rows(log_oid(name));
    return log_oid(name);
  });
}

}  // namespace

Oid create_log(const Job &job) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  Oid const log = create(log_name(job), key_columns(key, "k") + "op \"char\" NOT NULL, cols int2[]",
                         "Keys of live changed since capture began, for backfill " + job.name);
  update_job(job.id, {{"capture_log", pg::Param::oid(log)}});
  return log;
}

void install_capture(const Job &job) {
  pg::as_extension([&] { install_sealed(job, job.live, capture_triggers(job, job.live, log_name(job), "capture")); });
  note_file(job);
}

void note_file(const Job &job) {
  pg::as_extension([&] {
    pg::execute(std::string("UPDATE backfill.job SET copied_file = pg_relation_filenode($2), copied_columns = (") +
                    columns_sql + ") WHERE id = $1",
                {job.id, pg::Param::oid(job.live)});
  });
}

bool was_rewritten(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_boolean(
        "SELECT copied_file IS DISTINCT FROM pg_relation_filenode(live) FROM backfill.job WHERE id = $1", {job.id});
  });
}

bool was_altered(const Job &job) {
  return pg::as_extension([&] {
    return pg::query_boolean(std::string("SELECT copied_file <> pg_relation_filenode($2) AND copied_columns <> (") +
                                 columns_sql + ") FROM backfill.job WHERE id = $1",
                             {job.id, pg::Param::oid(job.live)});
  });
}

bool truncate_logged(const Job &job) {
  return pg::as_extension(
      [&] { return pg::query_boolean("SELECT EXISTS (SELECT FROM " + log_name(job) + " WHERE op = 't')"); });
}

bool capture_intact(const Job &job) {
  return pg::as_extension([&] {
    return log_oid(log_name(job)) != 0 &&
           sealed(job, job.live, capture_triggers(job, job.live, log_name(job), "capture"));
  });
}

void remove_capture(const Job &job, Oid table) {
  pg::as_extension([&] { drop_triggers(job, table, "capture", "truncate"); });
}

Oid create_reverse_log(const Job &job) {
  std::vector<KeyColumn> const key = read_key(job, job.live);
  Oid const log =
      create(reverse_log_name(job),
             key_columns(key, "k") + key_columns(key, "o") + "op \"char\" NOT NULL, cols int2[], lsn pg_lsn NOT NULL",
             "Keys and columns of live changed since publish, for a rollback of backfill " + job.name);
  update_job(job.id, {{"reverse_log", pg::Param::oid(log)}});
  return log;
}

void install_reverse_capture(const Job &job) {
  pg::as_extension([&] {
    install_sealed(job, job.live, capture_triggers(job, job.live, reverse_log_name(job), "capture_reverse"));
  });
}

bool reverse_capture_intact(const Job &job) {
  return pg::as_extension([&] {
    return log_oid(log_name(job)) != 0 && log_oid(reverse_log_name(job)) != 0 &&
           sealed(job, job.live, capture_triggers(job, job.live, reverse_log_name(job), "capture_reverse"));
  });
}

void install_guard(const Job &job) {
  pg::as_extension([&] { install(job, job.archive, guard_triggers(job)); });
}

void remove_guard(const Job &job) {
  pg::as_extension([&] { drop_triggers(job, job.archive, "guard", "guard_truncate"); });
}

std::int64_t pending_keys(const Job &job) {
  std::string const log = present_log(job);
  return pg::as_extension([&]() -> std::int64_t {
    if (log_oid(log) == 0) return 0;
    return pg::query_integer("SELECT count(*) FROM " + log);
  });
}

bool has_pending_keys(const Job &job) {
  std::string const log = present_log(job);
  return pg::as_extension(
      [&] { return log_oid(log) != 0 && pg::query_boolean("SELECT EXISTS (SELECT FROM " + log + ")"); });
}

}  // namespace backfill
