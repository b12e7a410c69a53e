#include "core/throttle.hpp"

#include <algorithm>

#include "core/joined.hpp"
#include "core/units.hpp"

namespace backfill {
namespace {

const Node *given(const Node &section, const char *key) {
  const Node *node = section.find(key);
  return node && !node->is_null() ? node : nullptr;
}

void read_bytes(const Node &section, const char *key, std::int64_t &into) {
  const Node *node = given(section, key);
  if (!node) return;
  const auto bytes = parse_size(node->text());
  if (!bytes || *bytes <= 0) throw invalid_value(*node, "a positive size with its unit", "Write it as 10MB.");
  into = *bytes;
}

void read_time(const Node &section, const char *key, std::int64_t &into) {
  const Node *node = given(section, key);
  if (!node) return;
  const auto parsed = parse_duration(node->text());
  if (!parsed || *parsed <= 0)
    throw invalid_value(*node, "a positive duration with its unit", "Write it as 5s, 10min or 1h.");
  into = *parsed;
}

void read_free_disk(const Node &section, Throttle &into) {
  const Node *node = given(section, "free_disk");
  if (!node) return;
  const std::string text = node->text();
  if (const auto percent = parse_percent(text)) {
    if (*percent <= 0 || *percent > 100) throw invalid_value(*node, "a share above 0 % and up to 100 %");
    into.free_disk_percent = *percent;
    return;
  }
  const auto bytes = parse_size(text);
  if (!bytes || *bytes <= 0)
    throw invalid_value(*node, "a positive size, or a share of the file system", "Write it as 20GB or 10%.");
  into.free_disk = *bytes;
}

Window read_window(const Node &node) {
  const auto window = parse_window(node.text());
  if (!window)
    throw invalid_value(node, "a window from one time to another, by days where not every day",
                        "Write it as 22:00-06:00, Sat 00:00-24:00 or Mon-Fri 20:00-23:30.");
  return *window;
}

std::vector<Window> read_windows(const Node &node) {
  if (node.kind != Node::Kind::sequence) return {read_window(node)};
  std::vector<Window> windows;
  for (const Node &item : node.items) windows.push_back(read_window(item));
  return windows;
}

std::string seconds_text(std::int64_t milliseconds) {
  return format_duration(static_cast<double>(milliseconds) / 1000);
}

}  // namespace

bool Throttle::has_signals() const {
  return replica_lag > 0 || active_sessions || slot_retained > 0 || free_disk > 0 || free_disk_percent > 0 ||
         oldest_snapshot > 0;
}

Throttle read_throttle(const Node &section) {
  Throttle throttle;
  if (const Node *node = given(section, "rows_per_second")) {
    const auto rows = parse_count(node->text());
    if (!rows || *rows <= 0) throw invalid_value(*node, "a positive number of rows", "Write it as 5000 or 20k.");
    throttle.rows_per_second = *rows;
  }
  read_bytes(section, "wal_per_second", throttle.wal_per_second);
  read_time(section, "replica_lag", throttle.replica_lag);
  if (const Node *node = given(section, "active_sessions")) {
    const auto sessions = node->is_scalar() ? parse_number(node->scalar) : std::nullopt;
    if (!sessions || *sessions < 0 || *sessions > 1e6 ||
        *sessions != static_cast<double>(static_cast<std::int64_t>(*sessions)))
      throw invalid_value(*node, "a number of sessions");
    throttle.active_sessions = static_cast<std::int64_t>(*sessions);
  }
  read_bytes(section, "slot_retained", throttle.slot_retained);
  read_free_disk(section, throttle);
  read_time(section, "oldest_snapshot", throttle.oldest_snapshot);
  if (const Node *node = given(section, "windows")) throttle.windows = read_windows(*node);
  return throttle;
}

Node lay_over_throttle(Node section, const Node &fragment) {
  section = overlay(std::move(section), fragment);
  std::erase_if(section.entries, [](const auto &entry) {
    return entry.second.is_null() || (entry.second.kind == Node::Kind::sequence && entry.second.items.empty());
  });
  return section;
}

std::vector<std::string> describe(const Throttle &throttle, const std::string &zone) {
  std::vector<std::string> rates, signals, windows, lines;
  if (throttle.rows_per_second > 0) rates.push_back(format_count(throttle.rows_per_second) + " rows a second");
  if (throttle.wal_per_second > 0) rates.push_back(format_bytes(throttle.wal_per_second) + " of WAL a second");
  if (throttle.replica_lag > 0)
    signals.push_back("a standby is more than " + seconds_text(throttle.replica_lag) + " behind");
  if (throttle.active_sessions)
    signals.push_back("more than " + format_count(*throttle.active_sessions) + " other sessions are active");
  if (throttle.slot_retained > 0)
    signals.push_back("a replication slot retains more than " + format_bytes(throttle.slot_retained));
  if (throttle.free_disk > 0) signals.push_back("less than " + format_bytes(throttle.free_disk) + " of disk are free");
  if (throttle.free_disk_percent > 0)
    signals.push_back("less than " + format_percent(throttle.free_disk_percent) + " of the disk is free");
  if (throttle.oldest_snapshot > 0)
    signals.push_back("a snapshot is older than " + seconds_text(throttle.oldest_snapshot));
  for (const Window &window : throttle.windows) windows.push_back(window.text);
  if (!rates.empty()) lines.push_back("at most " + joined(rates, ", "));
  if (!signals.empty()) lines.push_back("waits while " + joined(signals, ", or "));
  if (!windows.empty()) lines.push_back("works only " + joined(windows, ", ") + " (" + zone + ")");
  return lines;
}

double least_seconds(const Throttle &throttle, double rows, double wal_bytes) {
  const double by_rows = throttle.rows_per_second > 0 ? rows / static_cast<double>(throttle.rows_per_second) : 0;
  const double by_wal = throttle.wal_per_second > 0 ? wal_bytes / static_cast<double>(throttle.wal_per_second) : 0;
  return std::max(by_rows, by_wal);
}

double wanted_free(const Throttle &throttle, std::int64_t total) {
  return std::max(static_cast<double>(throttle.free_disk),
                  throttle.free_disk_percent / 100 * static_cast<double>(total));
}

std::vector<std::string> differences(const Node &before, const Node &after) {
  std::vector<std::string> out;
  const auto told = [](const Node *node) {
    if (!node || node->is_null()) return std::string("none");
    return node->is_scalar() ? node->text() : to_json(*node);
  };
  const auto compare = [&](const std::string &key) {
    const std::string was = told(before.find(key)), is = told(after.find(key));
    if (was != is) out.push_back(key + " from " + was + " to " + is);
  };
  for (const auto &[key, node] : before.entries) compare(key);
  for (const auto &[key, node] : after.entries)
    if (!before.find(key)) compare(key);
  return out;
}

}  // namespace backfill
