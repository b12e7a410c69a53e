#include "core/window.hpp"

#include <algorithm>
#include <bitset>
#include <cctype>
#include <cstddef>
#include <cstdio>

namespace backfill {
namespace {

constexpr int day = 24 * 60, week = 7 * day;
constexpr std::string_view day_names[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string_view::npos ? "" : std::string(text.substr(first, last - first + 1));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// 0 is Monday.
std::optional<int> day_of(const std::string &word) {
  const std::string folded = lower(trimmed(word));
  for (int i = 0; i < 7; ++i)
    if (folded.size() >= 3 && day_names[i].starts_with(folded)) return i;
  return std::nullopt;
}

// "22:00" in minutes; 24:00 is the latest.
std::optional<int> minutes_of(const std::string &text) {
  const std::string clock = trimmed(text);
  const std::size_t colon = clock.find(':');
  const auto digits = [](const std::string &part) {
    return !part.empty() && part.size() <= 2 && part.find_first_not_of("0123456789") == std::string::npos;
  };
  if (colon == std::string::npos) return std::nullopt;
  const std::string hours = clock.substr(0, colon), minutes = clock.substr(colon + 1);
  if (!digits(hours) || !digits(minutes) || minutes.size() != 2) return std::nullopt;
  const int total = std::stoi(hours) * 60 + std::stoi(minutes);
  if (std::stoi(minutes) > 59 || total > day) return std::nullopt;
  return total;
}

// "Mon-Fri" or "Sat" into marks; false when it is neither.
bool mark_days(const std::string &item, std::bitset<7> &marks) {
  const std::size_t dash = item.find('-');
  const auto from = day_of(item.substr(0, dash));
  const auto to = dash == std::string::npos ? from : day_of(item.substr(dash + 1));
  if (!from || !to) return false;
  for (int i = *from;; i = (i + 1) % 7) {
    marks.set(static_cast<std::size_t>(i));
    if (i == *to) return true;
  }
}

std::optional<std::string> days_of(const std::string &list) {
  std::bitset<7> marks;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t comma = std::min(list.find(',', begin), list.size());
    if (!mark_days(list.substr(begin, comma - begin), marks)) return std::nullopt;
    begin = comma + 1;
  }
  std::string days;
  for (std::size_t i = 0; i < 7; ++i)
    if (marks[i]) days += static_cast<char>('1' + i);
  return days;
}

std::string clock_text(int minutes) {
  char text[16];
  std::snprintf(text, sizeof text, "%02d:%02d", minutes / 60, minutes % 60);
  return text;
}

}  // namespace

std::string Window::opens_text() const { return clock_text(opens); }
std::string Window::closes_text() const { return clock_text(closes); }

std::optional<Window> parse_window(std::string_view given) {
  const std::string text = trimmed(given);
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return std::nullopt;
  const std::size_t blank = text.rfind(' ', colon);
  Window window;
  window.text = text;
  window.days = "1234567";
  if (blank != std::string::npos) {
    const auto days = days_of(text.substr(0, blank));
    if (!days) return std::nullopt;
    window.days = *days;
  }
  const std::string times = blank == std::string::npos ? text : text.substr(blank + 1);
  const std::size_t dash = times.find('-');
  if (dash == std::string::npos) return std::nullopt;
  const auto opens = minutes_of(times.substr(0, dash)), closes = minutes_of(times.substr(dash + 1));
  if (!opens || !closes || *opens == day || *opens == *closes) return std::nullopt;
  window.opens = *opens;
  window.closes = *closes > *opens ? *closes : *closes + day;
  return window;
}

double open_share(const std::vector<Window> &windows) {
  std::bitset<week> open;
  for (const Window &window : windows)
    for (const char number : window.days)
      for (int minute = window.opens; minute < window.closes; ++minute)
        open.set(static_cast<std::size_t>(((number - '1') * day + minute) % week));
  return static_cast<double>(open.count()) / week;
}

}  // namespace backfill
