#include "core/page.hpp"

#include <algorithm>

#include "core/units.hpp"

namespace backfill {

namespace {

constexpr std::size_t width = 100, label_width = 12;

// Where to cut so that the line fits: at its last blank, or within a word that is longer than the line.
std::size_t fold(const std::string &text, std::size_t room) {
  std::size_t seen = 0, blank = std::string::npos, i = 0;
  for (; i < text.size(); i++) {
    if ((text[i] & 0xC0) == 0x80) continue;
    if (text[i] == ' ' && seen > 0) blank = i;
    if (++seen > room) return blank != std::string::npos ? blank : i;
  }
  return text.size();
}

}  // namespace

std::size_t columns(const std::string &text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string &text, std::size_t to) {
  return text + std::string(to > columns(text) ? to - columns(text) : 0, ' ');
}

std::string right(const std::string &text, std::size_t to) {
  return std::string(to > columns(text) ? to - columns(text) : 0, ' ') + text;
}

std::string plural(std::int64_t number, const std::string &noun) {
  return format_count(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string one_line(const std::string &text) {
  std::string out;
  for (char const c : text) {
    bool const blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!blank)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void Page::line(const std::string &text, std::size_t hang) {
  std::string rest = text;
  std::size_t indent = 0;
  for (;;) {
    std::string const before = padded(label_, label_width) + std::string(indent, ' ');
    label_.clear();
    std::size_t const room = width - label_width - indent;
    std::size_t const cut = fold(rest, room);
    lines_.push_back(before + rest.substr(0, cut));
    std::size_t const next = rest.find_first_not_of(' ', cut);
    if (next == std::string::npos) return;
    rest = rest.substr(next);
    indent = hang;
  }
}

}  // namespace backfill
