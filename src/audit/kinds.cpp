// The table of checks.  To add one: a line here, a file beside this one, its word in core/spec_keys.cpp.
#include <array>

#include "audit/check.hpp"

namespace backfill {

extern const CheckKind unique_check, not_null_check, accepted_values_check, accepted_range_check, relationships_check,
    expression_check, failed_rows_check, row_count_check, row_count_delta_check, schema_match_check, exact_check,
    shrink_guard_check, source_data_exists_check, target_column_exists_check, way_back_exists_check,
    no_concurrent_backfill_check, baseline_metrics_check, metric_delta_check, spot_check_check, distribution_check,
    freshness_check, no_gaps_check;

const CheckKind *find_check_kind(const std::string &word) {
  static constexpr std::array kinds = {
      &unique_check,
      &not_null_check,
      &accepted_values_check,
      &accepted_range_check,
      &relationships_check,
      &expression_check,
      &failed_rows_check,
      &row_count_check,
      &row_count_delta_check,
      &schema_match_check,
      &exact_check,
      &shrink_guard_check,
      &source_data_exists_check,
      &target_column_exists_check,
      &way_back_exists_check,
      &no_concurrent_backfill_check,
      &baseline_metrics_check,
      &metric_delta_check,
      &spot_check_check,
      &distribution_check,
      &freshness_check,
      &no_gaps_check,
  };
  for (const CheckKind *const kind : kinds)
    if (word == kind->word) return kind;
  return nullptr;
}

}  // namespace backfill
