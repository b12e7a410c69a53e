// What must hold for every input: else the process ends there, which the fuzzer takes for a find.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "core/error.hpp"

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

// An error must say what is wrong, and by a SQLSTATE which kind it is.
template <typename Fn>
void refused_or_done(Fn fn) {
  try {
    fn();
  } catch (const backfill::Error &error) {
    REQUIRE(error.sqlstate.size() == 5);
    REQUIRE(*error.what() != '\0');
  }
}
