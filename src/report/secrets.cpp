// Texts of people and of the server may quote addresses; what in them opens doors is not told on.
#include <algorithm>
#include <cctype>
#include <string_view>

#include "report/story.hpp"

namespace backfill {

namespace {

constexpr char hidden[] = "***";

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

bool ends_url(char c) {
  return std::isspace(static_cast<unsigned char>(c)) ||
         std::string_view("\"'<>`)]}|\\").find(c) != std::string_view::npos;
}

// scheme://user:password@host/path?query#fragment as scheme://***@host/path?***; the path of a webhook is a secret, too.
std::string told_url(std::string_view url) {
  std::size_t const host = url.find("://") + 3, path = std::min(url.find_first_of("/?#", host), url.size());
  std::size_t const at = url.substr(host, path - host).rfind('@');
  bool const hook = url.find("hook") != std::string_view::npos && path < url.size();
  std::size_t const tail = hook ? path + 1 : std::min(url.find_first_of("?#", path), url.size());
  std::string out(url.substr(0, host));
  if (at != std::string_view::npos) out += std::string(hidden) + "@";
  out += url.substr(at == std::string_view::npos ? host : host + at + 1,
                    tail - (at == std::string_view::npos ? host : host + at + 1));
  if (tail < url.size()) out += hook ? hidden : std::string(1, url[tail]) + hidden;
  return out;
}

// Where the value of password=... ends, from where it begins.
std::size_t end_of_password(std::string_view text, std::size_t from) {
  while (from < text.size() && text[from] == '\'') from++;
  while (from < text.size() && !std::isspace(static_cast<unsigned char>(text[from])) && text[from] != '\'') from++;
  return from;
}

std::size_t password_at(std::string_view text, std::size_t from) {
  constexpr std::string_view word = "password";
  auto const same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (auto at = text.begin() + static_cast<std::ptrdiff_t>(from);; ++at) {
    at = std::search(at, text.end(), word.begin(), word.end(), same);
    if (at == text.end()) return std::string_view::npos;
    std::size_t value = static_cast<std::size_t>(at - text.begin()) + word.size();
    while (value < text.size() && text[value] == ' ') value++;
    if (value + 1 < text.size() && text[value] == '=' && text[value + 1] != ' ') return value + 1;
  }
}

std::string without_passwords(const std::string &text) {
  std::string out;
  std::size_t told = 0;
  for (std::size_t at = password_at(text, 0); at != std::string::npos; at = password_at(text, told)) {
    out += text.substr(told, at - told) + hidden;
    told = end_of_password(text, at);
  }
  return out + text.substr(told);
}

}  // namespace

std::string without_secrets(const std::string &text) {
  std::string out;
  std::size_t told = 0;
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", told)) {
    std::size_t begin = at, end = at + 3;
    while (begin > told && (is_word(text[begin - 1]) || text[begin - 1] == '+')) begin--;
    while (end < text.size() && !ends_url(text[end])) end++;
    out += text.substr(told, begin - told) + told_url(std::string_view(text).substr(begin, end - begin));
    told = end;
  }
  return without_passwords(out + text.substr(told));
}

}  // namespace backfill
