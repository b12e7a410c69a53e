// Audit of a sample: a few chunks that were built apart from the job's shadow.
//
// `sampled` is the job with the sample's table in the shadow's place, without log and archive; it holds the rows of these
// chunks and no others.  Nothing is stored.  Run it in the snapshot the chunks were read in (pg::with_one_snapshot), or
// what is written meanwhile looks like a difference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"
#include "copy/transform.hpp"

namespace backfill {

struct SampledChecks {
  struct Verdict {
    std::string check, outcome, actual, detail;
  };
  std::vector<Verdict> verdicts;
  std::vector<std::string> left_out;  // names of checks that need more than chunks
};

// The job's checks that can be judged by a few chunks.  Never raises for a check that fails or cannot run.
SampledChecks check_sample(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks);

// The proof `exact` for these chunks: rows of the sample that are not what the transform makes of live, image for image,
// and rows it lacks.  chunks: of kind range, or blocks of what is out of scope.
std::int64_t differing_rows(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks);

// What these chunks would change.
struct SampledChange {
  std::int64_t added = 0, removed = 0, changed = 0, unchanged = 0;
  std::vector<std::pair<std::string, std::int64_t>> columns;  // values that change, most first
  std::int64_t before() const { return removed + changed + unchanged; }
};
SampledChange compare_sample(const Job &sampled, const TableShape &shape, const std::vector<Step> &chunks);

}  // namespace backfill
