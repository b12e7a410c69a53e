#include "core/units.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace backfill {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What is left of a text to read.
struct Cursor {
  std::string_view rest;

  void skip_space() {
    while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest[0]))) rest.remove_prefix(1);
  }
  bool at_end() {
    skip_space();
    return rest.empty();
  }
  bool take(char c) {
    if (rest.empty() || rest[0] != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  std::string word();  // letters, in lower case; may be empty
  std::optional<double> number(bool exponent);
};

std::string Cursor::word() {
  skip_space();
  std::string out;
  while (!rest.empty() && std::isalpha(static_cast<unsigned char>(rest[0]))) {
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(rest[0])));
    rest.remove_prefix(1);
  }
  return out;
}

// Digits, grouped by single underscores, with an optional fraction; no sign.
std::optional<double> Cursor::number(bool exponent) {
  skip_space();
  std::string digits;
  std::size_t at = 0;
  const auto digit_at = [&](std::size_t i) { return i < rest.size() && is_digit(rest[i]); };
  if (!digit_at(0)) return std::nullopt;
  while (digit_at(at) || (at < rest.size() && rest[at] == '_' && digit_at(at + 1))) {
    if (rest[at] != '_') digits += rest[at];
    ++at;
  }
  if (at < rest.size() && rest[at] == '.' && digit_at(at + 1)) do
      digits += rest[at++];
    while (digit_at(at));
  if (exponent && at < rest.size() && (rest[at] == 'e' || rest[at] == 'E')) {
    const std::size_t sign = at + 1 < rest.size() && (rest[at + 1] == '-' || rest[at + 1] == '+') ? 1 : 0;
    if (digit_at(at + 1 + sign)) {
      digits += 'e';
      if (sign && rest[at + 1] == '-') digits += '-';
      at += 1 + sign;
      while (digit_at(at)) digits += rest[at++];
    }
  }
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  rest.remove_prefix(at);
  return value;
}

std::optional<std::int64_t> whole(double value) {
  if (!(value >= 0) || value >= 9.2e18) return std::nullopt;
  return std::llround(value);
}

template <std::size_t N>
std::optional<double> factor_of(const std::array<std::pair<const char *, double>, N> &units, const std::string &word) {
  for (const auto &[unit, factor] : units)
    if (word == unit) return factor;
  return std::nullopt;
}

constexpr double second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour, week = 7 * day;
constexpr std::array<std::pair<const char *, double>, 26> duration_units{
    {{"ms", 1},      {"msec", 1},     {"msecs", 1},     {"millisecond", 1}, {"milliseconds", 1},
     {"s", second},  {"sec", second}, {"secs", second}, {"second", second}, {"seconds", second},
     {"m", minute},  {"min", minute}, {"mins", minute}, {"minute", minute}, {"minutes", minute},
     {"h", hour},    {"hr", hour},    {"hrs", hour},    {"hour", hour},     {"hours", hour},
     {"d", day},     {"day", day},    {"days", day},    {"w", week},        {"week", week},
     {"weeks", week}}};

constexpr double kilo = 1024;
constexpr std::array<std::pair<const char *, double>, 11> size_units{{{"", 1},
                                                                      {"b", 1},
                                                                      {"bytes", 1},
                                                                      {"kb", kilo},
                                                                      {"kib", kilo},
                                                                      {"mb", kilo *kilo},
                                                                      {"mib", kilo *kilo},
                                                                      {"gb", kilo *kilo *kilo},
                                                                      {"gib", kilo *kilo *kilo},
                                                                      {"tb", kilo *kilo *kilo *kilo},
                                                                      {"tib", kilo *kilo *kilo *kilo}}};

constexpr std::array<std::pair<const char *, double>, 5> count_units{
    {{"", 1}, {"k", 1e3}, {"m", 1e6}, {"b", 1e9}, {"bn", 1e9}}};

std::string printed(const char *format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string without_trailing_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string two_units(long long big, const char *big_unit, long long small, const char *small_unit) {
  std::string out = std::to_string(big) + big_unit;
  if (small) out += ' ' + std::to_string(small) + small_unit;
  return out;
}

}  // namespace

std::optional<std::int64_t> parse_duration(std::string_view text) {
  Cursor cursor{text};
  double total = 0;
  do {
    const auto amount = cursor.number(false);
    if (!amount) return std::nullopt;
    const auto factor = factor_of(duration_units, cursor.word());
    if (!factor) return std::nullopt;
    total += *amount * *factor;
  } while (!cursor.at_end());
  return whole(total);
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  Cursor cursor{text};
  const auto amount = cursor.number(false);
  if (!amount) return std::nullopt;
  const auto factor = factor_of(size_units, cursor.word());
  if (!factor || !cursor.at_end()) return std::nullopt;
  return whole(*amount * *factor);
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  Cursor cursor{text};
  cursor.skip_space();
  cursor.take('~');
  const auto amount = cursor.number(true);
  if (!amount) return std::nullopt;
  std::string word = cursor.word();
  double factor = 1;
  if (word != "rows" && word != "row") {
    const auto found = factor_of(count_units, word);
    if (!found) return std::nullopt;
    factor = *found;
    word = cursor.word();
    if (!word.empty() && word != "rows" && word != "row") return std::nullopt;
  }
  if (!cursor.at_end()) return std::nullopt;
  return whole(*amount * factor);
}

std::optional<double> parse_number(std::string_view text) {
  Cursor cursor{text};
  cursor.skip_space();
  const bool negative = cursor.take('-');
  if (!negative) cursor.take('+');
  if (!cursor.rest.empty() && !is_digit(cursor.rest[0])) return std::nullopt;
  const auto value = cursor.number(true);
  if (!value || !cursor.at_end()) return std::nullopt;
  return negative ? -*value : *value;
}

std::optional<double> parse_percent(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  if (text.empty() || text.back() != '%') return std::nullopt;
  text.remove_suffix(1);
  return parse_number(text);
}

std::string format_count(std::int64_t count) {
  std::string text = std::to_string(count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string format_bytes(std::int64_t bytes) {
  constexpr std::array<const char *, 5> units{" kB", " MB", " GB", " TB", " PB"};
  if (bytes < 0) return "-" + format_bytes(bytes == std::numeric_limits<std::int64_t>::min() ? -(bytes + 1) : -bytes);
  if (bytes < 1024) return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  const char *format = value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f";
  return without_trailing_zeros(printed(format, value)) + units[unit];
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 0) return "-" + format_duration(-seconds);
  if (seconds < 0.9995) return std::to_string(std::llround(seconds * 1000)) + "ms";
  if (seconds < 9.95) return without_trailing_zeros(printed("%.1f", seconds)) + "s";
  if (seconds < 59.5) return std::to_string(std::llround(seconds)) + "s";
  if (seconds < 599.5) {
    const long long rounded = std::llround(seconds);
    return two_units(rounded / 60, "m", rounded % 60, "s");
  }
  if (seconds >= 1e15) return "-";
  const long long minutes = std::llround(seconds / 60);
  if (minutes < 60) return std::to_string(minutes) + "m";
  if (minutes < 24 * 60) return two_units(minutes / 60, "h", minutes % 60, "m");
  const long long hours = std::llround(seconds / 3600);
  return two_units(hours / 24, "d", hours % 24, "h");
}

std::string format_percent(double percent) {
  if (!std::isfinite(percent)) return "-";
  const std::string text = without_trailing_zeros(printed("%.2f", percent));
  return (text == "-0" ? "0" : text) + '%';
}

}  // namespace backfill
