// Building SQL text: quoting, names that fit, and the placeholders of a transform.
//
// REQUIRES everywhere: UTF-8, and standard_conforming_strings = on where text is scanned.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace backfill {

inline constexpr std::size_t max_identifier_bytes = 63;

// "name", with quotes inside doubled; always quoted, so no list of keywords is needed.
std::string quote_ident(std::string_view name);

// 'text', or E'text' where it holds a backslash: safe whatever standard_conforming_strings is.
std::string quote_literal(std::string_view text);

// "schema"."name"; only "name" where schema is empty.
std::string qualified(std::string_view schema, std::string_view name);

// stem + suffix within 63 bytes: the stem is cut at a character boundary, the suffix never.
// REQUIRES: suffix is at most 63 bytes.
std::string suffixed_name(std::string_view stem, std::string_view suffix);

// Replaces :word for each word that values knows; a :word it does not know is left alone.
//
// A placeholder is a colon directly followed by a word (longest match, case-sensitive) that stands
//   - outside of string literals ('', E'', $tag$), quoted identifiers and comments, and
//   - not directly behind a colon (x::chunk is a cast), a letter, digit, underscore, quote, ) or ]:
//     so a[1:chunk] and a[f(x):chunk] are array slices and stay, ARRAY[:chunk] and x>=:chunk_start do not.
// := is never one.  A slice whose upper bound is a column named like a placeholder, written a[:chunk]
// or a[1 :chunk], would be replaced: write a[1:chunk] or a[: chunk].
std::string substitute_placeholders(std::string_view sql, const std::map<std::string, std::string> &values);

// Whether :name stands in sql as a placeholder, by the rule above.
bool uses_placeholder(std::string_view sql, std::string_view name);

// Whether sql can stand within parentheses without changing what is around it: its own parentheses match, it
// closes none that it has not opened, no semicolon stands in it, and no literal, quoted identifier or comment
// is left open (a -- comment needs a line end behind it, which the caller writes).
bool is_self_contained(std::string_view sql);

}  // namespace backfill
