// Both settings are about what background workers do on behalf of everybody.  So they are the server's, not a session's
// (PGC_SIGHUP): only the configuration file, ALTER SYSTEM and the command line set them, which takes a superuser (or whom
// one grants ALTER SYSTEM on the parameter), a reload makes them count, and every worker sees the same value.  With
// PGC_SUSET a superuser's SET would look as if it had worked, and reach no worker.
#include "pg/settings.hpp"

#include "pg/guard.hpp"
#include "pg/role.hpp"

extern "C" {
#include "utils/varlena.h"
}

namespace backfill::pg {

namespace {

char *databases = nullptr, *webhook_hosts = nullptr;

struct ListSetting {
  const char *name, *what, *more;
  char **value;
};
constexpr ListSetting settings[] = {
    {"backfill.databases", "Databases in which the launcher keeps backfills going.",
     "A comma-separated list of names. Needs backfill in shared_preload_libraries.", &databases},
    {"backfill.webhook_hosts", "Hosts that progress webhooks may be sent to.",
     "A comma-separated list of host names. Empty: none.", &webhook_hosts},
};

// The server's own splitting; false where it is no list.
bool split(const char *text, List **elements) { return SplitGUCList(pstrdup(text), ',', elements); }

bool check_list(char **value, void **, GucSource) {
  if (*value == nullptr) return true;
  List *elements = NIL;
  bool const valid = split(*value, &elements);
  if (!valid) GUC_check_errdetail("List syntax is invalid.");
  list_free(elements);
  return valid;
}

}  // namespace

void define_settings() {
  call([] {
    for (const ListSetting &setting : settings)
      DefineCustomStringVariable(setting.name, setting.what, setting.more, setting.value, "", PGC_SIGHUP,
                                 GUC_LIST_INPUT, check_list, nullptr, nullptr);
    MarkGUCPrefixReserved("backfill");
  });
}

std::vector<std::string> list_setting(const std::string &name) {
  std::string const value = setting(name);
  const char *const text = value.c_str();
  List *const elements = call([&] {
    List *found = NIL;
    if (!split(text, &found)) elog(ERROR, "not a list: %s", text);
    return found;
  });
  std::vector<std::string> list;
  for (int i = 0; i < list_length(elements); i++) list.emplace_back(static_cast<const char *>(list_nth(elements, i)));
  return list;
}

}  // namespace backfill::pg
