// Building Markdown (GitHub's): text that means nothing to it, blocks of code, tables, bold labels.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace backfill {

// A value in running text or in a cell of a table: one line, and nothing in it means anything to Markdown.
std::string escaped(const std::string &value);

std::string dash_if_empty(const std::string &value);

// Code in running text, whatever backticks are in it.
std::string code_span(const std::string &code);

// A block of code; the fence is longer than any run of backticks inside.
std::string code_block(const std::string &language, const std::string &code);
std::string sql(const std::string &statement);

class Table {
 public:
  explicit Table(const std::vector<std::string> &heads);
  void add(const std::vector<std::string> &cells);  // escaped already
  const std::string &text() const { return out_; }

 private:
  std::size_t columns_;
  std::string out_;
};

// Bold labels, a line each; what is empty is left out.
class Lines {
 public:
  void add(const std::string &label, const std::string &value);  // escaped already
  std::string take() const { return out_.empty() ? "" : out_ + "\n\n"; }

 private:
  std::string out_;
};

}  // namespace backfill
