// An identity is a role, security flags and a level of settings, as REINDEX and REFRESH take theirs; leaving it is
// dropping that level.
#include "pg/role.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/genam.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
}

namespace backfill::pg {

namespace {

// Settings that change the meaning of SQL text or of its result.
constexpr PinnedSetting pinned[] = {
    {"DateStyle", "ISO, MDY"},
    {"IntervalStyle", "postgres"},
    {"extra_float_digits", "1"},
    {"bytea_output", "hex"},
    {"xmlbinary", "base64"},
    {"row_security", "off"},
    {"quote_all_identifiers", "off"},
    {"standard_conforming_strings", "on"},
    {"array_nulls", "on"},
    {"transform_null_equals", "off"},
    {"check_function_bodies", "on"},
    {"default_table_access_method", "heap"},
    {"default_tablespace", ""},
};

// Triggers fire as for everybody; and where plans of some kind are switched off, jit compiles every statement, also those
// under the locks of a swap.
constexpr PinnedSetting pinned_besides[] = {
    {"session_replication_role", "origin"},
    {"jit", "off"},
};

// Our own statements read a handful of rows, also under the locks of a swap: no parallel worker is started for them.  (A
// parallel append takes one for each branch, however small.)
constexpr PinnedSetting own_pinned[] = {
    {"enable_parallel_append", "off"},
    {"min_parallel_table_scan_size", "8MB"},
    {"min_parallel_index_scan_size", "512kB"},
};

void pin(const char *name, const char *value) {
  (void)set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

}  // namespace

Oid current_role() { return GetUserId(); }
Oid session_role() { return GetSessionUserId(); }

Oid extension_owner() {
  return call([]() -> ::Oid {
    Relation const relation = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("backfill"));
    SysScanDesc const scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
    HeapTuple const tuple = systable_getnext(scan);
    ::Oid const owner =
        HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extowner : InvalidOid;
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return owner;
  });
}

std::string role_name(Oid role) {
  return call([&] { return GetUserNameFromId(role, true); }) ?: std::to_string(role);
}

bool is_member(Oid member, Oid role) {
  return call([&] { return has_privs_of_role(member, role); });
}

namespace detail {

Identity become(Oid role, bool restricted, const char *search_path) {
  if (role == InvalidOid)
    throw Error(sqlstate::undefined_object, "extension \"backfill\" is not installed in this database", {},
                "Install it with CREATE EXTENSION backfill.");
  return call([&] {
    Identity outer;
    GetUserIdAndSecContext(&outer.role, &outer.security);
    outer.guc_level = NewGUCNestLevel();
    for (const PinnedSetting &setting : pinned) pin(setting.name, setting.value);
    for (const PinnedSetting &setting : pinned_besides) pin(setting.name, setting.value);
    if (!restricted)
      for (const PinnedSetting &setting : own_pinned) pin(setting.name, setting.value);
    pin("search_path", search_path);
    SetUserIdAndSecContext(
        role, outer.security | SECURITY_LOCAL_USERID_CHANGE | (restricted ? SECURITY_RESTRICTED_OPERATION : 0));
    return outer;
  });
}

void restore(const Identity &outer) {
  call([&] {
    AtEOXact_GUC(false, outer.guc_level);
    SetUserIdAndSecContext(outer.role, outer.security);
  });
}

}  // namespace detail

std::span<const PinnedSetting> pinned_settings() { return pinned; }

void set_local(const std::string &name, const std::string &value) {
  const char *const n = name.c_str(), *const v = value.c_str();
  call([&] { (void)set_config_option(n, v, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false); });
}

std::string setting(const std::string &name) {
  const char *const n = name.c_str();
  const char *const value = call([&] { return GetConfigOptionByName(n, nullptr, true); });
  return value != nullptr ? value : "";
}

}  // namespace backfill::pg
