// The trigger functions of backfill, as far as C++ has to know of them: the way past the guard of an archive.
#pragma once

#include <type_traits>

#include "pg/spi.hpp"

namespace backfill::pg {

namespace detail {
Oid open_archive(Oid archive) noexcept;  // returns what was open before
}

// While fn runs, this process's writes to `archive` pass its guard; nobody else's do.
template <typename Fn>
auto with_archive_open(Oid archive, Fn fn) {
  Oid const before = detail::open_archive(archive);
  try {
    if constexpr (std::is_void_v<decltype(fn())>) {
      fn();
      detail::open_archive(before);
    } else {
      auto result = fn();
      detail::open_archive(before);
      return result;
    }
  } catch (...) {
    detail::open_archive(before);
    throw;
  }
}

}  // namespace backfill::pg
