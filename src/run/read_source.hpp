// Where the rows of a chunk's batches are read: here, or on the replica that the spec names.
//
// Trouble with the replica spends none of a chunk's attempts: the worker waits, says why, and looks again; or, where the
// spec says so and it has lasted, all workers of the job read here for a while.
#pragma once

#include <cstdint>
#include <string>

#include "catalog/job.hpp"
#include "catalog/replica.hpp"
#include "catalog/step.hpp"
#include "core/error.hpp"

namespace backfill {

// Lives as long as the worker is at one chunk.
class ReadSource {
 public:
  enum class Place { here, replica, nowhere };

  ReadSource(const Job &job, const Step &step);

  // For the next batch; waits where it must.  nowhere: the job was asked to stop meanwhile, and the step is given back.
  Place choose();
  // What became of a batch read on the replica.
  void succeeded();
  void failed(const Error &failure);
  std::int64_t waited() const { return waited_; }  // ms, in all

 private:
  bool still_wanted(const ReplicaState &state);
  void go_on();
  bool hold_off();
  bool give_in(const std::string &problem);

  Job job_;                // with read_from as it is by now
  std::string read_from_;  // as it was when job_ was read
  const Step &step_;
  bool wanted_, told_ = false, troubled_ = false, waiting_ = false;
  long pause_;
  std::int64_t waited_ = 0;
};

}  // namespace backfill
