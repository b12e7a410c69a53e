#include "core/range_text.hpp"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>

namespace backfill {

namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Moment {
  year_month_day day;
  std::string clock;  // "14:00", "14:00:30"; empty at midnight
};

// YYYY-MM-DD [HH:MM:SS[offset]]
std::optional<Moment> parse_moment(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-' || text.ends_with("BC")) return std::nullopt;
  auto const year = whole_number(text.substr(0, 4)), month = whole_number(text.substr(5, 2)),
             day = whole_number(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  Moment moment{
      year_month_day(std::chrono::year(static_cast<int>(*year)), std::chrono::month(static_cast<unsigned>(*month)),
                     std::chrono::day(static_cast<unsigned>(*day))),
      ""};
  if (!moment.day.ok()) return std::nullopt;
  std::string_view const rest = text.substr(10);
  if (rest.empty()) return moment;
  if (rest.size() < 9 || rest[0] != ' ' || rest[3] != ':' || rest[6] != ':') return std::nullopt;
  if (rest.size() > 9 && rest[9] == '.') return std::nullopt;
  std::string_view const clock = rest.substr(1, 8);
  if (clock == "00:00:00") return moment;
  moment.clock = clock.ends_with(":00") ? clock.substr(0, 5) : clock;
  return moment;
}

std::string padded(unsigned value) { return (value < 10 ? "0" : "") + std::to_string(value); }

std::string year_text(const year_month_day &day) {
  std::string const year = std::to_string(static_cast<int>(day.year()));
  return std::string(year.size() < 4 ? 4 - year.size() : 0, '0') + year;
}

std::string day_text(const year_month_day &day) {
  return year_text(day) + '-' + padded(static_cast<unsigned>(day.month())) + '-' +
         padded(static_cast<unsigned>(day.day()));
}

std::string moment_text(const Moment &moment) {
  return day_text(moment.day) + ' ' + (moment.clock.empty() ? "00:00" : moment.clock);
}

// Both at midnight.
std::string days_text(const year_month_day &first, const year_month_day &stop) {
  static constexpr const char *months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  unsigned const month = static_cast<unsigned>(first.month());
  bool const from_first = first.day() == std::chrono::day(1);
  if (from_first && month == 1 && stop == first + std::chrono::years(1)) return year_text(first);
  if (from_first && month % 3 == 1 && stop == first + std::chrono::months(3))
    return "Q" + std::to_string((month + 2) / 3) + ' ' + year_text(first);
  if (from_first && stop == first + std::chrono::months(1))
    return std::string(months[month - 1]) + ' ' + year_text(first);
  year_month_day const last = sys_days(stop) - std::chrono::days(1);
  if (last == first) return day_text(first);
  return day_text(first) + " – " + day_text(last);
}

}  // namespace

std::string range_text(std::string_view lo, std::string_view hi) {
  auto const first = whole_number(lo), behind = whole_number(hi);
  if (first && behind && *behind > *first) {
    if (*behind == *first + 1) return std::string(lo);
    return std::string(lo) + " – " + std::to_string(*behind - 1);
  }
  std::optional<Moment> const begin = parse_moment(lo), stop = parse_moment(hi);
  if (!begin || !stop) return "from " + std::string(lo) + " until before " + std::string(hi);
  if (begin->clock.empty() && stop->clock.empty()) return days_text(begin->day, stop->day);
  if (begin->day == stop->day) return moment_text(*begin) + " – " + stop->clock;
  return moment_text(*begin) + " – " + moment_text(*stop);
}

}  // namespace backfill
