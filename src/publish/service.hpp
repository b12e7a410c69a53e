// Putting a new version into service and taking it out again, one way for each placement (catalog/placement.hpp).
//
//   swap      publish.cpp, rollback.cpp: the tables change places
//   in place  in_place.cpp: the rows that differ are written to the table
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

struct Service {
  const char *title;  // of the step `publish`
  std::string (*publish)(const std::vector<Job> &jobs);
  // Tells of the tries and of what was carried over or restored; roll_back() says the rest.
  std::string (*roll_back)(const Job &job, const std::vector<std::string> &discard);
  std::vector<Step> (*after)(const Job &job);  // what follows either; asked as the extension
  // Why a published job cannot be rolled back just now, raised as an error.
  void (*require_way_back)(const Job &job);
};
const Service &service_of(const Job &job);

std::string publish_by_swap(const std::vector<Job> &jobs);
std::string roll_back_by_swap(const Job &job, const std::vector<std::string> &discard);
std::vector<Step> after_swap(const Job &job);
void require_way_back_by_swap(const Job &job);

std::string publish_in_place(const std::vector<Job> &jobs);  // of one job: 0A000 for several
std::string roll_back_in_place(const Job &job, const std::vector<std::string> &discard);
std::vector<Step> after_in_place(const Job &job);
void require_way_back_in_place(const Job &job);

// The state must change although nothing was published, so this is no error: that would undo the change.
class Overtaken;
std::string start_over(const Job &job, const Overtaken &overtaken);

}  // namespace backfill
