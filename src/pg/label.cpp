// The server keeps its list of providers to itself, but SECURITY LABEL looks for the provider before it looks for the
// object: asked about a table that does not exist, it tells by its error whether the provider is there.
#include "pg/label.hpp"

#include "core/error.hpp"
#include "core/sql_text.hpp"
#include "pg/spi.hpp"
#include "pg/transaction.hpp"

namespace backfill::pg {

namespace {

bool is_loaded(const std::string &provider) {
  try {
    subtransaction([&] {
      execute("SECURITY LABEL FOR " + quote_ident(provider) + " ON TABLE pg_catalog.\"no such table\" IS NULL");
    });
  } catch (const Error &failure) {
    if (failure.sqlstate == sqlstate::undefined_table) return true;
    if (failure.sqlstate != sqlstate::invalid_parameter_value) throw;
  }
  return false;
}

}  // namespace

void require_label_provider(const std::string &provider, const std::string &object) {
  if (is_loaded(provider)) return;
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "the security label provider " + quote_ident(provider) + " is not loaded",
              "It has labelled " + object + ", and the new version is given its labels through it.",
              "Load it in this session (LOAD, session_preload_libraries) and try again.");
}

}  // namespace backfill::pg
