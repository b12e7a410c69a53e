#include "core/webhook.hpp"

#include <algorithm>
#include <string_view>

#include "core/error.hpp"

namespace backfill {
namespace {

constexpr std::size_t longest_url = 2000;
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz", digits = "0123456789";

bool made_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char &c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

Error refused(const std::string &path, const std::string &detail) {
  return Error(sqlstate::invalid_parameter_value, "invalid value for \"" + path + "\"", detail,
               "Write it as https://hooks.example.com/services/token.");
}

bool is_name(std::string_view host) {
  return made_of(host, std::string(letters) + std::string(digits) + ".-_") && host.size() <= 253;
}

bool is_ipv6(std::string_view host) {
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         made_of(host.substr(1, host.size() - 2), "0123456789abcdef:.");
}

bool is_this_machine(std::string_view host) {
  return host == "localhost" || host == "[::1]" || (host.starts_with("127.") && made_of(host, "0123456789."));
}

int default_port(bool secure) { return secure ? 443 : 80; }

// 0 for what is no port.
int port_of(std::string_view text) {
  if (!made_of(text, digits) || text.size() > 5) return 0;
  int const port = std::stoi(std::string(text));
  return port <= 65535 ? port : 0;
}

// Of "host" or "host:port"; the colons of an IPv6 address stand within brackets.
std::size_t port_colon(std::string_view authority) {
  std::size_t const bracket = authority.find(']');
  return authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view around = " \t\r\n\"";
  std::size_t const from = text.find_first_not_of(around);
  return from == std::string_view::npos ? "" : text.substr(from, text.find_last_not_of(around) - from + 1);
}

}  // namespace

std::string Webhook::place() const { return port == default_port(secure) ? host : host + ':' + std::to_string(port); }

Webhook parse_webhook(const std::string &url, const std::string &path) {
  Webhook webhook;
  webhook.url = url;
  std::size_t const scheme_end = url.find("://");
  std::string const scheme = lower(url.substr(0, scheme_end == std::string::npos ? 0 : scheme_end));
  if (scheme != "https" && scheme != "http") throw refused(path, "It must begin with https://.");
  webhook.secure = scheme == "https";
  bool const printable = std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '\\'; });
  if (!printable || url.find('#') != std::string::npos || url.size() > longest_url)
    throw refused(path, "It must be at most " + std::to_string(longest_url) +
                            " printable ASCII characters without blank, backslash and #.");

  std::string const rest = url.substr(scheme_end + 3);
  std::string const authority = lower(rest.substr(0, rest.find_first_of("/?")));
  if (authority.find('@') != std::string::npos) throw refused(path, "A user or password in it is not supported.");
  std::size_t const colon = port_colon(authority);
  webhook.host = authority.substr(0, colon);
  webhook.port = colon == std::string::npos ? default_port(webhook.secure) : port_of(authority.substr(colon + 1));
  if ((!is_name(webhook.host) && !is_ipv6(webhook.host)) || webhook.port == 0)
    throw refused(path, "Behind the scheme it must name a host, perhaps with a port.");
  if (!webhook.secure && !is_this_machine(webhook.host))
    throw refused(path, "To another machine it must be https, so that nobody on the way reads it.");
  return webhook;
}

bool allows(const std::string &hosts, const Webhook &webhook) {
  std::string const place = webhook.place(), with_port = webhook.host + ':' + std::to_string(webhook.port);
  for (std::string_view rest = hosts; !rest.empty();) {
    std::size_t const comma = rest.find(',');
    std::string const entry = lower(trimmed(rest.substr(0, comma)));
    if (entry == place || entry == with_port) return true;
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return false;
}

}  // namespace backfill
