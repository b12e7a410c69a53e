// Where progress messages may go: the URL of a webhook, and the superuser's list of hosts.
//
// The grammar is narrow on purpose, so that no two readers of a URL can take it for different hosts: a scheme, a host (a
// name, an IPv4 address, an IPv6 address in brackets), perhaps a port, then a path or a query of printable ASCII.  No user,
// no fragment, no backslash.  The path of a webhook is a secret (Slack's are): no error and no text made here shows more
// than the host.
#pragma once

#include <string>
#include <vector>

namespace backfill {

struct Webhook {
  std::string url;   // as written
  std::string host;  // lower case; an IPv6 address keeps its brackets
  int port = 0;
  bool secure = true;

  // host, or host:port where the port is not the scheme's own: what the list of hosts has to name.
  std::string place() const;
};

// 22023, naming `path`, for what is no such URL, and for http:// to anything but this machine (localhost, 127.0.0.0/8, ::1).
Webhook parse_webhook(const std::string &url, const std::string &path);

// Whether the comma-separated list names the webhook's place; case and blanks do not matter, and there are no patterns.  A
// host without a port means the port of the scheme.
bool allows(const std::string &hosts, const Webhook &webhook);

}  // namespace backfill
