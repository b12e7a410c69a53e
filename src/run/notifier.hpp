// The notifier: one background worker a database, there while something is to be posted.
//
//   attach            take the database's post lock: whoever comes second leaves, once the first must have seen what there is
//   while it lasts    take the oldest message of each job, note the attempt, commit; post it; write down what came of it
//   leave             when nothing was due for a few seconds and no retry is due within a minute; the lock is given back, and
//                     a last look taken for what was written meanwhile
//
// No transaction is open while a server is waited for.  A message counts as sent once its 2xx is committed: whatever dies in
// between, it is posted again under the same key.  Nothing else of backfill ever waits for the notifier.
#pragma once

#include <string>

namespace backfill {

// Starts a notifier where a message is due and none is at work.  For coordinators, maintenance and the launcher, in a
// transaction of theirs; cheap where there is nothing to do.
void start_notifier_if_due();

// backfill_redeliver: what was given up is sent again.  Returns a line for the caller.
std::string redeliver(const std::string &name);

}  // namespace backfill
