// Text to be read in a terminal, line by line: headings, then sections, each a label with its lines beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace backfill {

// Columns on the screen; wide characters are taken as one.
std::size_t columns(const std::string &text);
std::string padded(const std::string &text, std::size_t to);  // blanks behind it, up to so many columns
std::string right(const std::string &text, std::size_t to);   // blanks before it

// "1 chunk", "12,000 chunks"
std::string plural(std::int64_t number, const std::string &noun);

// Runs of blanks and line ends become one blank; none is left at the end.
std::string one_line(const std::string &text);

// Lines of a section are folded at blanks; what is folded hangs `hang` columns further in.
class Page {
 public:
  void heading(const std::string &text) { lines_.push_back(text); }
  void blank() { lines_.emplace_back(); }
  void section(const std::string &label) { label_ = label; }  // beside the next line
  void line(const std::string &text, std::size_t hang = 0);
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::vector<std::string> lines_;
  std::string label_;
};

}  // namespace backfill
