// What a call raises, for tests that look at more than the message.
#pragma once

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace backfill {

template <typename Fn>
Error raised_by(Fn fn) {
  try {
    fn();
  } catch (const Error &error) {
    return error;
  }
  ADD_FAILURE() << "no error was raised";
  return Error("00000", "no error");
}

}  // namespace backfill
