// Security labels.
#pragma once

#include <string>

namespace backfill::pg {

// 55000 unless this process has loaded the provider of a label of `object`.  Locks nothing.
void require_label_provider(const std::string &provider, const std::string &object);

}  // namespace backfill::pg
