#include "core/utf8.hpp"

namespace backfill {
namespace {

unsigned byte_at(std::string_view text, std::size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

// Length of the well-formed character that starts at `at`, 0 when there is none (Unicode table 3-7).
std::size_t character_length(std::string_view text, std::size_t at) {
  const auto within = [&](std::size_t offset, unsigned low, unsigned high) {
    const unsigned byte = byte_at(text, at + offset);
    return low <= byte && byte <= high;
  };
  const auto tail = [&](std::size_t offset) { return within(offset, 0x80, 0xBF); };
  const unsigned lead = byte_at(text, at);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  if (lead < 0xE0) return tail(1) ? 2 : 0;
  if (lead < 0xF0) {
    const bool second = within(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF);
    return second && tail(2) ? 3 : 0;
  }
  const bool second = within(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF);
  return second && tail(2) && tail(3) ? 4 : 0;
}

}  // namespace

std::optional<std::size_t> invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

std::string_view utf8_prefix(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (byte_at(text, bytes) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace backfill
