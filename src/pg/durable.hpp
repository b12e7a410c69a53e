// What a worker commits need not be on disk at once: whatever a crash of the server undoes, it undoes from the end of the
// WAL, rows and checkpoint together, and the work is done again from there.  What others have been told must stay.
#pragma once

namespace backfill::pg {

// From now on commits of this process do not wait until they are on disk or on a standby.
void commit_lazily();

// The current transaction's commit waits as the server's settings say, and so for all that was committed before it.
void commit_durably();

namespace detail {
void settle_durability();  // before the commit
void forget_durability();  // of a transaction that has ended
}  // namespace detail

}  // namespace backfill::pg
