// publish.auto: the job's own coordinator publishes once the audit has passed.
//
// It tries in short pieces, so that draining, a cancel and a pause of the server's are never far away; together they last as
// long as publish.give_up_after.  What ends them without a publish is told in the job's error and as an event, and nothing is
// tried again before somebody asks for it: with backfill_run, backfill_publish, or an audit.  What a person has rolled back,
// only a person publishes again.
#pragma once

#include <cstdint>

#include "catalog/job.hpp"

namespace backfill {

// Whether the job, as it is now, is to be published without anybody's asking.
bool publishes_itself(const Job &job);
// Somebody asks for it to be tried again: true when that had ended.  In the caller's transaction.
bool publish_again(const Job &job);

class SelfPublisher {
 public:
  // A short try if one is due.  Outside of a transaction.  Raises what may pass and is not about locks.
  void attend(const Job &job);

 private:
  std::int64_t gives_up_at_ = 0;  // 0: nothing is being tried
};

}  // namespace backfill
