#include "plan/choice.hpp"

namespace backfill {

namespace {

constexpr std::int64_t large_table = 100 * 1024 * 1024;  // bytes; below it a swap takes seconds
constexpr double small_part = 0.1;                       // of the table's rows

bool is_worth_merging(const Target &target, const Spec &spec, const ChunkPlan &chunks) {
  return target.bytes() > large_table && chunks.rows_in_scope < small_part * target.rows &&
         chunks.rows_in_scope <= static_cast<double>(rows_written_within(target.oid, spec.publish.max_lock));
}

}  // namespace

Choice choose_strategy(const Target &target, const Spec &spec, const std::vector<std::string> &key,
                       const ChunkPlan &chunks) {
  const std::string &wanted = spec.strategy.type;
  if (wanted == "partition")
    throw Error(sqlstate::feature_not_supported, "strategy \"partition\" is not part of this version",
                "A backfill of this version builds the whole table anew and swaps it in, or writes the rows that "
                "differ (merge).",
                "Say strategy: {type: swap}, or leave it out.");
  Choice choice{&placement_named("swap"), why_not_written(target.oid, spec, key)};
  if (wanted == "merge" && choice.unwritable)
    throw Error(sqlstate::feature_not_supported, "strategy \"merge\" cannot be taken: " + choice.unwritable->why,
                choice.unwritable->detail, "Say strategy: {type: swap}, or leave it out.");
  bool const merges =
      wanted == "merge" || (wanted == "auto" && !choice.unwritable && is_worth_merging(target, spec, chunks));
  if (merges) choice.placement = &placement_named("merge");
  return choice;
}

}  // namespace backfill
