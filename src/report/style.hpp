// The look of an HTML report.
#pragma once

namespace backfill {

// CSS without < and &, so that it may stand in a document that is XML as well.
extern const char *const report_style;

}  // namespace backfill
