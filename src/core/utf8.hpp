// What little of UTF-8 the project needs.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace backfill {

// Offset of the first byte that is not well-formed UTF-8 (overlong forms, surrogates and values beyond
// U+10FFFF included), or nothing.
std::optional<std::size_t> invalid_utf8(std::string_view text);

// The longest prefix of at most bytes bytes that cuts no character.  REQUIRES: text is UTF-8.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

}  // namespace backfill
