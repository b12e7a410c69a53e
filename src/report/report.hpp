// backfill_report: a job as it is now, at any stage, as a document.
#pragma once

#include <string>

namespace backfill {

// The newest job of that name.  Everybody who may see the job may have it.
// format: 'markdown' (or 'md'), 'html'.  Errors: 42704 unknown or not visible, 22023 unknown format.
// Reads the ledger only; takes no lock on the tables.
std::string report_backfill(const std::string &name, const std::string &format);

}  // namespace backfill
