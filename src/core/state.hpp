// The states of a job and what may be done in each.  The picture is at the top of state.cpp.
#pragma once

#include <string>
#include <string_view>

namespace backfill {

enum class State { planned, running, ready, published, finished, paused, failed, cancelled };
enum class Action { run, pause, cancel, audit, publish, rollback, finish, retry, waive, alter };

// The word stored in the catalog and used in messages.
const char *to_text(State state);
const char *to_text(Action action);

// XX000 for a word that is no state: the catalog holds no other.
State parse_state(std::string_view word);

// finished or cancelled: the name may be planned again, and nothing of the job is left but its ledger.
bool is_over(State state);

// Whether the table of transitions allows action.  It knows nothing of liveness: `run` of a running job is
// for one whose coordinator is gone, which the caller finds out.  `rollback` before publish is answered by
// the caller too (there is nothing to undo), before it asks here, and so are finish and cancel of a job that has
// ended so already (tell_ended).
bool is_allowed(State state, Action action);

// 55000 naming the state unless is_allowed(); the detail lists what is allowed, the hint the statement to type.
void require_allowed(const std::string &name, State state, Action action);

// What finish and cancel answer where somebody was quicker, be it the end of the retention.
std::string tell_ended(const std::string &name, State state);

// The statement that takes the job on, such as SELECT backfill_run('x'); with its semicolon; empty when it is over.
std::string next_command(const std::string &name, State state);

// The statement that does action, such as SELECT backfill_pause('x');  For retry, waive and alter the
// further arguments are dots.
std::string command_for(const std::string &name, Action action);

}  // namespace backfill
