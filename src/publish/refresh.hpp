// Step `refresh`: the contents of a materialized view are computed anew after a swap, while it is read.
//
// With a unique index REFRESH … CONCURRENTLY does it: readers never wait.  Without one the contents are computed beside,
// in a twin that has the same indexes, and put in place by an exchange of storage under a lock that lasts milliseconds.
// Either way the view keeps its OID and everything that hangs on it, and its query runs as its owner.
//
// The long part holds no lock but those of any SELECT, and it gives way: whoever waits for it has it interrupted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/job.hpp"
#include "catalog/step.hpp"

namespace backfill {

struct NewContents {
  Oid twin = 0;
  std::string storage;  // of the view when computing began: it changes with every REFRESH that is not CONCURRENTLY
};

// Computes; nullopt when nothing is left to do: refreshed in place, not populated, or dropped by its owner.  The twin is
// entered in the step, when the step is the caller's (token).  Errors: 55000 an index of the view is invalid, and
// whatever the view's query raises.
std::optional<NewContents> compute_contents(const Job &job, const Step &step);
// Puts them in place and drops the twin.  False: the view was refreshed or its indexes were changed meanwhile; nothing but
// the twin is touched.  Errors: 55P03 when the view could not be locked in bounded tries.
bool put_in_place(const Job &job, const Step &step, const NewContents &contents);
void analyze_contents(const Step &step);

// Drops the twin an interrupted refresh has left behind; `params` of its step.
void drop_twin(const Job &job, const std::string &params);
void drop_twins(const Job &job, const std::vector<std::string> &params);

// Interrupts the refreshes of the job that are being computed now; they are tried again a little later.
void interrupt_refreshes(const Job &job);
// Those only for which somebody has been waiting longer than a swap would let him.
void give_way(const Job &job);

// "; 2 materialized views are refreshed now: see backfill.steps" where some are, after a swap.
std::string tell_refreshes(const Job &job);

// In the caller's transaction: what is left of these steps when nobody will run them later.  One that fails is warned of.
void refresh_now(const Job &job);

}  // namespace backfill
