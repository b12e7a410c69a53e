#include "report/markdown_text.hpp"

#include <algorithm>

#include "core/page.hpp"

namespace backfill {

std::string escaped(const std::string &value) {
  std::string out;
  for (char const c : value) {
    if (c == '\r' || c == '\n') {
      if (!out.empty() && out.back() != ' ') out += ' ';
      continue;
    }
    if (c == '|' || c == '\\' || c == '<' || c == '`' || c == '*' || c == '[') out += '\\';
    out += c;
  }
  return out;
}

std::string dash_if_empty(const std::string &value) { return value.empty() ? "-" : value; }

namespace {

std::size_t longest_backticks(const std::string &code) {
  std::size_t run = 0, longest = 0;
  for (char const c : code) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

}  // namespace

std::string code_span(const std::string &code) {
  std::size_t const backticks = longest_backticks(code);
  std::string const fence(backticks + 1, '`'), blank = backticks > 0 ? " " : "";
  return fence + blank + one_line(code) + blank + fence;
}

std::string code_block(const std::string &language, const std::string &code) {
  std::string const fence(std::max<std::size_t>(longest_backticks(code), 2) + 1, '`');
  return fence + language + '\n' + code + '\n' + fence + '\n';
}

std::string sql(const std::string &statement) { return code_block("sql", statement); }

Table::Table(const std::vector<std::string> &heads) : columns_(heads.size()) {
  add(heads);
  out_ += '|';
  for (const std::string &head : heads) out_ += std::string(std::max<std::size_t>(head.size() + 2, 5), '-') + '|';
  out_ += '\n';
}

void Table::add(const std::vector<std::string> &cells) {
  out_ += '|';
  for (std::size_t i = 0; i < columns_; i++) out_ += ' ' + cells[i] + " |";
  out_ += '\n';
}

void Lines::add(const std::string &label, const std::string &value) {
  if (value.empty()) return;
  if (!out_.empty()) out_ += "  \n";
  out_ += "**" + label + ":** " + value;
}

}  // namespace backfill
