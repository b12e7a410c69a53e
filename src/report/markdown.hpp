// The report of a job in Markdown (GitHub's): to paste into a ticket, a channel or a post-mortem.
#pragma once

#include <string>

namespace backfill {

// The job of that name as it is now, at any stage.  Everybody who may see the job may have it.
// format: 'markdown' (or 'md').  Errors: 42704 unknown or not visible, 22023 unknown format, 0A000 'html'.
// Reads the ledger only; takes no lock on the tables.
std::string report_backfill(const std::string &name, const std::string &format);

}  // namespace backfill
