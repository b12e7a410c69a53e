// When a job may work: windows of the week, by the clock of a named zone.
//
// Only what needs no time zone is here.  When a window opens next is asked of the server (backfill.window_opens), whose
// rules of time zones are the ones the user means.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backfill {

struct Window {
  std::string days;           // ISO numbers of the days on which it opens: "12345"; "1234567" is every day
  int opens = 0, closes = 0;  // minutes from the midnight that begins the day; closes > 1440 where it is over midnight
  std::string text;           // as written

  std::string opens_text() const;  // an interval from that midnight: "22:00", "30:00"
  std::string closes_text() const;
};

// "22:00-06:00", "Sat 00:00-24:00", "Mon-Fri,Sun 20:00-23:30"; days in any case, short or long, and they are those on which
// the window opens.  Nothing when the text is not of that form, or the window has no length.
std::optional<Window> parse_window(std::string_view text);

// The share of an ordinary week in which at least one of them is open: 0 to 1.
double open_share(const std::vector<Window> &windows);

}  // namespace backfill
