#include "core/state.hpp"

#include <gtest/gtest.h>

#include <string>

#include "raises.hpp"

namespace backfill {
namespace {

constexpr State all_states[] = {State::planned,  State::running, State::ready,  State::published,
                                State::finished, State::paused,  State::failed, State::cancelled};
constexpr Action all_actions[] = {Action::run,      Action::pause,  Action::cancel, Action::audit, Action::publish,
                                  Action::rollback, Action::finish, Action::retry,  Action::waive, Action::alter};

TEST(State, WordsGoBothWays) {
  for (const State state : all_states) EXPECT_EQ(parse_state(to_text(state)), state);
  EXPECT_STREQ(to_text(State::cancelled), "cancelled");
  EXPECT_STREQ(to_text(Action::waive), "waive");
  EXPECT_EQ(raised_by([] { parse_state("stalled"); }).sqlstate, "XX000");
}

TEST(State, TableOfTransitions) {
  // columns: planned running ready published finished paused failed cancelled
  const std::pair<Action, const char *> expected[] = {
      {Action::run, "xxxx.xx."},    {Action::pause, ".x......"},   {Action::cancel, "xxx..xx."},
      {Action::audit, "..x....."},  {Action::publish, "..x....."}, {Action::rollback, "...x...."},
      {Action::finish, "...x...."}, {Action::retry, ".xx..xx."},   {Action::waive, "..x...x."},
      {Action::alter, "xxxx.xx."},
  };
  for (const auto &[action, row] : expected)
    for (std::size_t i = 0; i < std::size(all_states); ++i)
      EXPECT_EQ(is_allowed(all_states[i], action), row[i] == 'x')
          << to_text(action) << " from " << to_text(all_states[i]);
}

TEST(State, EveryRefusalNamesTheStateAndTheWay) {
  for (const State state : all_states)
    for (const Action action : all_actions) {
      if (is_allowed(state, action)) {
        EXPECT_NO_THROW(require_allowed("x", state, action));
        continue;
      }
      const Error error = raised_by([&] { require_allowed("x", state, action); });
      EXPECT_EQ(error.sqlstate, "55000");
      EXPECT_NE(std::string(error.what()).find(std::string("it is ") + to_text(state)), std::string::npos);
      EXPECT_NE(error.detail.find(to_text(action)), std::string::npos);
      EXPECT_FALSE(error.hint.empty());
    }
}

TEST(State, TheHintIsTheStatementToType) {
  const Error error = raised_by([] { require_allowed("o'x", State::planned, Action::publish); });
  EXPECT_STREQ(error.what(), "cannot publish backfill \"o'x\": it is planned");
  EXPECT_EQ(error.detail, "To publish a backfill it must be ready. Allowed now: run, cancel, alter.");
  EXPECT_EQ(error.hint, "The next step is: SELECT backfill_run('o''x');");
  EXPECT_EQ(raised_by([] { require_allowed("x", State::published, Action::cancel); }).hint,
            "Undo the publish first: SELECT backfill_rollback('x');");
  EXPECT_NE(raised_by([] { require_allowed("x", State::cancelled, Action::run); }).hint.find("backfill_plan"),
            std::string::npos);
}

TEST(State, WhatHasEndedAlreadyIsNoError) {
  EXPECT_EQ(tell_ended("x", State::finished), "nothing was changed: backfill \"x\" is finished already");
}

TEST(State, NextCommand) {
  EXPECT_EQ(next_command("x", State::planned), "SELECT backfill_run('x');");
  EXPECT_EQ(next_command("x", State::running), "CALL backfill_wait('x');");
  EXPECT_EQ(next_command("x", State::ready), "SELECT backfill_publish('x');");
  EXPECT_EQ(next_command("x", State::published), "SELECT backfill_finish('x');");
  EXPECT_EQ(next_command("x", State::paused), "SELECT backfill_run('x');");
  EXPECT_EQ(next_command("x\\y", State::failed), "SELECT backfill_run(E'x\\\\y');");
  EXPECT_EQ(next_command("x", State::finished), "");
  EXPECT_EQ(next_command("x", State::cancelled), "");
}

}  // namespace
}  // namespace backfill
