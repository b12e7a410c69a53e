// Whose code runs: the only two identities backfill takes.
//
//   as_extension(fn)      our own catalog statements and DDL: the extension's owner, search_path = pg_catalog, pg_temp.
//   as_owner(role, fn)    anything that evaluates the table owner's code: that role, in a security-restricted operation
//                         (what REINDEX and REFRESH do), row_security = off, search_path as given for transforms.
//
// Both pin the settings that change what SQL text means (DateStyle, IntervalStyle, TimeZone stays the caller's unless
// given, ...).  On success they restore role and settings; on failure the (sub)transaction's abort does.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "pg/spi.hpp"

namespace backfill::pg {

Oid current_role();  // the role whose privileges apply now
Oid session_role();
Oid extension_owner();  // owner of the extension "backfill"; 0 where it is not installed
std::string role_name(Oid role);
bool is_member(Oid member, Oid role);  // has_privs_of_role: superusers are members of all

namespace detail {
struct Identity {
  Oid role;
  int security;
  int guc_level;
};
Identity become(Oid role, bool restricted, const char *search_path);
void restore(const Identity &identity);
template <typename Fn>
auto as(Oid role, bool restricted, const char *search_path, Fn &fn) {
  Identity const outer = become(role, restricted, search_path);
  if constexpr (std::is_void_v<decltype(fn())>) {
    fn();
    restore(outer);
  } else {
    auto result = fn();
    restore(outer);
    return result;
  }
}
}  // namespace detail

template <typename Fn>
auto as_extension(Fn fn) {
  return detail::as(extension_owner(), false, "pg_catalog, pg_temp", fn);
}

// search_path: what the spec's author had at plan time, for transforms and checks; our own text needs none.
template <typename Fn>
auto as_owner(Oid owner, Fn fn, const std::string &search_path = "pg_catalog, pg_temp") {
  return detail::as(owner, true, search_path.c_str(), fn);
}

// Settings that change the meaning of SQL text or of its result, as both identities have them: for another server that is
// to compute the same.
struct PinnedSetting {
  const char *name, *value;
};
std::span<const PinnedSetting> pinned_settings();

// SET LOCAL for the innermost as_extension/as_owner, or for the transaction outside of them.
void set_local(const std::string &name, const std::string &value);
std::string setting(const std::string &name);  // current value as text

}  // namespace backfill::pg
