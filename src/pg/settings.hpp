// The extension's own settings (GUCs), all in one table in settings.cpp.
//
// They exist from the moment the library is loaded: at server start where it is preloaded, else with the first function
// of the extension that a session calls.  Values given before that, in the configuration or for a database, hold then.
#pragma once

#include <string>
#include <vector>

namespace backfill::pg {

// Called by _PG_init.  Reserves the prefix `backfill.`: any other name with it is an error from then on.
void define_settings();

// The elements of a setting that is a list: separated by commas, as written (no folding of case), in double quotes where
// they hold a comma, a blank or a double quote.  Empty where the setting is.  (pg::setting() of role.hpp: any setting as text.)
std::vector<std::string> list_setting(const std::string &name);

}  // namespace backfill::pg
