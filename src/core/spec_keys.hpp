// The keys a spec may hold, by section, and the words a check may be: one table each, so that the parser,
// its suggestions and the reference agree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/node.hpp"

namespace backfill {

// A word of the check vocabulary.
struct CheckWord {
  const char *word;
  std::vector<const char *> parameters;  // besides the common ones
  std::vector<const char *> required;    // "column|columns": one of them
};

const CheckWord *find_check_word(std::string_view word);
std::vector<std::string> check_words();

// The candidate nearest to word by edit distance, one that word begins counting as near; empty when none is
// near enough to be meant.
std::string nearest_word(std::string_view word, const std::vector<std::string> &candidates);

// "a", "b" and "c".
std::string listed(const std::vector<std::string> &words);

// 22023 for the first key of section that it does not know, naming the nearest known key, or the section
// in which the key belongs.  name: the section's key in the table ("", "scope", "scope.date_range" ...).
void require_known_keys(const Node &section, std::string_view name);

// The same for a check item, by its word.
void require_known_keys(const Node &item, const CheckWord &word);

}  // namespace backfill
