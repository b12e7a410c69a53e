// Weak stand-ins for functions whose module has not landed yet, so that the library loads; gone before the first release.
#include "audit/audit.hpp"
#include "capture/capture.hpp"
#include "capture/drain.hpp"
#include "copy/shadow.hpp"
#include "plan/plan.hpp"

namespace backfill {
#define UNLANDED __attribute__((weak))
[[noreturn]] static void missing() { throw Error(sqlstate::feature_not_supported, "module has not landed yet"); }
UNLANDED std::vector<std::string> blocking_checks(const Job &) { missing(); }
UNLANDED Oid create_log(const Job &) { missing(); }
UNLANDED int begin_audit(const Job &) { missing(); }
UNLANDED void build_index(const Job &, Oid) { missing(); }
UNLANDED DrainResult drain_batch(const Job &, const TableShape &, std::int64_t) { missing(); }
UNLANDED void finish_shape(const Job &) { missing(); }
UNLANDED std::int64_t pending_keys(const Job &) { return 0; }
UNLANDED Oid create_shadow(const Job &) { missing(); }
UNLANDED DrainResult drain_reverse(const Job &, const TableShape &, std::int64_t) { missing(); }
UNLANDED void analyze_shadow(const Job &) { missing(); }
UNLANDED bool capture_intact(const Job &) { missing(); }
UNLANDED void install_capture(const Job &) { missing(); }
UNLANDED DrainResult purge_logged_keys(const Job &, const TableShape &) { missing(); }
UNLANDED std::string table_fingerprint(const Job &) { missing(); }
UNLANDED Verdict run_check(const Job &, const Step &) { missing(); }
UNLANDED std::vector<Step> plan_checks(const Job &) { return {}; }
UNLANDED std::vector<Step> plan_pre_checks(const Job &) { return {}; }
}  // namespace backfill
