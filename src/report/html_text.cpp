#include "report/html_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace backfill {

namespace {

constexpr char unknown[] = "&#65533;";

// U+FFFE and U+FFFF in UTF-8.
bool is_no_character(const std::string &text, std::size_t at) {
  return text.compare(at, 3, "\xEF\xBF\xBE") == 0 || text.compare(at, 3, "\xEF\xBF\xBF") == 0;
}

}  // namespace

std::string escape_html(const std::string &text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    char const c = text[i];
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
      out += unknown;
    else if (is_no_character(text, i))
      out += unknown, i += 2;
    else
      out += c;
  }
  return out;
}

std::string name_html(const std::string &name) { return "<bdi>" + escape_html(name) + "</bdi>"; }

std::string prose_html(const std::string &text) {
  std::string out;
  bool code = false;
  std::size_t begin = 0;
  for (std::size_t tick = text.find('`'); tick != std::string::npos; tick = text.find('`', begin)) {
    out += escape_html(text.substr(begin, tick - begin)) + (code ? "</code>" : "<code>");
    code = !code;
    begin = tick + 1;
  }
  return out + escape_html(text.substr(begin)) + (code ? "</code>" : "");
}

std::string percent_of(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", 100 * std::clamp(std::isfinite(share) ? share : 0, 0.0, 1.0));
  return text;
}

}  // namespace backfill
