//   planned ──run──► running ──all steps done──► ready ──publish──► published ──finish──► finished
//                     │  ▲                       │  ▲                  │
//      pause, failure │  │ run, retry            │  └─────rollback─────┘
//                     ▼  │                       │ retry
//               paused, failed                   └──► running
//
//   planned, running, paused, failed, ready ── cancel ──► cancelled
//
// `run` of running, ready and published restarts a coordinator that died; the state stays.
// finished and cancelled are the ends: the name is free again.
#include "core/state.hpp"

#include <array>
#include <initializer_list>
#include <utility>

#include "core/error.hpp"
#include "core/sql_text.hpp"

namespace backfill {
namespace {

constexpr std::array<std::pair<State, const char *>, 8> state_words{{{State::planned, "planned"},
                                                                     {State::running, "running"},
                                                                     {State::ready, "ready"},
                                                                     {State::published, "published"},
                                                                     {State::finished, "finished"},
                                                                     {State::paused, "paused"},
                                                                     {State::failed, "failed"},
                                                                     {State::cancelled, "cancelled"}}};

struct Rule {
  Action action;
  const char *word;
  const char *arguments;  // behind the name
  std::initializer_list<State> from;
};

const std::array<Rule, 10> &rules() {
  using enum State;
  static const std::array<Rule, 10> table{{
      {Action::run, "run", "", {planned, running, paused, failed, ready, published}},
      {Action::pause, "pause", "", {running}},
      {Action::cancel, "cancel", "", {planned, running, paused, failed, ready}},
      {Action::audit, "audit", "", {ready}},
      {Action::publish, "publish", "", {ready}},
      {Action::rollback, "rollback", "", {published}},
      {Action::finish, "finish", "", {published}},
      {Action::retry, "retry", ", …", {running, paused, failed, ready}},
      {Action::waive, "waive", ", …", {ready, failed}},
      {Action::alter, "alter", ", …", {planned, running, paused, failed, ready, published}},
  }};
  return table;
}

const Rule &rule_of(Action action) { return rules()[static_cast<std::size_t>(action)]; }

std::string allowed_actions(State state) {
  std::string out;
  for (const Rule &rule : rules())
    if (is_allowed(state, rule.action)) out += (out.empty() ? "" : ", ") + std::string(rule.word);
  return out;
}

std::string allowed_states(Action action) {
  std::string out;
  for (const State state : rule_of(action).from) out += (out.empty() ? "" : ", ") + std::string(to_text(state));
  return out;
}

// What brings a job in this state to where action is allowed, told as an action of the user.
std::string way_to(const std::string &name, State state, Action action) {
  if (is_over(state)) return "Plan it again under the same name with backfill_plan.";
  if (state == State::published && action == Action::cancel)
    return "Undo the publish first: " + command_for(name, Action::rollback);
  if (state == State::published)
    return "Keep it: " + command_for(name, Action::finish) + " or undo it: " + command_for(name, Action::rollback);
  if (state == State::running) return "Wait until it is ready: " + next_command(name, state);
  return "The next step is: " + next_command(name, state);
}

}  // namespace

const char *to_text(State state) { return state_words[static_cast<std::size_t>(state)].second; }

const char *to_text(Action action) { return rule_of(action).word; }

State parse_state(std::string_view word) {
  for (const auto &[state, text] : state_words)
    if (word == text) return state;
  throw Error(sqlstate::internal_error, "unknown job state \"" + std::string(word) + "\"");
}

bool is_over(State state) { return state == State::finished || state == State::cancelled; }

bool is_allowed(State state, Action action) {
  for (const State from : rule_of(action).from)
    if (from == state) return true;
  return false;
}

void require_allowed(const std::string &name, State state, Action action) {
  if (is_allowed(state, action)) return;
  const std::string can = allowed_actions(state);
  throw Error(sqlstate::object_not_in_prerequisite_state,
              "cannot " + std::string(to_text(action)) + " backfill \"" + name + "\": it is " + to_text(state),
              "To " + std::string(to_text(action)) + " a backfill it must be " + allowed_states(action) + "." +
                  (can.empty() ? "" : " Allowed now: " + can + "."),
              way_to(name, state, action));
}

std::string tell_ended(const std::string &name, State state) {
  return "nothing was changed: backfill \"" + name + "\" is " + to_text(state) + " already";
}

std::string next_command(const std::string &name, State state) {
  switch (state) {
    case State::planned:
    case State::paused:
    case State::failed: return command_for(name, Action::run);
    case State::running: return "CALL backfill_wait(" + quote_literal(name) + ");";
    case State::ready: return command_for(name, Action::publish);
    case State::published: return command_for(name, Action::finish);
    case State::finished:
    case State::cancelled: break;
  }
  return {};
}

std::string command_for(const std::string &name, Action action) {
  const Rule &rule = rule_of(action);
  return "SELECT backfill_" + std::string(rule.word) + '(' + quote_literal(name) + rule.arguments + ");";
}

}  // namespace backfill
