// The scanner below walks SQL the way PostgreSQL's lexer does, as far as needed to tell code from
// literals, quoted identifiers and comments; each skip_ function returns the offset behind what it skipped.
#include "core/sql_text.hpp"

#include <cctype>

#include "core/utf8.hpp"

namespace backfill {
namespace {

std::string quote_with(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += c;
    out += c;
  }
  return out + quote;
}

bool starts_word(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool continues_word(char c) { return starts_word(c) || std::isdigit(static_cast<unsigned char>(c)); }
bool in_identifier(char c) { return continues_word(c) || c == '$'; }

std::size_t skip_quoted(std::string_view sql, std::size_t at, bool backslashes) {
  const char quote = sql[at++];
  while (at < sql.size()) {
    if (backslashes && sql[at] == '\\') {
      at += 2;
    } else if (sql[at] != quote) {
      ++at;
    } else if (at + 1 < sql.size() && sql[at + 1] == quote) {
      at += 2;
    } else {
      return at + 1;
    }
  }
  return sql.size();
}

// at is at a $; not a dollar quote: returns at + 1.
std::size_t skip_dollar_quoted(std::string_view sql, std::size_t at) {
  std::size_t end = at + 1;
  if (end < sql.size() && starts_word(sql[end]))
    while (end < sql.size() && continues_word(sql[end])) ++end;
  if (end >= sql.size() || sql[end] != '$') return at + 1;
  const std::string_view tag = sql.substr(at, end + 1 - at);
  const std::size_t close = sql.find(tag, end + 1);
  return close == std::string_view::npos ? sql.size() : close + tag.size();
}

std::size_t skip_block_comment(std::string_view sql, std::size_t at) {
  int depth = 0;
  while (at < sql.size()) {
    const std::string_view two = sql.substr(at, 2);
    if (two == "/*") {
      ++depth;
      at += 2;
    } else if (two == "*/") {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return sql.size();
}

// Skips one lexical unit that cannot hold a placeholder; at itself where there is none.
std::size_t skip_opaque(std::string_view sql, std::size_t at) {
  const char c = sql[at];
  if (in_identifier(c) && c != '$') {
    std::size_t end = at;
    while (end < sql.size() && in_identifier(sql[end])) ++end;
    const bool escape_string = end - at == 1 && (c == 'e' || c == 'E') && end < sql.size() && sql[end] == '\'';
    return escape_string ? skip_quoted(sql, end, true) : end;
  }
  if (c == '\'' || c == '"') return skip_quoted(sql, at, false);
  if (c == '$') return skip_dollar_quoted(sql, at);
  if (sql.substr(at, 2) == "/*") return skip_block_comment(sql, at);
  if (sql.substr(at, 2) == "--") {
    const std::size_t end = sql.find('\n', at);
    return end == std::string_view::npos ? sql.size() : end;
  }
  return at;
}

// The word of a placeholder whose colon is at `at`; empty where it is none.
std::string_view placeholder_at(std::string_view sql, std::size_t at) {
  if (sql[at] != ':' || at + 1 >= sql.size() || !starts_word(sql[at + 1])) return {};
  if (at > 0) {
    const char before = sql[at - 1];
    if (in_identifier(before) || before == ':' || before == '\'' || before == '"' || before == ')' || before == ']')
      return {};
  }
  std::size_t end = at + 1;
  while (end < sql.size() && in_identifier(sql[end])) ++end;
  return sql.substr(at + 1, end - at - 1);
}

}  // namespace

std::string quote_ident(std::string_view name) { return quote_with(name, '"'); }

std::string quote_literal(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return quote_with(text, '\'');
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') escaped += c;
    escaped += c;
  }
  return 'E' + quote_with(escaped, '\'');
}

std::string qualified(std::string_view schema, std::string_view name) {
  return schema.empty() ? quote_ident(name) : quote_ident(schema) + '.' + quote_ident(name);
}

std::string suffixed_name(std::string_view stem, std::string_view suffix) {
  return std::string(utf8_prefix(stem, max_identifier_bytes - suffix.size())) + std::string(suffix);
}

std::string substitute_placeholders(std::string_view sql, const std::map<std::string, std::string> &values) {
  std::string out;
  for (std::size_t at = 0; at < sql.size();) {
    const std::string_view word = placeholder_at(sql, at);
    const auto value = word.empty() ? values.end() : values.find(std::string(word));
    if (value != values.end()) {
      out += value->second;
      at += word.size() + 1;
      continue;
    }
    std::size_t end = skip_opaque(sql, at);
    if (end == at) ++end;
    out.append(sql.substr(at, end - at));
    at = end;
  }
  return out;
}

bool uses_placeholder(std::string_view sql, std::string_view name) {
  for (std::size_t at = 0; at < sql.size();) {
    if (placeholder_at(sql, at) == name) return true;
    const std::size_t end = skip_opaque(sql, at);
    at = end == at ? at + 1 : end;
  }
  return false;
}

bool is_self_contained(std::string_view sql) {
  // Two line ends tell a unit that was closed from one that swallowed all there was.
  const std::string text = std::string(sql) + "\n\n";
  int depth = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth < 0) return false;
    if (text[at] == ';') return false;
    std::size_t end = skip_opaque(text, at);
    if (end == at) ++end;
    if (end == text.size() && at < sql.size()) return false;
    at = end;
  }
  return depth == 0;
}

}  // namespace backfill
