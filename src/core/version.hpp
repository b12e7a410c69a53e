// The version of this library: the extension's in backfill.control and the Makefile (test/lint compares them).
#pragma once

namespace backfill {

inline constexpr char library_version[] = "1.0dev";

}  // namespace backfill
